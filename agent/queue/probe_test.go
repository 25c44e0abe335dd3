package queue

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestLane_Probe(t *testing.T) {
	l := beginLane(t, testConfig(t.TempDir()), "a1")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := l.Probe(ctx); err != nil {
		t.Fatalf("of a lane with nothing to do: %v", err)
	}

	hung, release := make(chan struct{}), make(chan struct{})
	released := make(chan error, 1)
	go func() {
		released <- l.do(func() error {
			close(hung)
			<-release
			return nil
		})
	}()
	<-hung
	short, cancelShort := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancelShort()
	if err := l.Probe(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the writing goroutine hangs: %v", err)
	}
	close(release)
	if err := errors.Join(<-released, l.Probe(ctx)); err != nil {
		t.Errorf("after it goes on: %v", err)
	}

	l.fail(errors.New("disk is gone"))
	if err := l.Probe(ctx); err == nil {
		t.Error("a failed lane answers as if it committed")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Probe(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("of a closed lane: %v", err)
	}
}

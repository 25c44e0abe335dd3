//go:build unix

package cloud

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
	"github.com/holdfast-mesh/holdfast/test/sim/systemd"
)

func TestCloud_Inform(t *testing.T) {
	dir, err := os.MkdirTemp("", "hf") //nolint:usetesting // the path of t.TempDir can be longer than a socket's may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket, err := systemd.Listen(filepath.Join(dir, "notify"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	cfg, _ := lived(t)
	s, err := store.Open(t.Context(), cfg.Database.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := New(cfg, zerolog.New(zerolog.NewTestWriter(t)))
	c.Notifier = telemetry.NewNotifier(socket.LookupEnv(90 * time.Millisecond))

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.inform(ctx, s) }()
	patience, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	hear := func(text, pattern string) {
		t.Helper()
		said, err := socket.Hear(patience, text)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(pattern).MatchString(said) {
			t.Errorf("heard %q, want %s", said, pattern)
		}
	}
	waits := `(?m)^STATUS=[1-9]\d* effects wait, oldest \d+h\d+m\d+s; [1-9]\d* messages for Kafka$`
	hear("READY=1", waits)
	hear("WATCHDOG=1", waits)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	hear("the database does not answer", "WATCHDOG=1") // which a new start would not bring back
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	hear("STOPPING=1", "")
}

func TestCloud_InformNobody(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := New(Config{}, zerolog.Nop()).inform(ctx, nil); err != nil {
		t.Error(err)
	}
}

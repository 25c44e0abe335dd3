package store

import (
	"context"
	"testing"
	"time"
)

// TestStore_CancelledBegin cuts transactions off at any moment, their begin too: whoever comes next finds the connection in
// none.
func TestStore_CancelledBegin(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		nothing := func(*Tx) error { return nil }
		rounds := 1500
		if s.Shared() {
			rounds = 150 // each waits for a server
		}
		for i := range rounds {
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(time.Duration(i%150)*time.Microsecond, cancel)
			for ctx.Err() == nil {
				_ = s.View(ctx, nothing)   // it may be cut off
				_ = s.Update(ctx, nothing) // it may be cut off
			}
			timer.Stop()
			cancel()
		}
		for range 2 * readers {
			if err := s.View(t.Context(), nothing); err != nil {
				t.Fatalf("the next one that reads: %v", err)
			}
		}
		if err := s.Update(t.Context(), nothing); err != nil {
			t.Fatalf("the next one that writes: %v", err)
		}
	})
}

package reconcile

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// TestReconciler_RunNoFeed: a cloud without a system has no feed, and goes on all the same.
func TestReconciler_RunNoFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := New(nil, Deps{Now: time.Now, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		if err := r.Run(ctx); err != nil || time.Since(began) != time.Hour {
			t.Errorf("it ended after %v: %v", time.Since(began), err)
		}
	})
}

package workflow

import (
	"context"
	"errors"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestEngine_Duplicates(t *testing.T) {
	b := newBench(t)
	e := b.event("1", b.created("L1", "kg"))
	in := b.input(e)
	b.want(b.apply(in)[0], Accepted, "")
	before := b.dump()
	t.Run("SameRecord", func(t *testing.T) {
		b.want(b.apply(in)[0], Duplicate, "")
		b.want(b.apply(in, in, in)[2], Duplicate, "")
		if after := b.dump(); after != before {
			t.Errorf("duplicates changed the state:\n%s\n%s", before, after)
		}
	})
	t.Run("SameRawUnderANewerMapping", func(t *testing.T) {
		data := b.created("L1", "kg").(*event.LotCreated)
		data.Supplier = "other"
		b.want(b.send("1", data), Duplicate, "")
	})
	t.Run("SameIDOtherContent", func(t *testing.T) {
		data := b.created("L1", "kg").(*event.LotCreated)
		data.Q.Value, data.Traced = "501", provenance("f")
		b.want(b.send("1", data), Quarantined, problem.EventConflict)
		if f := b.facts("L1"); f.Lot.Q.Value != "500" || !f.Evidence.Quarantined {
			t.Errorf("the first reading does not stand: %+v", f)
		}
	})
}

func TestEngine_Fence(t *testing.T) {
	b := newBench(t)
	in := b.input(b.event("1", b.created("L1", "kg")))
	if _, err := b.Apply(t.Context(), []Input{in}, []Offset{{Topic: "t", From: 5, To: 6}}); !errors.Is(err, ErrFence) {
		t.Fatalf("Apply = %v, want ErrFence", err)
	}
	if f := b.facts("L1"); f.Lot.Key != "" {
		t.Error("a fenced transaction changed the state")
	}
	for _, o := range []Offset{{Topic: "t", From: 0, To: 6}, {Topic: "t", From: 6, To: 7}} {
		if _, err := b.Apply(t.Context(), []Input{in}, []Offset{o}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Apply(t.Context(), []Input{in}, []Offset{{Topic: "t", From: 6, To: 7}}); !errors.Is(err, ErrFence) {
		t.Errorf("Apply = %v, want ErrFence", err)
	}
}

func TestEngine_RunStops(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
}

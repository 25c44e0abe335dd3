package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestFollower_Decisions(t *testing.T) {
	t.Run("a signed decision becomes one event, however often it is shown", func(t *testing.T) {
		b := newBench(t)
		b.source.put(decision("D1", 1, quality.Release, ""))
		b.source.put(connector.View{Object: connector.Object{Kind: connector.ObjectDecision, Lot: testLot, ID: "D2"}, Disposition: &connector.Disposition{Version: 1}})
		b.sweep()
		got := b.events(testLot)
		if len(got) != 1 {
			t.Fatalf("events %+v", got)
		}
		d, ok := got[0].(*event.DispositionDecided)
		if !ok || d.DispositionID != "disposition:sys:D1" || d.Decision != event.DecisionRelease || d.SignedBy != "Eve Q" || d.Q.Value != "500" || d.Reason != "tested D1" ||
			!d.DecidedAt.Equal(time.Date(2026, 11, 24, 12, 1, 0, 0, time.UTC)) {
			t.Errorf("event %+v", got[0])
		}
		reads := b.source.reads
		for range 3 {
			b.sweep()
		}
		b.restart() // and everything is read once more
		b.sweep()
		if len(b.events(testLot)) != 1 || b.source.reads != reads || reads != 1 {
			t.Errorf("%d events after %d reads, want one of each", len(b.events(testLot)), b.source.reads)
		}
	})
	t.Run("a revision names what it supersedes, also in one page with it", func(t *testing.T) {
		b := newBench(t)
		b.source.put(decision("D1", 2, quality.Release, "")) // its first version was a draft
		b.source.put(decision("D2", 1, quality.Reject, "D1"))
		b.sweep()
		got := b.events(testLot)
		if len(got) != 2 {
			t.Fatalf("events %+v, unread %+v", got, b.unreadObjects())
		}
		if r, ok := got[1].(*event.DispositionRevised); !ok || r.Supersedes != "disposition:sys:D1.r2" || r.DispositionID != "disposition:sys:D2" || r.Decision != event.DecisionReject {
			t.Errorf("event %+v", got[1])
		}
	})
	t.Run("what is signed again in its own record supersedes itself", func(t *testing.T) {
		b := newBench(t)
		b.source.put(decision("D1", 1, quality.Release, ""))
		b.sweep()
		b.source.put(decision("D1", 3, quality.Scrap, ""))
		b.sweep()
		got := b.events(testLot)
		if len(got) != 2 {
			t.Fatalf("events %+v, unread %+v", got, b.unreadObjects())
		}
		if r, ok := got[1].(*event.DispositionRevised); !ok || r.Supersedes != "disposition:sys:D1" || r.DispositionID != "disposition:sys:D1.r3" {
			t.Errorf("event %+v", got[1])
		}
	})
	t.Run("what a read does not show is no decision", func(t *testing.T) {
		b := newBench(t)
		b.source.put(decision("D1", 1, quality.Release, ""))
		draft := decision("D1", 1, "", "")
		draft.Exists, draft.Disposition = true, &connector.Disposition{Version: 1}
		b.source.hidden["D1"] = draft
		b.sweep()
		if got := b.unreadObjects(); len(b.events(testLot)) != 0 || len(got) != 1 || !strings.Contains(got[0].Reason, "signature") || b.unread() != 1 {
			t.Fatalf("events %+v, unread %+v (%d)", b.events(testLot), got, b.unread())
		}
		b.source.set(func() { clear(b.source.hidden) })
		b.sweep()
		if len(b.events(testLot)) != 1 || len(b.unreadObjects()) != 0 {
			t.Errorf("put right: events %+v, unread %+v", b.events(testLot), b.unreadObjects())
		}
	})
	t.Run("another content under a known version is kept apart, once", func(t *testing.T) {
		b := newBench(t)
		b.source.put(decision("D1", 1, quality.Release, ""))
		b.sweep()
		b.source.put(decision("D1", 1, quality.Reject, ""))
		for range 3 {
			b.sweep()
			b.restart()
		}
		var kept int
		if err := b.deps.Store.View(t.Context(), func(tx *store.Tx) error {
			rows, err := tx.Deadletters(0, 100, true)
			kept = len(rows)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if len(b.events(testLot)) != 1 || kept != 1 {
			t.Errorf("%d events, %d in quarantine; want the first to stand and one to be kept", len(b.events(testLot)), kept)
		}
	})
}

func TestFollower_Allocations(t *testing.T) {
	b := newBench(t)
	put := func(version, q string, promised time.Time) {
		b.source.put(connector.View{
			Object: connector.Object{Kind: connector.ObjectAllocation, Lot: testLot, ID: "A1"},
			Allocation: &connector.Allocation{
				Version: version, Order: "SO-1", Line: "10", Customer: "ACME", Q: event.Quantity{Value: event.Decimal(q), Unit: "kg"}, PromisedAt: promised,
			},
		})
		b.sweep()
		b.sweep()
	}
	promised := b.clock.Add(24 * time.Hour)
	put("1", "20", promised)
	put("2", "20", promised.Add(time.Hour))
	put("3", "0", time.Time{})
	got := b.events(testLot)
	if len(got) != 3 {
		t.Fatalf("events %+v, unread %+v", got, b.unreadObjects())
	}
	first, last := got[0].(*event.AllocationChanged), got[2].(*event.AllocationChanged)
	if first.Order != "SO-1" || first.Customer != "ACME" || first.Q.Value != "20" || !first.PromisedAt.Equal(promised) || last.Q.Value != "0" || !last.PromisedAt.IsZero() {
		t.Errorf("first %+v, last %+v", first, last)
	}
}

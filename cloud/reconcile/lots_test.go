package reconcile

import (
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// settle ends the one effect that is due, with what it read.
func (b *bench) settle(usage event.UsageStatus) {
	b.t.Helper()
	var rows []store.EffectRow
	if err := b.deps.Store.Update(b.t.Context(), func(tx *store.Tx) (err error) {
		rows, err = tx.ClaimEffects("d", []string{"sys"}, 10, b.clock, time.Minute)
		return err
	}); err != nil || len(rows) != 1 {
		b.t.Fatalf("effects %+v, %v", rows, err)
	}
	s := workflow.Settlement{Outcome: event.AlreadyApplied, Wanted: "usage", Usage: usage, Own: event.Unrestricted}
	if err := b.deps.Engine.Settle(b.t.Context(), &rows[0], s); err != nil {
		b.t.Fatal(err)
	}
}

func TestFollower_Lots(t *testing.T) {
	b := newBench(t)
	show := func(lot event.LotKey, usage event.UsageStatus) {
		b.source.put(connector.View{Object: connector.Object{Kind: connector.ObjectLot, Lot: lot}, Usage: usage, UsageRaw: string(usage), Ref: event.Ref{ETag: "1"}})
		b.sweep()
	}
	show(testLot, event.Blocked)
	if got := b.events(testLot); len(got) != 0 {
		t.Fatalf("while an effect is under way: %+v", got)
	}
	b.settle(event.Unrestricted)
	show(testLot, event.Unrestricted)
	show("lot::M:foreign", event.Blocked)
	before := len(b.events(testLot))
	show(testLot, event.Blocked)
	b.sweep()
	got := b.events(testLot)
	if len(got) != before+1 {
		t.Fatalf("a usage that someone changed: %d events more", len(got)-before)
	}
	if c, ok := got[before].(*event.LotStatusChanged); !ok || c.System != "sys" || c.Usage != event.Blocked || c.Raw != "blocked" {
		t.Errorf("event %+v", got[before])
	}
	b.settle(event.Blocked)
	show(testLot, event.Blocked)
	if n := len(b.events(testLot)); n != before+2 { // the settlement
		t.Errorf("%d events after it was looked at, want none but that", n-before)
	}
}

func TestFollower_Lots_ChangedDuringAnEffect(t *testing.T) {
	lot := func(usage event.UsageStatus) connector.View {
		return connector.View{Object: connector.Object{Kind: connector.ObjectLot, Lot: testLot}, Usage: usage, UsageRaw: string(usage)}
	}
	for _, c := range []struct {
		name        string
		shown, then event.UsageStatus // while the effect is under way, and after it
		want        int               // events
	}{
		{"by someone else, after the effect has read it", event.Blocked, event.Blocked, 1},
		{"by the effect", event.Unrestricted, event.Unrestricted, 0},
		{"by someone else, who took it back", event.Blocked, event.Unrestricted, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.sweep()
			b.sweep()
			b.source.put(lot(c.shown))
			b.sweep() // an effect is due
			b.source.set(func() { b.source.views = map[string]connector.View{} })
			b.sweep()
			now := lot(c.then)
			now.Exists = true
			b.source.hidden[""] = now
			b.settle(event.Unrestricted)
			before := len(b.events(testLot))
			b.sweep()
			b.sweep()
			if n := len(b.events(testLot)) - before; n != c.want || len(b.busy) != 0 {
				t.Errorf("%d events after the effect has ended, %d lots still wait; want %d and none", n, len(b.busy), c.want)
			}
		})
	}
}

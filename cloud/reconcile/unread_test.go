package reconcile

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestFollower_Unread(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(v *connector.View)
	}{
		{"a word that the mapping does not know", `"perhaps"`, func(v *connector.View) { v.Disposition.Decision, v.Disposition.Raw = "", "perhaps" }},
		{"no lot", "no lot", func(v *connector.View) { v.Lot = "" }},
		{"no reason", "without a reason", func(v *connector.View) { v.Disposition.Reason = " " }},
		{"a whole lot that is not known", "not known yet", func(v *connector.View) { v.Lot = "lot::M:9" }},
		{"in place of one that is not known", "D0", func(v *connector.View) { v.Disposition.Supersedes = "D0" }},
		{"a quantity that is none", "many", func(v *connector.View) { v.Disposition.Q = event.Quantity{Value: "many", Unit: "kg"} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			good := decision("D1", 1, quality.Release, "")
			bad := decision("D1", 1, quality.Release, "")
			c.change(&bad)
			b.source.put(bad)
			b.sweep()
			b.sweep()
			got := b.unreadObjects()
			if len(got) != 1 || !strings.Contains(got[0].Reason, c.want) || len(b.events(testLot)) != 0 {
				t.Fatalf("unread %+v, want one that says %q", got, c.want)
			}
			var kept bool
			if err := b.deps.Store.View(t.Context(), func(tx *store.Tx) error {
				f, err := tx.Facts(testLot)
				kept = f.Evidence.Against()
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if want := got[0].Lot == string(testLot); kept != want {
				t.Errorf("speaks against the lot's release: %t, want %t", kept, want)
			}
			b.source.set(func() { b.source.views = map[string]connector.View{} }) // the feed shows it no more
			good.Exists = true
			b.source.hidden["D1"] = good
			b.clock = b.clock.Add(retryUnread)
			b.sweep()
			if len(b.events(testLot)) != 1 || len(b.unreadObjects()) != 0 {
				t.Errorf("put right: events %+v, unread %+v", b.events(testLot), b.unreadObjects())
			}
		})
	}
}

func TestFollower_Unread_KeepsTheRelease(t *testing.T) {
	b := newBench(t)
	b.source.put(decision("D1", 1, quality.Release, ""))
	b.sweep()
	b.release()
	state := func(want quality.ReleaseState) {
		t.Helper()
		if got := b.release(); got != want {
			t.Fatalf("the lot is %s, want %s", got, want)
		}
	}
	state(quality.Releasing) // the plant has no agent any more that could be asked
	bad := decision("D1", 2, quality.Reject, "")
	bad.Disposition.Reason = ""
	b.source.put(bad)
	b.sweep()
	state(quality.Asking)
	b.restart() // what is understood meanwhile was dealt with before the new process knows that it was kept
	b.source.put(decision("D1", 2, quality.Release, ""))
	b.sweep()
	b.clock = b.clock.Add(retryUnread)
	b.sweep()
	if got := b.unreadObjects(); len(got) != 0 {
		t.Fatalf("unread %+v", got)
	}
	state(quality.Releasing)
	t.Run("what can't be read any more still names its lot", func(t *testing.T) {
		bad := decision("D2", 1, quality.Reject, "")
		bad.Disposition.Reason = ""
		b.source.put(bad)
		b.sweep()
		b.source.set(func() { b.source.views = map[string]connector.View{} })
		b.clock = b.clock.Add(retryUnread)
		b.sweep()
		if got := b.unreadObjects(); len(got) != 1 || got[0].Lot != string(testLot) {
			t.Fatalf("unread %+v", got)
		}
		state(quality.Asking)
	})
}

// release fires what the engine tells itself, and returns how far the lot has come.
func (b *bench) release() quality.ReleaseState {
	b.t.Helper()
	for {
		var due []quality.Timer
		var lot *quality.Lot
		if err := b.deps.Store.View(b.t.Context(), func(tx *store.Tx) (err error) {
			if lot, err = tx.Lot(testLot); err == nil {
				due, err = tx.Timers(100)
			}
			return err
		}); err != nil {
			b.t.Fatal(err)
		}
		due = slices.DeleteFunc(due, func(x quality.Timer) bool { return x.Due.After(b.clock) })
		if len(due) == 0 {
			return lot.Release.State
		}
		for _, x := range due {
			b.apply(&event.TimerFired{MayLot: event.MayLot{Lot: x.Lot}, Timer: event.Name(x.Name), Object: x.Object, Due: event.At(x.Due)}, x.Name, x.Object, x.Due.String())
		}
	}
}

package workflow

import (
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (b *bench) switched(d *event.ActRecorded) Input {
	d.Principal, d.Reason = "rita", "cut-over"
	b.off++
	return Input{Event: b.own(d, "switch", string(rune('a'+b.off))), Principal: "rita", Reason: d.Reason}
}

func (b *bench) offs() (all []store.DispatchOff) {
	b.t.Helper()
	b.view(func(tx *store.Tx) (err error) { all, err = tx.DispatchOffs(); return err })
	return all
}

func (b *bench) doubtful() (at time.Time) {
	b.t.Helper()
	b.view(func(tx *store.Tx) (err error) { at, err = tx.Doubtful(); return err })
	return at
}

func TestEngine_Dispatch(t *testing.T) {
	b := newBench(t)
	b.refusedAct(b.switched(DispatchOn("s4")), problem.RuleRefused, "is not off")
	bad := DispatchOff("s4", time.Time{})
	bad.Detail[detailUntil] = "tomorrow"
	b.refusedAct(b.switched(bad), problem.Usage, "end of a pause")

	b.want(b.apply(b.switched(DispatchOff("s4", time.Time{})))[0], Accepted, "")
	b.want(b.apply(b.switched(DispatchOff("qms1", b.clock.Add(time.Hour))))[0], Accepted, "")
	b.raised(t, AlertDispatch, "qms1", "s4")
	if offs := b.offs(); len(offs) != 2 || offs[1].Principal != "rita" || offs[1].Reason != "cut-over" || !offs[1].Since.Equal(b.clock) {
		t.Fatalf("off is %+v", offs)
	}
	t.Run("APauseEndsByItself", func(t *testing.T) {
		b.pass(59 * time.Minute)
		b.raised(t, AlertDispatch, "qms1", "s4")
		b.pass(time.Minute)
		b.raised(t, AlertDispatch, "s4")
	})
	t.Run("ANewEndTakesThePlaceOfTheOld", func(t *testing.T) {
		b.want(b.apply(b.switched(DispatchOff("qms1", b.clock.Add(time.Hour))))[0], Accepted, "")
		b.want(b.apply(b.switched(DispatchOff("qms1", b.clock.Add(3*time.Hour))))[0], Accepted, "")
		b.pass(2 * time.Hour)
		b.raised(t, AlertDispatch, "qms1", "s4")
	})
	b.want(b.apply(b.switched(DispatchOn("s4")))[0], Accepted, "")
	b.raised(t, AlertDispatch, "qms1")
	if !b.doubtful().IsZero() {
		t.Error("what was asked for is doubted, and nothing was restored")
	}
	t.Run("AnAgentSwitchesNothing", func(t *testing.T) {
		data := DispatchOff("", time.Time{})
		data.Principal, data.Reason, data.Provenance.Source = "eve", "by the plant's door", "agent"
		b.want(b.send("act", data), Accepted, "") // it is an entry of the ledger, and no more
		if offs := b.offs(); len(offs) != 1 || offs[0].System != "qms1" {
			t.Errorf("off is %+v", offs)
		}
	})
}

func TestEngine_Restored(t *testing.T) {
	b := newBench(t)
	for range 2 {
		if err := b.Restored(t.Context(), "the database ends at entry 7"); err != nil {
			t.Fatal(err)
		}
		b.clock = b.clock.Add(time.Minute)
	}
	if offs := b.offs(); len(offs) != 1 || !offs[0].Restored || offs[0].System != "" || !offs[0].Until.IsZero() || !offs[0].Covers("s4", b.clock) {
		t.Fatalf("off is %+v", offs)
	}
	b.raised(t, AlertDispatch, AllSystems)
	b.refusedAct(b.switched(DispatchOff("", b.clock.Add(time.Hour))), problem.RuleRefused, "only a person ends")
	b.want(b.apply(b.switched(DispatchOff("s4", b.clock.Add(time.Hour))))[0], Accepted, "")
	b.want(b.apply(b.switched(DispatchOn("s4")))[0], Accepted, "")
	if offs := b.offs(); len(offs) != 1 {
		t.Fatalf("the end of a pause ended more: %+v", offs)
	}
	b.want(b.apply(b.switched(DispatchOn("")))[0], Accepted, "")
	if len(b.offs()) != 0 || !b.doubtful().Equal(b.clock) {
		t.Errorf("off is %+v, doubted is what was asked for before %s", b.offs(), b.doubtful())
	}
	b.raised(t, AlertDispatch)
}

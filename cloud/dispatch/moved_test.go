package dispatch

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// beforeMark calls f once, between the first decision to write an effect of a kind and the mark that lets it leave.
func (b *bench) beforeMark(decided func() bool, f func()) {
	done := false
	b.cfg.Now = func() time.Time { // the last that a mark asks for before its transaction
		if !done && decided() {
			done = true
			f()
		}
		return b.clock
	}
}

func TestDispatcher_HoldBetweenDecisionAndMark(t *testing.T) {
	newReleased := func(t *testing.T) *bench {
		b := newDeskBench(t)
		b.hold("hold:q:0", event.HoldQuality)
		b.work()
		b.lift("hold:q:0")
		b.decide("disposition:qms1:1", event.DecisionRelease, "")
		return b
	}
	place := func(b *bench) func() { return func() { b.hold("hold:q:1", event.HoldSafety) } }
	t.Run("usage", func(t *testing.T) {
		b := newReleased(t)
		var written []event.UsageStatus
		b.system.answerTo = func(e quality.Effect, land func() connector.Result) connector.Result {
			written = append(written, e.Usage)
			return land()
		}
		b.grant()
		reads := b.system.count("read")
		b.beforeMark(func() bool {
			return b.system.count("read") > reads && b.row(string(quality.LotUsageSet)+"|s4|"+string(testLot)).State == store.EffectLeased
		}, place(b))
		b.work()
		if slices.Contains(written, event.Unrestricted) || b.system.now() != event.Blocked {
			t.Errorf("written %v, the ERP says %s", written, b.system.now())
		}
	})
	t.Run("usage decision", func(t *testing.T) {
		b := newReleased(t)
		b.system.inspections = []connector.Inspection{{ID: "10"}}
		b.grant()
		reads := b.system.count("read")
		b.beforeMark(func() bool {
			return b.system.count("read") > reads && b.row(decisionRow("disposition:qms1:1")).State == store.EffectLeased
		}, place(b))
		b.work()
		if slices.Contains(b.system.kinds, quality.UsageDecisionPost) || b.system.now() != event.Blocked {
			t.Errorf("written %v, the ERP says %s", b.system.kinds, b.system.now())
		}
	})
	t.Run("warehouse tasks", func(t *testing.T) {
		b := newReleased(t)
		b.desk.tasks = []connector.Task{{ID: "T-1", Kind: "pick", State: connector.TaskHeld}}
		var gates []quality.Gate
		b.desk.answerTo = func(e quality.Effect, land func() connector.Result) connector.Result {
			gates = append(gates, e.Gate)
			return land()
		}
		b.grant()
		b.beforeMark(func() bool {
			return b.lot().Release.State == quality.Released && b.row(string(quality.TasksGate)+"|wms|"+string(testLot)).State == store.EffectLeased
		}, place(b))
		b.work()
		if slices.Contains(gates, quality.GateOpen) || b.desk.gate != quality.GateHeld {
			t.Errorf("gates written %v, now %s", gates, b.desk.gate)
		}
	})
}

func TestProtocol_Run_MovedAtTheMark(t *testing.T) {
	s := newSystem()
	marks := 0
	p := &Protocol{
		System: s, Effect: quality.Effect{CommandID: "c", Kind: quality.LotUsageSet, Lot: testLot, Object: string(testLot)},
		Mark: func(context.Context) error {
			if marks++; marks == 1 {
				return ErrMoved
			}
			return nil
		},
		Decide: func(_ context.Context, e quality.Effect, _ *connector.View) (quality.Effect, error) {
			e.Usage = event.Restricted
			if marks > 0 {
				e.Usage = event.Blocked
			}
			return e, nil
		},
	}
	end, err := p.Run(t.Context())
	if err != nil || end.Outcome != event.Applied || s.now() != event.Blocked || s.count("write") != 1 {
		t.Errorf("ended as %+v, %v; %d writes, the system says %s", end, err, s.count("write"), s.now())
	}
}

// feeding is a system that says what changes in it.
type feeding struct{ *system }

func (feeding) Caps() connector.Caps { return connector.Caps{Lock: connector.LockExact, Feed: true} }

func TestDispatcher_ForeignRestrictionTakenBack(t *testing.T) {
	restricted := func(t *testing.T) *bench {
		b := newBench(t)
		b.hold("hold:q:1", event.HoldQuality)
		b.work()
		b.lift("hold:q:1")
		b.system.set(event.Blocked)
		b.grant()
		b.work()
		b.want(store.EffectSettled, event.AlreadyApplied, event.Blocked)
		return b
	}
	t.Run("is seen within minutes where the system has no feed", func(t *testing.T) {
		b := restricted(t)
		reads, events := b.system.count("read"), b.inbox()
		b.wait(2*lookAgain, staleEvery)
		if got := b.system.count("read") - reads; got < 1 || got > 3 || b.inbox() != events {
			t.Errorf("read %d times in %s, with %d new events: want one or two and none", got, 2*lookAgain, b.inbox()-events)
		}
		b.system.set(event.Restricted) // what was ours
		b.wait(lookAgain+staleEvery, staleEvery)
		if b.system.now() != event.Unrestricted || b.lot().Release.State != quality.Released {
			t.Errorf("the ERP says %s, the lot is %s", b.system.now(), b.lot().Release.State)
		}
		reads = b.system.count("read")
		b.wait(2*lookAgain, staleEvery)
		if got := b.system.count("read"); got != reads {
			t.Errorf("a lot that is released was read %d times", got-reads)
		}
	})
	t.Run("is left to the feed where there is one", func(t *testing.T) {
		b := restricted(t)
		b.target("s4").system = feeding{b.system}
		reads := b.system.count("read")
		b.wait(2*lookAgain, staleEvery)
		if got := b.system.count("read"); got != reads {
			t.Errorf("read %d times", got-reads)
		}
	})
}

// inbox returns how many events of the lot were accepted.
func (b *bench) inbox() (n int) {
	b.t.Helper()
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.InboxOfLot(testLot)
		n = len(rows)
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return n
}

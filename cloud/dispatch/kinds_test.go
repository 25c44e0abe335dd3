package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// protocol returns an attempt at an effect of the lot; decide may be nil.
func (s *system) protocol(e quality.Effect, decide func(quality.Effect, *connector.View) (quality.Effect, error)) *Protocol {
	e.CommandID, e.Lot = "c", testLot
	e.Ref = quality.Reference("c")
	return &Protocol{
		System: s, Effect: e, Mark: func(context.Context) error { return nil },
		Decide: func(_ context.Context, e quality.Effect, v *connector.View) (quality.Effect, error) {
			if decide == nil {
				return e, nil
			}
			return decide(e, v)
		},
	}
}

func TestProtocol_Run_Decision(t *testing.T) {
	e := quality.Effect{Kind: quality.UsageDecisionPost, Decision: quality.Release}
	t.Run("each inspection lot is decided once, the disposition asked before each", func(t *testing.T) {
		d := newSystem()
		d.inspections = []connector.Inspection{{ID: "1"}, {ID: "2"}}
		asked := 0
		end, err := d.protocol(e, func(e quality.Effect, _ *connector.View) (quality.Effect, error) { asked++; return e, nil }).Run(t.Context())
		if err != nil || end.Outcome != event.Applied || d.written != 2 || asked != 3 {
			t.Errorf("ended as %+v, %v after %d writes and %d decisions", end, err, d.written, asked)
		}
		if end, err := d.protocol(e, nil).Run(t.Context()); err != nil || end.Outcome != event.AlreadyApplied || d.written != 2 {
			t.Errorf("again: %+v, %v after %d writes", end, err, d.written)
		}
	})
	t.Run("a lot that is not inspected there is decided", func(t *testing.T) {
		d := newSystem()
		if end, err := d.protocol(e, nil).Run(t.Context()); err != nil || end.Outcome != event.AlreadyApplied || d.written != 0 {
			t.Errorf("ended as %+v, %v", end, err)
		}
	})
	t.Run("a hold between two inspection lots stops the second", func(t *testing.T) {
		d := newSystem()
		d.inspections = []connector.Inspection{{ID: "1"}, {ID: "2"}}
		wait := connector.Result{Outcome: event.RetryLater, Code: "not_granted", Waits: true}
		_, err := d.protocol(e, func(e quality.Effect, _ *connector.View) (quality.Effect, error) {
			if d.written == 1 {
				return e, wait
			}
			return e, nil
		}).Run(t.Context())
		if outcomeOf(err) != event.RetryLater || d.written != 1 {
			t.Errorf("got %v after %d writes", err, d.written)
		}
	})
	t.Run("no longer wanted ends as cancelled, and as done where it is there", func(t *testing.T) {
		unwanted := func(e quality.Effect, _ *connector.View) (quality.Effect, error) {
			return e, fmt.Errorf("%w: superseded", ErrUnwanted)
		}
		d := newSystem()
		d.inspections = []connector.Inspection{{ID: "1"}}
		if end, err := d.protocol(e, unwanted).Run(t.Context()); err != nil || end.Outcome != event.Cancelled || d.written != 0 {
			t.Errorf("ended as %+v, %v", end, err)
		}
		d.inspections[0].Decisions = []quality.Decision{quality.Release}
		if end, err := d.protocol(e, unwanted).Run(t.Context()); err != nil || end.Outcome != event.AlreadyApplied {
			t.Errorf("ended as %+v, %v", end, err)
		}
	})
	t.Run("acknowledged and not done is rejected", func(t *testing.T) {
		d := newSystem()
		d.inspections = []connector.Inspection{{ID: "1"}}
		d.answer = func(int, func() connector.Result) connector.Result { return connector.Result{} }
		if end, err := d.protocol(e, nil).Run(t.Context()); err != nil || end.Outcome != event.Rejected || end.Result.Code != "not_done" || d.written != 1 {
			t.Errorf("ended as %+v, %v after %d writes", end, err, d.written)
		}
	})
}

func TestProtocol_Run_AsItIs(t *testing.T) {
	s := newSystem()
	_, end, err := runWith(t, s, quality.Effect{CommandID: "c", Kind: quality.LotUsageSet, Lot: testLot, Usage: event.Blocked}, ErrAsItIs)
	if err != nil || end.Outcome != event.AlreadyApplied || s.written != 0 || s.now() != event.Unrestricted {
		t.Errorf("ended as %+v, %v after %d writes", end, err, s.written)
	}
	bad := errors.New("database")
	if _, _, err := runWith(t, s, quality.Effect{CommandID: "c", Kind: quality.LotUsageSet, Lot: testLot, Usage: event.Blocked}, bad); !errors.Is(err, bad) {
		t.Errorf("got %v", err)
	}
}

// runWith takes an effect through the protocol whose decision returns an error.
func runWith(t *testing.T, s *system, e quality.Effect, decided error) (*Protocol, Ending, error) {
	t.Helper()
	p := &Protocol{
		System: s, Effect: e, Mark: func(context.Context) error { return nil },
		Decide: func(_ context.Context, e quality.Effect, _ *connector.View) (quality.Effect, error) {
			return e, decided
		},
	}
	end, err := p.Run(t.Context())
	return p, end, err
}

const noticeRow = "cmd:w9:notice:test:1:held:1"

// notify asks for a message.
func (b *bench) notify() {
	b.t.Helper()
	b.putNotice(quality.StepWanted)
	b.ask(quality.Intent{
		Kind: quality.NoticeSend, System: "mail", Object: quality.NoticeObject("notice:test:1", quality.NoticeHeld), Lot: testLot, CommandID: noticeRow,
	})
}

func (b *bench) putNotice(held quality.StepState) {
	b.t.Helper()
	n := quality.Notice{ID: "notice:test:1", Version: 1, Order: "SO-1", Line: "10", Customer: "ACME", Lot: testLot, Reason: "torque", Held: held}
	if err := b.store.Update(b.t.Context(), func(tx *store.Tx) error { return tx.PutNotice(&n) }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) ask(i quality.Intent) {
	b.t.Helper()
	if err := b.store.Update(b.t.Context(), func(tx *store.Tx) error {
		_, err := tx.WantEffect(i, b.lot().Version, &event.Event{ID: event.NaturalID("", "test", []string{i.Object}, event.TypeTimerFired, 0)}, b.clock)
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) row(id string) (r store.EffectRow) {
	b.t.Helper()
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) (err error) { r, err = tx.Effect(id); return err }); err != nil {
		b.t.Fatalf("%s: %v", id, err)
	}
	return r
}

// wait lets time pass in steps, and works after each.
func (b *bench) wait(total, step time.Duration) {
	for ; total > 0; total -= step {
		b.clock = b.clock.Add(step)
		b.work()
	}
}

func TestDispatcher_Notice(t *testing.T) {
	lost := func(_ int, land func() connector.Result) connector.Result {
		_ = land()
		return connector.Result{Outcome: event.Unknown, Code: "timeout"}
	}
	never := func(int, func() connector.Result) connector.Result {
		return connector.Result{Outcome: event.Unknown, Code: "timeout"}
	}
	t.Run("is sent once, as the notice is now", func(t *testing.T) {
		b := newDeskBench(t)
		b.notify()
		b.work()
		sent := b.desk.messages()
		if r := b.row(noticeRow); r.State != store.EffectSettled || r.Outcome != event.Applied || len(sent) != 1 {
			t.Fatalf("row %+v, sent %d", r, len(sent))
		}
		if m := sent[0].Notice; m.Order != "SO-1" || m.Step != quality.NoticeHeld || !strings.Contains(m.Reason, "torque") || strings.Contains(m.Reason, "ossible") {
			t.Errorf("message %+v", m)
		}
	})
	t.Run("what is no longer true is cancelled without asking anyone", func(t *testing.T) {
		b := newDeskBench(t)
		b.desk.down = true
		b.notify()
		b.work()
		b.putNotice(quality.StepWithdrawn)
		before := b.desk.asked
		b.wait(longestBackoff, longestBackoff)
		if r := b.row(noticeRow); r.State != store.EffectSettled || r.Outcome != event.Cancelled || b.desk.asked != before || len(b.desk.sent) != 0 {
			t.Errorf("row is %s, %s %s after %d looks", r.State, r.Outcome, r.Message, b.desk.asked-before)
		}
	})
	t.Run("an answer that was lost is looked up", func(t *testing.T) {
		b := newDeskBench(t)
		b.desk.answer = lost
		b.notify()
		b.work()
		b.wait(time.Minute, b.cfg.Settle)
		if r := b.row(noticeRow); r.Outcome != event.AlreadyApplied || len(b.desk.sent) != 1 {
			t.Errorf("row is %s, %s; sent %d times", r.State, r.Outcome, len(b.desk.sent))
		}
	})
	t.Run("what no look-up finds is sent once more, says so, and never a third time", func(t *testing.T) {
		b := newDeskBench(t)
		b.desk.answer, b.desk.hidden = lost, true
		b.notify()
		b.work()
		b.wait(time.Hour, time.Minute)
		sent := b.desk.messages()
		if len(sent) != MostSent || sent[0].Ref != sent[1].Ref || !strings.Contains(sent[1].Notice.Reason, "ossible repeat") {
			t.Fatalf("sent %+v", sent)
		}
		if r := b.row(noticeRow); r.State != store.EffectException || r.Code != string(problem.EffectUnknown) {
			t.Errorf("row is %s, %s %s", r.State, r.Code, r.Message)
		}
		if err := b.store.View(t.Context(), func(tx *store.Tx) error {
			d, err := tx.DoubtOf(noticeRow)
			if d != (store.Doubt{}) {
				t.Errorf("once a person has it, the doubt is %+v: it could never be sent again", d)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("an outage before counts for nothing", func(t *testing.T) {
		b := newDeskBench(t)
		b.desk.answer = func(int, func() connector.Result) connector.Result { return errDown }
		b.notify()
		b.work()
		b.wait(10*time.Minute, longestBackoff)
		b.desk.answer = lost
		b.wait(time.Minute, longestBackoff)
		if r := b.row(noticeRow); r.State != store.EffectSettled || len(b.desk.sent) != 1 {
			t.Errorf("row is %s, %s %s; sent %d times", r.State, r.Outcome, r.Message, len(b.desk.sent))
		}
	})
	t.Run("where nobody can be asked an acknowledgement is all, and a doubt waits a quarter of an hour", func(t *testing.T) {
		b := newDeskBench(t)
		b.desk.blind = true
		b.desk.answer = func(n int, land func() connector.Result) connector.Result {
			if n == 1 {
				return connector.Result{Outcome: event.Unknown, Code: "timeout"}
			}
			return land()
		}
		b.notify()
		b.work()
		b.wait(repeatAfter-time.Minute, time.Minute)
		if b.desk.written != 1 {
			t.Fatalf("sent %d times within the quarter", b.desk.written)
		}
		b.wait(10*time.Minute, time.Minute)
		sent := b.desk.messages()
		if r := b.row(noticeRow); r.Outcome != event.Applied || r.Code != "unverified" || len(sent) != 1 || !strings.Contains(sent[0].Notice.Reason, "ossible repeat") {
			t.Errorf("row is %s, %s %s; sent %+v", r.State, r.Outcome, r.Code, sent)
		}
	})
	t.Run("where nobody can be asked two doubts are for a person", func(t *testing.T) {
		b := newDeskBench(t)
		b.desk.blind, b.desk.answer = true, never
		b.notify()
		b.work()
		b.wait(2*time.Hour, time.Minute)
		if r := b.row(noticeRow); r.State != store.EffectException || b.desk.written != MostSent {
			t.Errorf("row is %s, %s %s; sent %d times", r.State, r.Outcome, r.Code, b.desk.written)
		}
	})
	t.Run("a message that may have been read, and is no longer true, is for a person where nobody can be asked", func(t *testing.T) {
		b := newDeskBench(t)
		b.desk.blind, b.desk.answer = true, never
		b.notify()
		b.work()
		b.putNotice(quality.StepWithdrawn)
		b.wait(time.Hour, time.Minute)
		if r := b.row(noticeRow); r.State != store.EffectException || b.desk.written != 1 {
			t.Errorf("row is %s, %s %s; sent %d times", r.State, r.Outcome, r.Code, b.desk.written)
		}
	})
}

func TestDispatcher_Gate(t *testing.T) {
	row := string(quality.TasksGate) + "|wms|" + string(testLot)
	settled := func(b *bench) (e event.EffectSettled) {
		b.t.Helper()
		r := b.row(row)
		if r.State != store.EffectSettled {
			b.t.Fatalf("gate is %s, %s %s", r.State, r.Outcome, r.Message)
		}
		return event.EffectSettled{Code: r.Code, Message: r.Message}
	}
	b := newDeskBench(t)
	b.desk.gate = quality.GateOpen
	b.desk.tasks = []connector.Task{
		{ID: "T-1", Kind: "pick", State: connector.TaskOpen}, {ID: "T-2", Kind: "pick", State: connector.TaskStarted, Order: "SO-1"},
		{ID: "T-3", Kind: "ship", State: connector.TaskDone, Order: "SO-2"}, {ID: "T-4", Kind: putaway, State: connector.TaskDone},
	}
	b.hold("hold:q:1", event.HoldSafety)
	b.work()
	got := settled(b)
	if b.desk.gate != quality.GateHeld || got.Code != "tasks_started" || !strings.Contains(got.Message, "T-2 (pick) for order SO-1") ||
		!strings.Contains(got.Message, "T-3 (ship)") || strings.Contains(got.Message, "T-4") {
		t.Errorf("gate %s, settled as %q %q", b.desk.gate, got.Code, got.Message)
	}
	b.lift("hold:q:1")
	b.work()
	if b.desk.gate != quality.GateHeld {
		t.Error("tasks were freed before the release was verified in the ERP")
	}
	b.grant()
	b.work()
	if settled(b); b.desk.gate != quality.GateOpen || b.desk.tasks[0].State != connector.TaskOpen || b.system.now() != event.Unrestricted {
		t.Errorf("after the release the gate is %s, the ERP says %s", b.desk.gate, b.system.now())
	}
	b.hold("hold:q:2", event.HoldQuality)
	b.work()
	if settled(b); b.desk.gate != quality.GateHeld {
		t.Error("a hold after the release leaves the tasks free")
	}
}

// decide signs a decision on the whole lot.
func (b *bench) decide(id event.ObjectID, decision event.Decision, supersedes event.ObjectID) {
	b.t.Helper()
	d := event.Disposition{
		OfLot: event.OfLot{Lot: testLot}, DispositionID: id, Q: event.Quantity{Value: "500", Unit: "kg"}, Decision: decision, SignedBy: "eve",
		Reason: "tested", DecidedAt: event.At(b.clock),
	}
	if supersedes == "" {
		b.apply(&event.DispositionDecided{Disposition: d})
		return
	}
	b.apply(&event.DispositionRevised{Disposition: d, Supersedes: supersedes})
}

// usageRow is the effect on the lot's usage in the ERP.
const usageRow = string(quality.LotUsageSet) + "|s4|" + string(testLot)

func decisionRow(id event.ObjectID) string {
	return quality.CommandID("w1", string(id), "usage_decision", 1)
}

func TestDispatcher_Decision(t *testing.T) {
	const first = event.ObjectID("disposition:qms1:1")
	released := func(t *testing.T) *bench {
		b := newBench(t)
		b.system.inspections = []connector.Inspection{{ID: "10"}, {ID: "20"}}
		b.decide(first, event.DecisionRelease, "")
		return b
	}
	t.Run("is posted before the stock is freed, and only with the grant", func(t *testing.T) {
		b := newBench(t)
		b.system.inspections = []connector.Inspection{{ID: "10"}, {ID: "20"}}
		b.hold("hold:q:1", event.HoldQuality)
		b.work()
		b.lift("hold:q:1")
		b.decide(first, event.DecisionRelease, "")
		b.work()
		if b.system.written != 1 || b.system.now() != event.Restricted {
			t.Fatalf("written %v before the plants had answered", b.system.kinds)
		}
		b.grant()
		b.work()
		want := []quality.Kind{quality.LotUsageSet, quality.UsageDecisionPost, quality.UsageDecisionPost, quality.LotUsageSet}
		if !slices.Equal(b.system.kinds, want) || b.system.now() != event.Unrestricted {
			t.Errorf("written %v, want %v; the ERP says %s", b.system.kinds, want, b.system.now())
		}
		if r := b.row(decisionRow(first)); r.State != store.EffectSettled || r.Outcome != event.Applied || r.External != "10,20" {
			t.Errorf("row is %s, %s %s %q", r.State, r.Outcome, r.Message, r.External)
		}
	})
	t.Run("a hold after the grant stops it, and it goes with the next grant", func(t *testing.T) {
		b := released(t)
		b.grant()
		b.hold("hold:q:1", event.HoldSafety)
		b.work()
		r := b.row(decisionRow(first))
		for _, kind := range b.system.kinds {
			if kind == quality.UsageDecisionPost {
				t.Error("a usage decision left under a hold")
			}
		}
		if r.State != store.EffectDue || r.Code != "not_granted" || b.system.now() != event.Blocked {
			t.Fatalf("row is %s, %s; the ERP says %s", r.State, r.Code, b.system.now())
		}
		b.lift("hold:q:1")
		b.grant()
		b.work() // at once: what waits for a grant has no time of its own
		if r := b.row(decisionRow(first)); r.Outcome != event.Applied || b.system.now() != event.Unrestricted || b.lot().Release.State != quality.Released {
			t.Errorf("row is %s, %s %s; the ERP says %s, the lot is %s", r.State, r.Outcome, r.Code, b.system.now(), b.lot().Release.State)
		}
	})
	t.Run("a hold between its two inspection lots stops the second, and the lot stays", func(t *testing.T) {
		b := released(t)
		b.grant()
		b.system.answer = func(n int, land func() connector.Result) connector.Result {
			if n == 1 {
				b.hold("hold:q:1", event.HoldSafety)
			}
			return land()
		}
		b.work()
		if got := b.system.inspections; got[0].Raw == "" || got[1].Raw != "" || b.system.now() != event.Blocked {
			t.Errorf("inspection lots %+v, the ERP says %s", got, b.system.now())
		}
		b.lift("hold:q:1")
		b.grant()
		b.work() // at once: what waits for a grant has no time of its own
		if got := b.system.inspections; got[1].Raw == "" || b.system.now() != event.Unrestricted {
			t.Errorf("after the next grant: inspection lots %+v, the ERP says %s", got, b.system.now())
		}
	})
	t.Run("a grant that comes while it is out lets it go at once", func(t *testing.T) {
		b := released(t)
		b.grant()
		b.hold("hold:q:1", event.HoldQuality)
		b.work()
		b.clock = b.clock.Add(longestBackoff)
		var out claimed
		for rows, _, err := b.claim(t.Context()); len(rows) > 0; rows, _, err = b.claim(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range rows {
				if c.row.Kind == quality.UsageDecisionPost {
					out = c
				} else {
					b.attempt(t.Context(), c)
				}
			}
		}
		a := &attempt{dispatcher: b.Dispatcher, row: &out.row, target: out.target}
		err := a.run(t.Context())
		var r connector.Result
		if !errors.As(err, &r) || r.Code != notGranted {
			t.Fatalf("under a hold it ended with %v", err)
		}
		b.lift("hold:q:1")
		b.grant()
		b.later(t.Context(), a, r)
		b.work()
		if r := b.row(decisionRow(first)); r.Outcome != event.Applied || b.system.now() != event.Unrestricted {
			t.Errorf("row is %s until %s, %s %s; the ERP says %s", r.State, r.Due.Sub(b.clock), r.Outcome, r.Code, b.system.now())
		}
	})
	t.Run("the stock goes as soon as the decision is posted, however long that took", func(t *testing.T) {
		b := newBench(t)
		b.system.inspections = []connector.Inspection{{ID: "10"}}
		b.hold("hold:q:1", event.HoldQuality)
		b.work()
		b.lift("hold:q:1")
		b.decide(first, event.DecisionRelease, "")
		unlocked := b.clock.Add(20 * time.Second)
		b.system.answerTo = func(e quality.Effect, land func() connector.Result) connector.Result {
			if e.Kind == quality.UsageDecisionPost && b.clock.Before(unlocked) {
				return connector.Result{Outcome: event.RetryLater, Code: "locked", Waits: true}
			}
			return land()
		}
		b.grant()
		for b.clock.Before(unlocked) {
			b.work()
			b.clock = b.clock.Add(firstBackoff)
		}
		if n := b.row(usageRow).Tries; n < 3 {
			t.Fatalf("the stock was tried %d times: it has no long wait behind it", n)
		}
		if err := b.store.Update(t.Context(), func(tx *store.Tx) error { // the stock has just been sent away for long
			r := b.row(usageRow)
			return tx.DeferEffect(&r, b.clock.Add(longestBackoff), event.RetryLater, "usage_decision_missing", "")
		}); err != nil {
			t.Fatal(err)
		}
		if due := b.row(decisionRow(first)).Due; due.After(b.clock) {
			b.clock = due
		}
		b.work()
		if b.system.now() != event.Unrestricted || b.lot().Release.State != quality.Released {
			r := b.row(usageRow)
			t.Errorf("the decision is posted and the ERP says %s: the stock waits %s", b.system.now(), r.Due.Sub(b.clock))
		}
	})
	t.Run("a decision that was superseded before its first try is cancelled", func(t *testing.T) {
		b := released(t)
		b.grant()
		b.decide("disposition:qms1:2", event.DecisionReject, first)
		b.work()
		if r := b.row(decisionRow(first)); r.State != store.EffectSettled || r.Outcome != event.Cancelled {
			t.Errorf("row is %s, %s %s", r.State, r.Outcome, r.Message)
		}
		if r := b.row(decisionRow("disposition:qms1:2")); r.Outcome != event.Applied || b.system.inspections[0].Raw != string(event.DecisionReject) || b.system.now() != event.Blocked {
			t.Errorf("row is %s, %s; inspection lots %+v, the ERP says %s", r.State, r.Outcome, b.system.inspections, b.system.now())
		}
	})
	t.Run("where the ERP keeps no inspection lot it settles and says so", func(t *testing.T) {
		b := released(t)
		b.system.inspections = nil
		b.grant()
		b.work()
		if r := b.row(decisionRow(first)); r.Outcome != event.AlreadyApplied || r.Code != "no_inspection_lot" {
			t.Errorf("row is %s, %s %s", r.State, r.Outcome, r.Code)
		}
	})
}

func TestDispatcher_Usage_PartOfALot(t *testing.T) {
	b := newBench(t)
	part := []connector.Stock{{Plant: "1010", Usage: event.Unrestricted}, {Plant: "1010", Usage: event.InInspection}}
	b.work()
	b.system.stock = part
	b.ask(quality.Intent{Kind: quality.LotUsageSet, System: "s4", Object: string(testLot), Lot: testLot})
	b.work()
	r := b.row("erp.lot_usage.set|s4|" + string(testLot))
	lot := b.lot()
	usage, _ := lot.UsageIn("s4")
	if r.State != store.EffectSettled || b.system.written != 0 || usage.Usage != event.InInspection {
		t.Errorf("row is %s, %s after %d writes; the lot counts as %s: want what is free left so, and the lot not released", r.State, r.Outcome, b.system.written, usage.Usage)
	}
	b.hold("hold:q:1", event.HoldQuality)
	b.work()
	if b.system.now() != event.Restricted {
		t.Errorf("a hold leaves the free part as it is: the ERP says %s", b.system.now())
	}
}

func TestDispatcher_Usage_StockElsewhere(t *testing.T) {
	b := newBench(t)
	b.cfg.Plant = func(_, name string) event.PlantID { return map[string]event.PlantID{"1010": "p1", "2010": "p2"}[name] }
	b.hold("hold:q:1", event.HoldSafety)
	b.work()
	b.lift("hold:q:1")
	b.grant()
	b.system.stock = []connector.Stock{{Plant: "1010", Usage: event.Blocked}, {Plant: "2010", Usage: event.Blocked}, {Plant: "9999", Usage: event.Blocked}}
	b.work()
	if b.system.now() != event.Blocked {
		t.Fatal("a lot was freed with stock at a plant that nobody asked")
	}
	var timers []quality.Timer
	if err := b.store.View(t.Context(), func(tx *store.Tx) (err error) { timers, err = tx.Timers(100); return err }); err != nil {
		t.Fatal(err)
	}
	asked := false
	for _, x := range timers {
		asked = asked || x.Name == quality.TimerWithdrawn && strings.Contains(x.Object, "p2")
	}
	if !asked {
		t.Errorf("plant p2 is not asked: %+v", timers)
	}
}

// plain is a system without effects.
type plain struct{ *system }

func (plain) Kinds() []quality.Kind { return nil }

func TestDispatcher_MissingKind(t *testing.T) {
	b := newDeskBench(t)
	b.target("s4").system, b.target("mail").system = plain{b.system}, plain{b.system}
	b.decide("disposition:qms1:1", event.DecisionReject, "")
	b.notify()
	b.work()
	if r := b.row(decisionRow("disposition:qms1:1")); r.State != store.EffectSettled || r.Code != noInspectionLot {
		t.Errorf("an ERP without usage decisions: %s, %s %s", r.State, r.Outcome, r.Code)
	}
	if r := b.row(noticeRow); r.State != store.EffectException || !strings.Contains(r.Message, "a person") {
		t.Errorf("a system that sends nothing: %s, %s", r.State, r.Message)
	}
	if b.system.written != 0 {
		t.Errorf("%d writes", b.system.written)
	}
}

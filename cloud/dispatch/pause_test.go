package dispatch

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// off turns dispatch off for a system, or for all, until a time or until it is turned on.
func (b *bench) off(system string, until time.Time) {
	b.t.Helper()
	d := workflow.DispatchOff(system, until)
	d.Principal, d.Reason = "eve", "cut-over"
	b.apply(d)
}

func (b *bench) on(system string) {
	b.t.Helper()
	d := workflow.DispatchOn(system)
	d.Principal, d.Reason = "eve", "done"
	b.apply(d)
}

func TestDispatcher_Off(t *testing.T) {
	t.Run("nothing is written, and all of it once it is on", func(t *testing.T) {
		b := newBench(t)
		b.work()
		b.off("", time.Time{})
		b.hold("hold:q:1", event.HoldSafety)
		if n := b.work(); n != 0 || b.system.now() != event.Unrestricted {
			t.Fatalf("%d attempts while dispatch is off, the ERP says %s", n, b.system.now())
		}
		b.on("")
		b.work()
		b.want(store.EffectSettled, event.Applied, event.Blocked)
	})
	t.Run("a pause is of one system, and ends by itself", func(t *testing.T) {
		b := newDeskBench(t)
		b.work()
		b.off("s4", b.clock.Add(time.Minute))
		b.notify()
		b.hold("hold:q:1", event.HoldSafety)
		b.work()
		if len(b.desk.messages()) != 1 || b.system.now() != event.Unrestricted {
			t.Fatalf("%d messages, the ERP says %s: want the other systems written to, and this one not", len(b.desk.messages()), b.system.now())
		}
		b.clock = b.clock.Add(time.Minute)
		b.work()
		if b.system.now() != event.Blocked {
			t.Errorf("after the pause the ERP says %s", b.system.now())
		}
	})
	t.Run("an effect that was claimed before is not written after", func(t *testing.T) {
		b := newBench(t)
		b.work()
		b.hold("hold:q:1", event.HoldSafety)
		written := b.system.written
		reads := b.system.count("read")
		b.beforeMark(func() bool { return b.system.count("read") > reads && b.effects()[0].State == store.EffectLeased }, func() { b.off("", time.Time{}) })
		b.work()
		if r := b.effects()[0]; b.system.written != written || r.State != store.EffectDue || r.Code != "dispatch_off" || r.Attempts != 0 {
			t.Fatalf("%d writes; the effect is %s, %s, written %d times", b.system.written-written, r.State, r.Code, r.Attempts)
		}
		b.on("") // it is due at once, whatever its back-off was
		b.work()
		b.want(store.EffectSettled, event.Applied, event.Blocked)
	})
	t.Run("the metric tells", func(t *testing.T) {
		b := newBench(t)
		b.off("s4", time.Time{})
		reg := prometheus.NewRegistry()
		reg.MustRegister(switches{b.Dispatcher})
		if got := figures(t, reg, "holdfast_cloud_dispatch_on"); !maps.Equal(got, map[string]float64{"/qms1": 1, "/s4": 0}) {
			t.Errorf("it is %v", got)
		}
	})
}

// TestDispatcher_Restored: what was asked for in front of a restore may have been done in the life that is lost.
func TestDispatcher_Restored(t *testing.T) {
	restore := func(b *bench) {
		b.t.Helper()
		if err := b.engine.Restored(b.t.Context(), "an older copy"); err != nil {
			b.t.Fatal(err)
		}
		if n := b.work(); n != 0 {
			b.t.Fatalf("%d attempts after a restore", n)
		}
		b.clock = b.clock.Add(time.Hour)
		b.on("")
	}
	t.Run("a message is closed unsent", func(t *testing.T) {
		b := newDeskBench(t)
		b.work()
		b.notify()
		restore(b)
		b.work()
		if r := b.row(noticeRow); r.State != store.EffectSettled || r.Outcome != event.Cancelled || !strings.Contains(r.Message, "restored") || len(b.desk.messages()) != 0 {
			t.Errorf("the message is %s, %s %s; %d were sent", r.State, r.Outcome, r.Message, len(b.desk.messages()))
		}
	})
	t.Run("a message that the system shows counts as sent", func(t *testing.T) {
		b := newDeskBench(t)
		b.work()
		b.notify()
		r := b.row(noticeRow)
		b.desk.sent = append(b.desk.sent, quality.Effect{Ref: quality.Reference(r.CommandID), Kind: quality.NoticeSend})
		restore(b)
		b.work()
		if r = b.row(noticeRow); r.Outcome != event.AlreadyApplied || len(b.desk.messages()) != 1 {
			t.Errorf("the message is %s, %s %s; %d were sent", r.State, r.Outcome, r.Message, len(b.desk.messages()))
		}
	})
	t.Run("where nobody can be asked it is closed unsent, too", func(t *testing.T) {
		b := newDeskBench(t)
		b.desk.blind = true
		b.work()
		b.notify()
		restore(b)
		b.work()
		if r := b.row(noticeRow); r.State != store.EffectSettled || r.Outcome != event.Cancelled || r.Code != codeRestored || len(b.desk.messages()) != 0 {
			t.Errorf("the message is %s, %s %s; %d were sent", r.State, r.Outcome, r.Code, len(b.desk.messages()))
		}
	})
	t.Run("what is asked for later is carried out as ever", func(t *testing.T) {
		b := newDeskBench(t)
		b.work()
		restore(b)
		b.notify()
		b.work()
		if len(b.desk.messages()) != 1 {
			t.Errorf("%d messages were sent", len(b.desk.messages()))
		}
	})
	t.Run("a state is compared and set", func(t *testing.T) {
		b := newBench(t)
		b.work()
		b.hold("hold:q:1", event.HoldSafety)
		restore(b)
		b.work()
		b.want(store.EffectSettled, event.Applied, event.Blocked)
	})
}

package reconcile

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testLot = event.LotKey("lot::M:1")

// source is a system with a feed in memory. Its cursor is the number of the view behind which it goes on, and its
// sweeps show everything.
type source struct {
	mu     sync.Mutex // guards all below
	views  map[string]connector.View
	hidden map[string]connector.View // what a read shows instead of what the list shows
	down   bool
	lists  int
	reads  int
}

func newSource() *source {
	return &source{views: map[string]connector.View{}, hidden: map[string]connector.View{}}
}

func (s *source) Kinds() []quality.Kind                                     { return nil }
func (s *source) Caps() connector.Caps                                      { return connector.Caps{Feed: true} }
func (s *source) Check(context.Context) ([]connector.Finding, error)        { return nil, nil }
func (s *source) Find(context.Context, quality.Effect) ([]event.Ref, error) { return nil, nil }
func (s *source) Write(context.Context, quality.Effect, connector.Version) connector.Result {
	panic("reconcile wrote to a system")
}

var errDown = connector.Result{Outcome: event.RetryLater, Code: "503"}

func (s *source) Read(_ context.Context, o connector.Object) (connector.View, connector.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.down {
		return connector.View{}, nil, errDown
	}
	if v, ok := s.hidden[o.ID]; ok {
		return v, nil, nil
	}
	v, ok := s.views[o.ID]
	if !ok {
		return connector.View{Object: o}, nil, nil
	}
	return v, nil, nil
}

func (s *source) Changes(_ context.Context, since connector.Cursor, limit int) ([]connector.View, connector.Cursor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	if s.down {
		return nil, since, errDown
	}
	after := strings.TrimPrefix(string(since), "after ")
	var page []connector.View
	for _, id := range slices.Sorted(maps.Keys(s.views)) {
		if id > after && len(page) < limit {
			page = append(page, s.views[id])
		}
	}
	if len(page) < limit {
		return page, "after ", nil // the next sweep
	}
	last := page[len(page)-1]
	return page, connector.Cursor("after " + objectID(&last)), nil
}

func (s *source) put(v connector.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.Exists = true
	s.views[objectID(&v)] = v
}

func (s *source) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// decision shows a signed decision on the whole test lot.
func decision(id string, version int64, d quality.Decision, supersedes string) connector.View {
	return connector.View{
		Object: connector.Object{Kind: connector.ObjectDecision, Lot: testLot, ID: id},
		Disposition: &connector.Disposition{
			Version: version, Decision: d, Raw: string(d), SignedBy: "Eve Q", Reason: "tested " + id, Supersedes: supersedes,
			DecidedAt: time.Date(2026, 11, 24, 12, int(version), 0, 0, time.UTC),
		},
	}
}

// bench is a follower of a source, with an engine and a clock that tests move.
type bench struct {
	*follower
	t      *testing.T
	source *source
	clock  time.Time
	deps   Deps
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "holdfast.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{t: t, source: newSource(), clock: time.Date(2026, 11, 24, 13, 0, 0, 0, time.UTC)}
	now := func() time.Time { return b.clock }
	engine := workflow.New(s, workflow.Config{
		Plants: map[event.PlantID]quality.Plant{"p1": {ID: "p1", ERP: "sys"}}, Materials: map[string]quality.Material{"M": {BaseUnit: "kg"}},
	}, now, zerolog.Nop(), nil)
	b.deps = Deps{Owner: "a", Store: s, Engine: engine, Now: now, Log: zerolog.Nop()}
	b.restart()
	b.lotCreated(testLot)
	return b
}

// restart makes a new follower, as a new process does.
func (b *bench) restart() {
	feed := Feed{ID: "sys", System: b.source, Config: Config{Page: 2}.WithDefaults()}
	b.follower = newFollower(feed, b.deps, newMetrics(nil))
}

func (b *bench) lotCreated(lot event.LotKey) {
	b.t.Helper()
	data := &event.LotCreated{
		OfLot: event.OfLot{Lot: lot}, Material: "M", Q: event.Quantity{Value: "500", Unit: "kg"}, Origin: "work_order:mes1:1",
		Traced: event.Traced{Provenance: event.Provenance{Source: "mes"}},
	}
	b.apply(data, string(lot))
}

func (b *bench) apply(data event.Data, key ...string) {
	b.t.Helper()
	data.ReadBy().Source = "test"
	e := &event.Event{ID: event.NaturalID("p1", "test", key, data.Type(), 0), Source: "/p1/test", Plant: "p1", Time: b.clock, Recorded: b.clock, Data: data}
	results, err := b.deps.Engine.Apply(b.t.Context(), []workflow.Input{{Event: e}}, nil)
	if err != nil || results[0].Outcome != workflow.Accepted {
		b.t.Fatalf("%s: %+v, %v", data.Type(), results, err)
	}
}

// sweep steps until nothing follows at once, and returns how often it did.
func (b *bench) sweep() (steps int) {
	b.t.Helper()
	for {
		steps++
		more, err := b.step(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if !more {
			return steps
		}
	}
}

// events returns what was taken in about a lot, oldest first, without its creation.
func (b *bench) events(lot event.LotKey) (all []event.Data) {
	b.t.Helper()
	if err := b.deps.Store.View(b.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.InboxOfLot(lot)
		for _, r := range rows {
			if r.Event.Data.Type() != event.TypeLotCreated {
				all = append(all, r.Event.Data)
			}
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return all
}

func (b *bench) unreadObjects() (all []store.Unread) {
	b.t.Helper()
	if err := b.deps.Store.View(b.t.Context(), func(tx *store.Tx) (err error) { all, err = tx.UnreadOf("", 100); return err }); err != nil {
		b.t.Fatal(err)
	}
	return all
}

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
	state(quality.Releasing) // the plant has no agent that could be asked
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

func TestFollower_SystemDown(t *testing.T) {
	b := newBench(t)
	b.source.put(decision("D1", 1, quality.Release, ""))
	b.sweep()
	b.source.set(func() { b.source.down = true })
	for i := range 5 {
		if wait := b.turn(t.Context()); wait < firstBackoff/2 || wait > longestBackoff {
			t.Errorf("failure %d: waits %s", i+1, wait)
		}
		b.clock = b.clock.Add(10 * time.Second)
	}
	if got := b.age(); got < 50*time.Second {
		t.Errorf("the feed is %s old after 50 s without an answer", got)
	}
	b.source.put(decision("D2", 1, quality.Reject, "D1")) // signed meanwhile
	b.source.set(func() { b.source.down = false })
	b.sweep()
	if len(b.events(testLot)) != 2 || b.age() != 0 {
		t.Errorf("%d events, the feed is %s old", len(b.events(testLot)), b.age())
	}
	got := b.turn(t.Context())
	if got == 0 { // a full page: the next one follows at once
		got = b.turn(t.Context())
	}
	if got != b.feed.Config.Interval {
		t.Errorf("after an answer it waits %s", got)
	}
}

func TestFollower_CrashBeforeTheCursor(t *testing.T) {
	b := newBench(t)
	for i := range 7 {
		lot := event.LotKey("lot::M:c" + strconv.Itoa(i))
		b.lotCreated(lot)
		v := decision("D"+strconv.Itoa(i), 1, quality.Release, "")
		v.Lot = lot
		b.source.put(v)
	}
	if more, err := b.step(t.Context()); err != nil || !more {
		t.Fatalf("first page: %t, %v", more, err)
	}
	at, _, err := b.position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.save(t.Context(), at); err != nil { // as if the second page's cursor had not been stored
		t.Fatal(err)
	}
	b.restart()
	b.sweep()
	for i := range 7 {
		if got := b.events(event.LotKey("lot::M:c" + strconv.Itoa(i))); len(got) != 1 {
			t.Errorf("lot %d has %d events", i, len(got))
		}
	}
}

func TestFollower_FullPass(t *testing.T) {
	b := newBench(t)
	b.source.put(decision("D1", 1, quality.Release, ""))
	if err := b.save(t.Context(), store.Feed{Cursor: "after Z", Full: b.clock.Add(-time.Hour)}); err != nil { // a cursor behind it
		t.Fatal(err)
	}
	b.sweep()
	if len(b.events(testLot)) != 1 {
		t.Fatal("what lies behind the cursor was not found at the start")
	}
	lists := b.source.lists
	b.sweep()
	if b.source.lists != lists+1 {
		t.Errorf("%d lists in a sweep, want everything once a week alone", b.source.lists-lists)
	}
	b.clock = b.clock.Add(b.feed.Config.Full)
	lists = b.source.lists
	b.sweep()
	if b.source.lists != lists+2 {
		t.Errorf("%d lists a week later, want those of the feed and of everything", b.source.lists-lists)
	}
}

func TestFollower_FullPass_OnePageAtEachLook(t *testing.T) {
	b := newBench(t)
	for i := range 5 {
		lot := event.LotKey("lot::M:f" + strconv.Itoa(i))
		b.lotCreated(lot)
		v := decision("D"+strconv.Itoa(i), 1, quality.Release, "")
		v.Lot = lot
		b.source.put(v)
	}
	b.source.put(decision("Z", 1, quality.Release, "")) // new behind the cursor
	if err := b.save(t.Context(), store.Feed{Cursor: "after Y", Full: b.clock}); err != nil {
		t.Fatal(err)
	}
	for look, want := range []int{2, 4, 5} {
		// The source's next sweep shows everything again: it is held at the cursor.
		if err := b.save(t.Context(), store.Feed{Cursor: "after Y", Full: b.clock}); err != nil {
			t.Fatal(err)
		}
		if more, err := b.step(t.Context()); err != nil || more {
			t.Fatalf("look %d: %t, %v; want the next page at the next look", look+1, more, err)
		}
		got := 0
		for i := range 5 {
			got += len(b.events(event.LotKey("lot::M:f" + strconv.Itoa(i))))
		}
		if got != want || len(b.events(testLot)) != 1 {
			t.Errorf("look %d: %d old decisions, %d new; want %d and the new one first", look+1, got, len(b.events(testLot)), want)
		}
	}
}

func TestFollower_OneCopyAtATime(t *testing.T) {
	b := newBench(t)
	b.source.put(decision("D1", 1, quality.Release, ""))
	b.sweep()
	deps := b.deps
	deps.Owner = "b"
	other := newFollower(b.feed, deps, newMetrics(nil))
	lists := b.source.lists
	if more, err := other.step(t.Context()); err != nil || more || b.source.lists != lists || other.age() != 0 {
		t.Errorf("the second copy: %t, %v, %d lists, age %s", more, err, b.source.lists-lists, other.age())
	}
	b.clock = b.clock.Add(leaseLength)
	if _, err := other.step(t.Context()); err != nil || b.source.lists == lists {
		t.Errorf("the second copy does not take over: %v", err)
	}
	if err := b.save(t.Context(), store.Feed{}); err == nil {
		t.Error("the first copy stored a cursor after it was taken over")
	}
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

func TestReconciler_Run(t *testing.T) {
	b := newBench(t)
	b.source.put(decision("D1", 1, quality.Release, ""))
	reg := prometheus.NewRegistry()
	deps := b.deps
	deps.Reg, deps.Now = reg, time.Now
	deaf := &deafSource{source: newSource()}
	r, err := New([]Feed{{ID: "sys", System: b.source, Config: Config{Interval: time.Millisecond}}, {ID: "none", System: deaf}}, deps)
	if err != nil || len(r.followers) != 1 {
		t.Fatalf("followers %d, %v; want the system with a feed alone", len(r.followers), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	limit := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for len(b.events(testLot)) == 0 && time.Now().Before(limit) {
		<-tick.C
	}
	cancel()
	if err := <-done; err != nil || len(b.events(testLot)) != 1 {
		t.Errorf("%d events, %v", len(b.events(testLot)), err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
	}
	for _, want := range []string{"holdfast_cloud_feed_age_seconds", "holdfast_cloud_feed_errors_total", "holdfast_cloud_feed_events_total", "holdfast_cloud_feed_unread_objects"} {
		if !names[want] {
			t.Errorf("no metric %s", want)
		}
	}
}

// deafSource has no feed.
type deafSource struct{ *source }

func (*deafSource) Caps() connector.Caps { return connector.Caps{} }

func TestNew_Err(t *testing.T) {
	for name, cfg := range map[string]Config{"interval": {Interval: -1}, "page": {Page: 5000}, "full": {Full: -1}} {
		if _, err := New([]Feed{{ID: "sys", System: newSource(), Config: cfg}}, Deps{Now: time.Now}); err == nil || !strings.Contains(err.Error(), "sys") {
			t.Errorf("%s: %v; want an error that names the system", name, err)
		}
	}
}

func TestFollower_Backoff(t *testing.T) {
	f := &follower{feed: Feed{Config: Config{Interval: 2 * time.Second}}}
	for _, c := range []struct {
		failures int
		err      error
		min, max time.Duration
	}{
		{1, fmt.Errorf("x: %w", errDown), firstBackoff / 2, firstBackoff},
		{40, errDown, 2 * time.Second, 4 * time.Second},
		{1, connector.Result{Outcome: event.RetryLater, RetryAfter: time.Minute}, time.Minute, time.Minute},
		{1, connector.Result{Outcome: event.RetryLater, RetryAfter: time.Hour}, connector.MaxRetryAfter, connector.MaxRetryAfter},
	} {
		f.failures = c.failures
		for range 50 {
			if got := f.backoff(c.err); got < c.min || got > c.max {
				t.Fatalf("%d failures, %v: %s, want %s to %s", c.failures, c.err, got, c.min, c.max)
			}
		}
	}
}

package reconcile

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
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
	s := storetest.Open(t)
	b := &bench{t: t, source: newSource(), clock: time.Date(2026, 11, 24, 13, 0, 0, 0, time.UTC)}
	now := func() time.Time { return b.clock }
	engine := workflow.New(s, workflow.Config{
		Plants: map[event.PlantID]quality.Plant{"p1": {ID: "p1", ERP: "sys"}}, Materials: map[string]quality.Material{"M": {BaseUnit: "kg"}},
	}, now, zerolog.Nop(), nil)
	b.deps = Deps{Owner: "a", Store: s, Engine: engine, Now: now, Log: zerolog.Nop()}
	retireAgent(t, s)
	b.restart()
	b.lotCreated(testLot)
	return b
}

// retireAgent makes plant p1 one whose agent was retired: no release there has anybody to ask.
func retireAgent(t *testing.T, s *store.Store) {
	t.Helper()
	gone := store.EpochRow{Plant: "p1", Agent: "gw1", Epoch: "0123456789abcdef0123456789abcdef", Prev: event.NoPrev, Closed: true}
	if err := s.Update(t.Context(), func(tx *store.Tx) error { return tx.PutEpoch(&gone) }); err != nil {
		t.Fatal(err)
	}
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

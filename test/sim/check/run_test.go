package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

const (
	lotA  = event.LotKey("lot::M:A")
	lotB  = event.LotKey("lot::M:B")
	older = event.Epoch("11111111111111111111111111111111")
	newer = event.Epoch("22222222222222222222222222222222")
	topic = "holdfast.p1.quality.v1"
)

func at(second int) time.Time {
	return time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC).Add(time.Duration(second) * time.Second)
}

// tale is a run that is written down by hand. Facts are found again by a name.
type tale struct {
	run   Run
	pos   int64
	seqs  map[event.Epoch]int64
	place int64
}

// find returns the fact of a kind about an event, lot or object; the test breaks where there is none.
func (a *tale) find(kind history.Kind, name string) *history.Fact {
	for i := range a.run.History {
		f := &a.run.History[i]
		if f.Kind == kind && slices.Contains([]string{string(f.Event), string(f.Lot), f.Object, f.Gap, f.Hold, string(f.Origin.Epoch), f.Effect}, name) {
			return f
		}
	}
	panic(fmt.Sprintf("the tale has no %s of %s", kind, name))
}

// drop takes facts out.
func (a *tale) drop(kind history.Kind, name string) {
	gone := a.find(kind, name)
	a.run.History = slices.DeleteFunc(a.run.History, func(f history.Fact) bool {
		return f.Kind == gone.Kind && f.Event == gone.Event && f.Object == gone.Object && f.Lot == gone.Lot && f.Gap == gone.Gap && f.Hold == gone.Hold && f.Origin == gone.Origin && f.Effect == gone.Effect && f.State == gone.State
	})
}

func (a *tale) add(f history.Fact) *history.Fact {
	if f.At.IsZero() {
		f.At = at(len(a.run.History))
	}
	a.run.History = append(a.run.History, f)
	return &a.run.History[len(a.run.History)-1]
}

// sends lets the agent of p1 put an event on disk, of which its source was told, and the cloud apply it.
func (a *tale) sends(epoch event.Epoch, typ event.Type, lot event.LotKey, id event.ID) *history.Fact {
	a.seqs[epoch]++
	spec, _ := event.Lookup(typ)
	f := history.Fact{
		Plant: "p1", Agent: "gw1", Event: id, Type: typ, Lot: lot, Hash: event.Hash("hash of " + id), Bytes: event.Hash("bytes of " + id),
		Origin: history.Origin{Epoch: epoch, Lane: event.LaneQuality, Seq: a.seqs[epoch]}, Urgent: spec.Urgent, Key: string(lot), Time: at(len(a.run.History)),
	}
	if f.Key == "" {
		f.Key = "gw1"
	}
	said := f
	if !strings.HasPrefix(string(typ), "agent.") {
		said.Origin = history.Origin{}
		said.Kind = history.Offered
		a.add(said)
		said.Kind = history.Acknowledged
		a.add(said)
	}
	f.Place = history.Place{Topic: topic, Partition: 1, Offset: a.place}
	a.place++
	f.Kind = history.Put
	a.add(f)
	f.Kind, f.Door = history.Inbox, "P"
	return a.applies(f)
}

func (a *tale) applies(f history.Fact) *history.Fact {
	a.pos++
	f.Kind, f.Pos = history.Inbox, a.pos
	a.add(history.Fact{
		Kind: history.Ledger, Principal: "p1/gw1", Object: string(f.Lot), Version: int64(len(a.entries(string(f.Lot)))) + 1,
		Place: history.Place{Offset: a.pos}, Chain: fmt.Sprintf("chain %d", a.pos), Before: fmt.Sprintf("chain %d", a.pos-1),
	})
	return a.add(f)
}

func (a *tale) entries(object string) (all []*history.Fact) {
	for _, f := range a.run.History.Of(history.Ledger) {
		if f.Object == object && f.State == "" {
			all = append(all, f)
		}
	}
	return all
}

// decides lets a person decide about a lot, in the QMS.
func (a *tale) decides(lot event.LotKey, id, decision string) {
	a.add(history.Fact{Kind: history.Offered, Door: "C", Type: event.TypeDispositionDecided, Lot: lot, Object: id, Detail: decision})
	a.applies(history.Fact{Door: "C", Principal: "feed:qms1", Event: event.ID("n-" + id), Type: event.TypeDispositionDecided, Lot: lot, Key: string(lot), Object: id, Detail: decision})
}

// grants lets the cloud ask about a lot, the agent answer, and the cloud grant the release.
func (a *tale) grants(lot event.LotKey, barrier int64) *history.Fact {
	a.add(history.Fact{Kind: history.Barrier, Lot: lot, Barrier: barrier, Agents: []string{"p1/gw1"}})
	a.add(history.Fact{
		Kind: history.Head, Plant: "p1", Agent: "gw1", Barrier: barrier,
		Heads: []history.Stated{{Epoch: older, Quality: a.seqs[older]}, {Epoch: newer, Quality: a.seqs[newer]}},
	})
	timer := event.ID(fmt.Sprintf("n-timer-%d", barrier))
	x := a.applies(history.Fact{Door: "C", Event: timer, Type: event.TypeTimerFired, Lot: lot, Key: string(lot), Object: fmt.Sprintf("%s#%d#1", lot, barrier)})
	return a.add(history.Fact{Kind: history.Release, Lot: lot, Barrier: barrier, Pos: x.Pos, Event: timer})
}

// shows lets a target change, as its own book has it.
func (a *tale) shows(system string, lot event.LotKey, effect, reference string, free bool) *history.Fact {
	return a.add(history.Fact{Kind: history.EffectSeen, System: system, Key: string(lot), Lot: lot, Effect: effect, Reference: reference, Record: "doc-" + reference, Free: free})
}

// good tells of two lots. Lot A is made, inspected, decided about, released and freed, over a restart of its agent. Lot B
// fails for safety, is held and blocked, with a record in the QMS, and stays so.
func good() *tale {
	a := &tale{seqs: map[event.Epoch]int64{}}
	a.run.ERPs = []string{"s4"}
	a.sends(older, event.TypeEpochOpened, "", "n-opened-1")
	a.sends(older, event.TypeLotCreated, lotA, "n-made").Equipment = "press1"
	a.sends(older, event.TypeRunStarted, lotA, "n-run").Equipment = "press1"
	a.sends(older, event.TypeCharacteristicRecorded, lotA, "n-pass")
	a.sends(newer, event.TypeEpochOpened, "", "n-opened-2")
	a.sends(newer, event.TypeRunEnded, lotA, "n-end").Equipment = "press1"
	a.sends(newer, event.TypeInspectionCompleted, lotA, "n-done")
	a.add(history.Fact{
		Kind: history.Epoch, Plant: "p1", Agent: "gw1", Origin: history.Origin{Epoch: older}, State: history.Closed, At: at(0),
		Closing: map[string]int64{"quality": 4, "telemetry": 9}, Covered: map[string]history.Seqs{"quality": {{1, 4}}, "telemetry": {{1, 3}, {6, 9}}},
	})
	a.add(history.Fact{
		Kind: history.Gap, Plant: "p1", Agent: "gw1", Gap: "gap:shed", State: history.Open, Reason: "shed", Pos: 3, Count: 2,
		Origin: history.Origin{Epoch: older, Lane: event.LaneTelemetry, Seq: 4}, ToSeq: 5,
	})
	a.add(history.Fact{
		Kind: history.Epoch, Plant: "p1", Agent: "gw1", Origin: history.Origin{Epoch: newer}, Prev: older, State: history.Open, At: at(1),
		Covered: map[string]history.Seqs{"quality": {{1, 5}}},
	})
	a.shows("s4", lotA, "flag_set", "", false)
	a.decides(lotA, "disposition:qms1:D-1", "release")
	a.grants(lotA, 1)
	a.add(history.Fact{Kind: history.Intent, By: history.Announced, System: "s4", Effect: "erp.usage_decision.post", Object: "disposition:qms1:D-1", Lot: lotA, Command: "cmd:1", Reference: "HF00000000000001"})
	a.shows("s4", lotA, "usage_decision", "HF00000000000001", false)
	a.shows("s4", lotA, "flag_cleared", "", true)
	a.shows("wms1", lotA, "tasks_released", "", false)
	a.sends(newer, event.TypeSafetyFailed, lotB, "n-unsafe")
	a.add(history.Fact{Kind: history.Hold, Lot: lotB, Hold: "hold:mes1:I-B", State: history.Placed, HoldKind: "safety", Event: "n-unsafe", Pos: a.pos, At: at(60)})
	a.shows("s4", lotB, "flag_set", "", false)
	a.add(history.Fact{Kind: history.Intent, System: "qms1", Effect: "qms.nonconformance.ensure", Object: "nonconformance:mes1:I-B", Command: "cmd:2", Reference: "HF00000000000002"})
	a.add(history.Fact{Kind: history.EffectSeen, System: "qms1", Key: "nonconformance:mes1:I-B", Effect: "record_created", Record: "QE-1", Reference: "HF00000000000002"})
	a.add(history.Fact{Kind: history.Ledger, State: history.Anchored, Place: history.Place{Offset: a.pos - 1}, Chain: fmt.Sprintf("chain %d", a.pos-1), At: at(62)})
	a.add(history.Fact{Kind: history.Queue, Plant: "p1", Agent: "gw1", Origin: history.Origin{Lane: event.LaneQuality}, Size: 100, Quota: 200})
	a.add(history.Fact{Kind: history.Parked, Event: "n-odd", Lot: lotB, Key: string(lotB), State: history.Dropped, Reason: "nobody knows", Bytes: "bytes of n-odd", Ord: 1, At: at(50), Until: at(51)})
	other := *a.find(history.Put, "n-pass")
	other.Hash, other.Bytes, other.Place.Offset = "hash of a forgery", "bytes of a forgery", a.place
	a.add(other)
	other.Kind, other.Lot, other.Reason = history.Quarantined, "", "another content under a known id"
	a.add(other)
	dump := func(name string) *history.Dump {
		return &history.Dump{
			Name: name, Objects: map[string]string{"lot " + string(lotA): `{"version":7}`, "hold H@" + string(lotB): `{"kind":"safety","version":1}`},
			Versions: map[string]int64{string(lotA): int64(len(a.entries(string(lotA))))}, Coverage: map[string]string{"p1/gw1 1 quality": "1-4"},
			Inbox: map[event.ID]event.Hash{"n-made": "hash of n-made"}, Writes: map[string]map[string]int{"s4": {"flag_set": 2}},
		}
	}
	a.run.End, a.run.Redelivered, a.run.Rebuilt, a.run.Shuffled, a.run.Replayed = dump("end"), dump("again"), dump("anew"), dump("shuffled"), dump("replayed")
	return a
}

// TestAll_AcceptsAGoodHistory proves that no checker is so strict that it could not be met, and that each judges something.
func TestAll_AcceptsAGoodHistory(t *testing.T) {
	violations, judged := All(&good().run)
	for _, v := range violations {
		t.Error(v)
	}
	for _, i := range Invariants() {
		if judged[i.ID] == 0 {
			t.Errorf("%s judged nothing", i.ID)
		}
	}
}

// bad is a clause of an invariant: what is done to the good history, and what the checker must say about it.
type bad struct {
	change func(*tale)
	says   string
}

// rejects proves that a checker finds each of the bad histories, and says where.
func rejects(t *testing.T, check func(*Run) Finding, clauses map[string]bad) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(clauses)) {
		t.Run(name, func(t *testing.T) {
			a := good()
			if before := check(&a.run); len(before.Violations) > 0 {
				t.Fatalf("the good history is refused: %v", before.Violations)
			}
			clauses[name].change(a)
			found := check(&a.run)
			if !slices.ContainsFunc(found.Violations, func(v Violation) bool { return strings.Contains(v.String(), clauses[name].says) }) {
				t.Errorf("the bad history passes, or is refused for another reason: %v, want %q", found.Violations, clauses[name].says)
			}
			for _, v := range found.Violations {
				if v.Lot == "" && v.Event == "" && v.Place == "" {
					t.Errorf("%q names no lot, event or place", v)
				}
			}
		})
	}
}

// accepts proves that a checker takes what looks odd and is right.
func accepts(t *testing.T, check func(*Run) Finding, clauses map[string]func(*tale)) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(clauses)) {
		t.Run(name, func(t *testing.T) {
			a := good()
			clauses[name](a)
			for _, v := range check(&a.run).Violations {
				t.Error(v)
			}
		})
	}
}

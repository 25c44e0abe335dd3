package dispatch

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

const testLot = event.LotKey("lot::M:1")

// system is an ERP and a QMS in memory, with exact locks and hooks for what goes wrong.
type system struct {
	mu      sync.Mutex // guards all below
	usage   event.UsageStatus
	stock   []connector.Stock
	version int

	inspections []connector.Inspection
	records     []string // references, by id
	hidden      bool     // records are not found, though they are there
	sent        []quality.InspectionRecord
	moved       []event.Movement
	moves       error // what asking for moves ends with; nil = moved

	calls   []string
	kinds   []quality.Kind                                             // of the writes
	read    func()                                                     // called after each read, without mu
	answer  func(n int, land func() connector.Result) connector.Result // of write n, from 1; nil = land it
	written int
	// answerTo is like answer, and is told what is written.
	answerTo func(e quality.Effect, land func() connector.Result) connector.Result
}

func newSystem() *system { return &system{usage: event.Unrestricted} }

var errDown = connector.Result{Outcome: event.RetryLater, Code: "503"}

func (s *system) Kinds() []quality.Kind {
	return []quality.Kind{
		quality.LotUsageSet, quality.NonconformanceEnsure, quality.NonconformanceAdvance, quality.UsageDecisionPost, quality.InspectionSubmit,
	}
}
func (s *system) Caps() connector.Caps                               { return connector.Caps{Lock: connector.LockExact} }
func (s *system) Check(context.Context) ([]connector.Finding, error) { return nil, nil }
func (s *system) Changes(context.Context, connector.Cursor, int) ([]connector.View, connector.Cursor, error) {
	return nil, "", nil
}

// set is what someone else does there.
func (s *system) set(u event.UsageStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usage = u
	s.version++
}

func (s *system) now() event.UsageStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usage
}

func (s *system) count(verb string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c == verb {
			n++
		}
	}
	return n
}

func (s *system) Find(_ context.Context, e quality.Effect) (found []event.Ref, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, "find")
	for id, ref := range s.records {
		if ref == string(e.Ref) && !s.hidden {
			found = append(found, event.Ref{ID: strconv.Itoa(id)})
		}
	}
	return found, nil
}

func (s *system) Read(_ context.Context, o connector.Object) (connector.View, connector.Version, error) {
	s.mu.Lock()
	if o.Kind == connector.ObjectMoves {
		defer s.mu.Unlock()
		s.calls = append(s.calls, "moves")
		return connector.View{Object: o, Exists: true, Moved: slices.Clone(s.moved)}, nil, s.moves
	}
	s.calls = append(s.calls, "read")
	v := connector.View{Object: o, Exists: true, Usage: s.usage, UsageRaw: string(s.usage), Ref: event.Ref{ID: o.ID, ETag: strconv.Itoa(s.version)}}
	v.Stock, v.Inspections = slices.Clone(s.stock), slices.Clone(s.inspections)
	if o.Kind == connector.ObjectRecord || o.Kind == connector.ObjectInspection {
		id, _ := strconv.Atoi(o.ID)
		v.Usage, v.UsageRaw = "", ""
		v.Fields, v.Reached = map[string]string{connector.FieldReference: s.records[id]}, quality.NCOpened
	}
	version, hook := s.version, s.read
	s.mu.Unlock()
	if hook != nil {
		hook()
	}
	return v, version, nil
}

func (s *system) Write(_ context.Context, e quality.Effect, v connector.Version) connector.Result {
	s.mu.Lock()
	s.calls = append(s.calls, "write")
	s.kinds = append(s.kinds, e.Kind)
	s.written++
	n, answer := s.written, s.answer
	s.mu.Unlock()
	land := func() connector.Result { return s.land(e, v) }
	if s.answerTo != nil {
		return s.answerTo(e, land)
	}
	if answer != nil {
		return answer(n, land)
	}
	return land()
}

func (s *system) land(e quality.Effect, v connector.Version) connector.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Kind == quality.InspectionSubmit {
		s.sent = append(s.sent, *e.Inspection)
	}
	if e.Kind == quality.NonconformanceEnsure || e.Kind == quality.InspectionSubmit {
		s.records = append(s.records, string(e.Ref))
		return connector.Result{Ref: event.Ref{ID: strconv.Itoa(len(s.records) - 1)}}
	}
	if v != s.version {
		return connector.Result{Outcome: event.Conflict, Code: "412"}
	}
	open := slices.IndexFunc(s.inspections, func(i connector.Inspection) bool { return len(i.Decisions) == 0 })
	switch {
	case e.Kind == quality.UsageDecisionPost && open >= 0: // one at a time
		s.inspections[open].Decisions, s.inspections[open].Raw = []quality.Decision{e.Decision}, string(e.Decision)
	case e.Kind == quality.UsageDecisionPost:
		return connector.Result{Outcome: event.Rejected, Code: "decided"}
	case e.Usage == event.Unrestricted && open >= 0:
		return connector.Result{Outcome: event.RetryLater, Code: "usage_decision_missing", Waits: true}
	default:
		s.usage, s.stock = e.Usage, nil
	}
	s.version++
	return connector.Result{}
}

// run takes one effect through the protocol; wanted says what usage is wanted for what is seen.
func run(t *testing.T, s *system, e quality.Effect, wrote bool, wanted func(*connector.View) event.UsageStatus) (*Protocol, Ending, error) {
	t.Helper()
	e.Ref = quality.Reference(e.CommandID)
	p := &Protocol{
		System: s, Effect: e, Wrote: wrote, Mark: func(context.Context) error { return nil },
		Decide: func(_ context.Context, e quality.Effect, v *connector.View) (quality.Effect, error) {
			if wanted != nil {
				e.Usage = wanted(v)
			}
			return e, nil
		},
	}
	end, err := p.Run(t.Context())
	return p, end, err
}

func always(u event.UsageStatus) func(*connector.View) event.UsageStatus {
	return func(*connector.View) event.UsageStatus { return u }
}

func outcomeOf(err error) event.Outcome {
	var r connector.Result
	errors.As(err, &r)
	return r.Outcome
}

func TestProtocol_Run_Usage(t *testing.T) {
	e := quality.Effect{CommandID: "c", Kind: quality.LotUsageSet, Lot: testLot, Object: string(testLot)}
	conflict := func(int, func() connector.Result) connector.Result { return connector.Result{Outcome: event.Conflict} }
	t.Run("writes and reads back", func(t *testing.T) {
		s := newSystem()
		p, end, err := run(t, s, e, false, always(event.Blocked))
		if err != nil || end.Outcome != event.Applied || !p.Wrote || s.now() != event.Blocked || s.count("read") != 2 {
			t.Errorf("ended as %+v, %v after %v", end, err, s.calls)
		}
	})
	t.Run("what is there already is not written", func(t *testing.T) {
		s := newSystem()
		s.usage = event.Blocked
		if _, end, err := run(t, s, e, false, always(event.Blocked)); err != nil || end.Outcome != event.AlreadyApplied || s.count("write") != 0 {
			t.Errorf("ended as %+v, %v after %v", end, err, s.calls)
		}
	})
	t.Run("five conflicts in an attempt, then it waits", func(t *testing.T) {
		s := newSystem()
		s.answer = conflict
		p, _, err := run(t, s, e, false, always(event.Blocked))
		if outcomeOf(err) != event.Conflict || s.count("write") != conflictsInARow || s.count("read") != conflictsInARow || p.Wrote {
			t.Errorf("got %v, wrote %t, after %v", err, p.Wrote, s.calls)
		}
	})
	t.Run("a conflict decides again: a hold between read and write wins", func(t *testing.T) {
		s := newSystem()
		s.usage = event.Restricted
		held := false
		s.read = func() {
			if !held {
				held = true // our hold arrives, and someone changes the batch, so that the write conflicts
				s.set(event.Restricted)
			}
		}
		decisions := []event.UsageStatus{event.Unrestricted, event.Blocked}
		n := 0
		_, end, err := run(t, s, e, false, func(*connector.View) event.UsageStatus {
			n++
			return decisions[min(n, 2)-1]
		})
		if err != nil || end.Outcome != event.Applied || s.now() != event.Blocked {
			t.Errorf("ended as %+v, %v; the ERP says %s", end, err, s.now())
		}
	})
	t.Run("acknowledged and not done is rejected", func(t *testing.T) {
		s := newSystem()
		s.answer = func(int, func() connector.Result) connector.Result { return connector.Result{} }
		if _, end, err := run(t, s, e, false, always(event.Blocked)); err != nil || end.Outcome != event.Rejected || end.Result.Code != "not_done" || s.count("write") != 1 {
			t.Errorf("ended as %+v, %v after %v", end, err, s.calls)
		}
	})
	for _, c := range []struct {
		outcome event.Outcome
		wrote   bool
	}{{event.Unknown, true}, {event.RetryLater, false}} {
		t.Run(string(c.outcome)+" is not repeated in the attempt", func(t *testing.T) {
			s := newSystem()
			s.answer = func(int, func() connector.Result) connector.Result { return connector.Result{Outcome: c.outcome} }
			p, _, err := run(t, s, e, false, always(event.Blocked))
			if outcomeOf(err) != c.outcome || p.Wrote != c.wrote || s.count("write") != 1 {
				t.Errorf("got %v, wrote %t, after %v", err, p.Wrote, s.calls)
			}
		})
	}
	t.Run("after a mark that failed nothing is written", func(t *testing.T) {
		s, bad := newSystem(), errors.New("fenced")
		p := &Protocol{System: s, Effect: e, Mark: func(context.Context) error { return bad },
			Decide: func(_ context.Context, e quality.Effect, _ *connector.View) (quality.Effect, error) {
				e.Usage = event.Blocked
				return e, nil
			}}
		if _, err := p.Run(t.Context()); !errors.Is(err, bad) || s.count("write") != 0 || p.Wrote {
			t.Errorf("got %v after %v", err, s.calls)
		}
	})
	t.Run("what never comes to rest waits", func(t *testing.T) {
		s := newSystem()
		s.read = func() {} // each write lands, and each look wants something else
		n := 0
		_, _, err := run(t, s, e, false, func(*connector.View) event.UsageStatus {
			n++
			return []event.UsageStatus{event.Blocked, event.Restricted}[n%2]
		})
		if outcomeOf(err) != event.Conflict || s.count("write") != mostSteps {
			t.Errorf("got %v after %d writes", err, s.count("write"))
		}
	})
}

func TestProtocol_Run_Document(t *testing.T) {
	e := quality.Effect{CommandID: "c", Kind: quality.NonconformanceEnsure, Lot: testLot, Object: "nonconformance:mes1:1",
		Record: &quality.Record{State: quality.NCOpened}}
	t.Run("is made once", func(t *testing.T) {
		s := newSystem()
		for _, want := range []event.Outcome{event.Applied, event.AlreadyApplied} {
			if _, end, err := run(t, s, e, false, nil); err != nil || end.Outcome != want {
				t.Fatalf("ended as %+v, %v after %v", end, err, s.calls)
			}
		}
		if len(s.records) != 1 {
			t.Errorf("%d records", len(s.records))
		}
	})
	t.Run("a time-out that landed is found, not made again", func(t *testing.T) {
		s := newSystem()
		s.answer = func(_ int, land func() connector.Result) connector.Result {
			_ = land()
			return connector.Result{Outcome: event.Unknown}
		}
		p, _, err := run(t, s, e, false, nil)
		if outcomeOf(err) != event.Unknown {
			t.Fatalf("got %v", err)
		}
		if _, end, err := run(t, s, e, p.Wrote, nil); err != nil || end.Outcome != event.AlreadyApplied || len(s.records) != 1 {
			t.Errorf("ended as %+v, %v with %d records", end, err, len(s.records))
		}
	})
	t.Run("a reference that was not kept is rejected", func(t *testing.T) {
		s := newSystem()
		s.answer = func(_ int, land func() connector.Result) connector.Result {
			r := land()
			s.mu.Lock()
			s.records[0] = ""
			s.mu.Unlock()
			return r
		}
		if _, end, err := run(t, s, e, false, nil); err != nil || end.Outcome != event.Rejected || end.Result.Code != "reference_lost" || len(s.records) != 1 {
			t.Errorf("ended as %+v, %v with %d records", end, err, len(s.records))
		}
	})
	t.Run("duplicates are told, the lowest id counts", func(t *testing.T) {
		s := newSystem()
		ref := string(quality.Reference(e.CommandID))
		s.records = []string{ref, ref}
		if _, end, err := run(t, s, e, false, nil); err != nil || end.Outcome != event.AlreadyApplied || len(end.Found) != 2 || end.View.Ref.ID != "0" {
			t.Errorf("ended as %+v, %v", end, err)
		}
	})
}

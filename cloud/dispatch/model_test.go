package dispatch

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// model is one lot under random holds, lifts, decisions, grants, outages and lost answers.
type model struct {
	*bench
	r     *rand.Rand
	open  []event.ObjectID
	holds int
	last  event.ObjectID // the decision that counts
	calm  bool           // nothing goes wrong any more
	tasks int
}

func (m *model) facts() (f quality.Facts) {
	m.t.Helper()
	f, err := m.Dispatcher.facts(m.t.Context(), testLot)
	if err != nil {
		m.t.Fatal(err)
	}
	return f
}

// guard fails if a write frees anything that may not be freed at this moment.
func (m *model) guard(e *quality.Effect) {
	m.t.Helper()
	f := m.facts()
	frees := e.Kind == quality.LotUsageSet && e.Usage == event.Unrestricted || e.Kind == quality.UsageDecisionPost && e.Decision == event.DecisionRelease
	switch {
	case frees && (len(f.Open) > 0 || !f.Lot.Release.Granted()):
		m.t.Errorf("%s frees the lot with %d open holds in state %s", e.Kind, len(f.Open), f.Lot.Release.State)
	case e.Kind == quality.TasksGate && e.Gate == quality.GateOpen && (len(f.Open) > 0 || m.system.now() != event.Unrestricted && m.calm):
		m.t.Errorf("tasks are freed with %d open holds, the ERP says %s", len(f.Open), m.system.now())
	}
}

// fate says what becomes of a write.
func (m *model) fate(land func() connector.Result) connector.Result {
	if m.calm {
		return land()
	}
	switch m.r.IntN(8) {
	case 0:
		return errDown
	case 1:
		_ = land()
		return connector.Result{Outcome: event.Unknown, Code: "timeout"}
	case 2:
		return connector.Result{Outcome: event.Unknown, Code: "timeout"}
	case 3:
		m.place() // a hold in the middle of the write
	}
	return land()
}

func (m *model) place() {
	m.holds++
	id := event.ObjectID(fmt.Sprintf("hold:q:%d", m.holds))
	m.hold(id, []event.HoldKind{event.HoldQuality, event.HoldSafety}[m.r.IntN(2)])
	m.open = append(m.open, id)
}

func (m *model) step() {
	switch m.r.IntN(7) {
	case 0:
		m.place()
	case 1, 2:
		if len(m.open) > 0 {
			i := m.r.IntN(len(m.open))
			m.lift(m.open[i])
			m.open = append(m.open[:i], m.open[i+1:]...)
		}
	case 3:
		m.decideAnew([]event.Decision{event.DecisionRelease, event.DecisionRelease, event.DecisionReject}[m.r.IntN(3)])
	case 4:
		m.grantIfAsked()
	case 5:
		m.tasks++
		state := connector.TaskHeld
		if m.desk.gate == quality.GateOpen {
			state = connector.TaskOpen
		}
		m.desk.tasks = append(m.desk.tasks, connector.Task{ID: fmt.Sprint(m.tasks), Kind: "pick", State: state})
		m.desk.version++
	case 6:
		m.clock = m.clock.Add(time.Duration(m.r.IntN(20)) * time.Second)
	}
	m.work()
}

func (m *model) decideAnew(d event.Decision) {
	id := event.ObjectID(fmt.Sprintf("disposition:qms1:%d", m.events))
	m.decide(id, d, m.last)
	m.last = id
}

func (m *model) grantIfAsked() {
	if m.lot().Release.State == quality.Asking {
		m.grant()
	}
}

// TestDispatcher_Model lets everything happen in any order: nothing is ever freed without the grant or under a hold, and
// once it is calm the systems show what the lot's state asks for.
func TestDispatcher_Model(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := &model{bench: newDeskBench(t), r: rand.New(rand.NewPCG(seed, 4))}
			m.system.inspections = []connector.Inspection{{ID: "10"}}
			m.system.answerTo = func(e quality.Effect, land func() connector.Result) connector.Result {
				m.guard(&e)
				return m.fate(land)
			}
			m.desk.answerTo = m.system.answerTo
			for range 40 {
				m.step()
			}
			m.calm = true
			for _, id := range m.open {
				m.lift(id)
			}
			m.open = nil
			m.system.set(m.system.now())
			m.decideAnew(event.DecisionRelease)
			m.system.inspections = nil // one that was rejected is for a person
			m.wait(2*longestBackoff, longestBackoff)
			m.grantIfAsked()
			m.wait(3*longestBackoff, longestBackoff)
			if m.system.now() != event.Unrestricted || m.desk.gate != quality.GateOpen || m.lot().Release.State != quality.Released {
				t.Errorf("in the end the ERP says %s, the gate is %s, the lot %s", m.system.now(), m.desk.gate, m.lot().Release.State)
			}
			m.place()
			m.work()
			if m.system.now() == event.Unrestricted || m.desk.gate != quality.GateHeld {
				t.Errorf("after one more hold the ERP says %s, the gate is %s", m.system.now(), m.desk.gate)
			}
			for _, r := range m.effects() {
				if r.State != store.EffectSettled && r.Kind != quality.UsageDecisionPost {
					t.Errorf("%s is %s: %s %s %s", r.ID, r.State, r.Outcome, r.Code, r.Message)
				}
			}
		})
	}
}

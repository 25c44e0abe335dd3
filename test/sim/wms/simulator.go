// Package wms is a simulator of a warehouse: picking, putaway and shipping tasks of lots, which quality holds and frees,
// over REST with JSON.
//
// It has the manners of the real ones: a lot has a gate of its own, which tasks that come later obey; a task that has
// started can't be held any more; a call that changes nothing is answered with 200 all the same. Every effect is entered
// in a book under the lot's key; faults come from package fault.
package wms

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/service"
)

// State is a task's state, in the warehouse's own words.
type State string

// States.
const (
	Blocked State = "blocked"
	Ready   State = "ready"
	Active  State = "active"
	Done    State = "confirmed"
)

// Gates of a lot, in the warehouse's own words.
const (
	GateClosed = "closed"
	GateOpen   = "open"
)

// Kinds of effects in the book.
const (
	TasksHeld     = "tasks_held"     // a lot was held
	TasksReleased = "tasks_released" // a lot was freed
	TaskHeld      = "task_held"      // one task was held by itself
	TaskReleased  = "task_released"  // one task was freed by itself
	TaskStarted   = "task_started"
	TaskDone      = "task_done"
)

// Config says what kind of warehouse is simulated.
type Config struct {
	service.Config
	// OpenByDefault lets the tasks of a lot start before quality has said anything. Without it a lot waits to be freed.
	OpenByDefault bool
}

// Task is a task of a lot.
type Task struct {
	ID      string `json:"id"`
	Type    string `json:"type"` // pick, putaway, ship
	State   State  `json:"status"`
	Order   string `json:"order,omitempty"`
	Lot     string `json:"lot"`
	Version string `json:"version"` // as If-Match wants it
}

// move changes a task's state.
func (t *Task) move(to State) {
	n, _ := strconv.Atoi(strings.Trim(t.Version, `"`)) // it is ours
	t.State, t.Version = to, service.ETag(n+1)
}

// Simulator is one warehouse. It is safe for concurrent use.
type Simulator struct {
	*service.Service
	cfg Config

	// Guarded by the service's lock.
	lots  map[string]*lot
	tasks int
	saved map[string]*lot
}

type lot struct {
	gate    string
	version int
	tasks   []*Task
}

// New returns a warehouse without lots. Its error is that of the book's file.
func New(cfg Config) (*Simulator, error) {
	s := &Simulator{cfg: cfg, lots: map[string]*lot{}}
	frame, err := service.New(cfg.Config, map[string]func(){"snapshot": s.Snapshot, "restore": s.Restore})
	if err != nil {
		return nil, err
	}
	s.Service = frame
	frame.Handle("GET /lots/{lot}/tasks", s.list)
	frame.Handle("POST /lots/{lot}/hold", func(w http.ResponseWriter, r *http.Request) { s.gate(w, r, GateClosed) })
	frame.Handle("POST /lots/{lot}/release", func(w http.ResponseWriter, r *http.Request) { s.gate(w, r, GateOpen) })
	frame.Handle("POST /tasks/{id}/hold", func(w http.ResponseWriter, r *http.Request) { s.one(w, r, Ready, Blocked) })
	frame.Handle("POST /tasks/{id}/release", func(w http.ResponseWriter, r *http.Request) { s.one(w, r, Blocked, Ready) })
	return s, nil
}

// of returns a lot, which is there from the first time that it is asked for.
func (s *Simulator) of(key string) *lot {
	if s.lots[key] == nil {
		gate := GateClosed
		if s.cfg.OpenByDefault {
			gate = GateOpen
		}
		s.lots[key] = &lot{gate: gate, version: 1}
	}
	return s.lots[key]
}

// AddTask makes a task as the warehouse's own planning does, and returns its id. It obeys the lot's gate.
func (s *Simulator) AddTask(key, kind, order string) string {
	defer s.Lock()()
	l := s.of(key)
	s.tasks++
	t := &Task{ID: service.Number("T", s.tasks), Type: kind, State: Blocked, Order: order, Lot: key, Version: service.ETag(1)}
	if l.gate == GateOpen {
		t.State = Ready
	}
	l.tasks = append(l.tasks, t)
	l.version++
	return t.ID
}

// Start lets a worker begin a task. Its error says why a task may not start.
func (s *Simulator) Start(id string) error { return s.advance(id, Ready, Active, TaskStarted) }

// Finish lets a worker end a task that was started.
func (s *Simulator) Finish(id string) error { return s.advance(id, Active, Done, TaskDone) }

func (s *Simulator) advance(id string, from, to State, kind string) error {
	defer s.Lock()()
	l, t := s.find(id)
	switch {
	case t == nil:
		return fmt.Errorf("there is no task %s", id)
	case t.State != from:
		return fmt.Errorf("task %s is %s", id, t.State)
	}
	t.move(to)
	l.version++
	s.Enter(book.Entry{Key: t.Lot, Kind: kind, Record: id, Detail: t.Type, FreeAfter: l.gate == GateOpen})
	return nil
}

// SetState moves a task past all rules.
func (s *Simulator) SetState(id string, state State) {
	defer s.Lock()()
	if l, t := s.find(id); t != nil {
		t.move(state)
		l.version++
	}
}

func (s *Simulator) find(id string) (*lot, *Task) {
	for _, l := range s.lots {
		for _, t := range l.tasks {
			if t.ID == id {
				return l, t
			}
		}
	}
	return nil, nil
}

// Tasks returns a lot's tasks, oldest first.
func (s *Simulator) Tasks(key string) (tasks []Task) {
	defer s.Lock()()
	if l := s.lots[key]; l != nil {
		for _, t := range l.tasks {
			tasks = append(tasks, *t)
		}
	}
	return tasks
}

// Gate returns a lot's gate.
func (s *Simulator) Gate(key string) string {
	defer s.Lock()()
	return s.of(key).gate
}

// Releases returns how often a lot was freed.
func (s *Simulator) Releases(key string) int { return s.count(key, TasksReleased) }

// Holds returns how often a lot was held.
func (s *Simulator) Holds(key string) int { return s.count(key, TasksHeld) }

func (s *Simulator) count(key, kind string) (n int) {
	for _, e := range s.Of(key) {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// Snapshot keeps the present tasks for [Simulator.Restore].
func (s *Simulator) Snapshot() {
	defer s.Lock()()
	s.saved = clone(s.lots)
}

// Restore brings back the tasks of the last snapshot, as a restored backup does. The book keeps what it has.
func (s *Simulator) Restore() {
	defer s.Lock()()
	s.lots = clone(s.saved)
}

func clone(lots map[string]*lot) map[string]*lot {
	out := map[string]*lot{}
	for key, l := range lots {
		c := *l
		c.tasks = nil
		for _, t := range l.tasks {
			task := *t
			c.tasks = append(c.tasks, &task)
		}
		out[key] = &c
	}
	return out
}

// lotOf returns the lot of a request.
func (s *Simulator) lotOf(r *http.Request) (string, *lot) {
	key := r.PathValue("lot")
	return key, s.of(key)
}

func (s *Simulator) list(w http.ResponseWriter, r *http.Request) {
	key, l := s.lotOf(r)
	w.Header().Set("ETag", service.ETag(l.version))
	service.Answer(w, http.StatusOK, map[string]any{"lot": key, "gate": l.gate, "tasks": append([]*Task{}, l.tasks...)})
}

// gate opens or closes a lot. Only the tasks that the body names are touched; none named means all. What is not in the
// state before is left alone, without a word.
func (s *Simulator) gate(w http.ResponseWriter, r *http.Request, gate string) {
	var in struct {
		Tasks     []string `json:"tasks"`
		Reference string   `json:"reference"`
	}
	key, l := s.lotOf(r)
	if !service.Match(w, r, l.version) || !service.Read(w, r, &in) {
		return
	}
	from, to, kind := Ready, Blocked, TasksHeld
	if gate == GateOpen {
		from, to, kind = Blocked, Ready, TasksReleased
	}
	changed := []string{}
	for _, t := range l.tasks {
		if t.State == from && (len(in.Tasks) == 0 || slices.Contains(in.Tasks, t.ID)) {
			t.move(to)
			changed = append(changed, t.ID)
		}
	}
	if l.gate != gate || len(changed) > 0 {
		l.gate = gate
		l.version++
		s.Enter(book.Entry{Key: key, Kind: kind, Reference: in.Reference, Detail: fmt.Sprint(changed), FreeAfter: gate == GateOpen})
	}
	w.Header().Set("ETag", service.ETag(l.version))
	service.Answer(w, http.StatusOK, map[string]any{"changed": changed})
}

// one holds or frees one task.
func (s *Simulator) one(w http.ResponseWriter, r *http.Request, from, to State) {
	l, t := s.find(r.PathValue("id"))
	if t == nil {
		service.Refuse(w, http.StatusNotFound, "not_found", "there is no such task")
		return
	}
	if match := r.Header.Get("If-Match"); match != t.Version {
		service.Refuse(w, http.StatusPreconditionFailed, "changed", "the task was changed by someone else")
		return
	}
	if t.State == from {
		kind := TaskHeld
		if to == Ready {
			kind = TaskReleased
		}
		t.move(to)
		l.version++
		s.Enter(book.Entry{Key: t.Lot, Kind: kind, Record: t.ID, Detail: t.Type, FreeAfter: to == Ready})
	}
	service.Answer(w, http.StatusOK, t)
}

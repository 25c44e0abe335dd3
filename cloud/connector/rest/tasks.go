package rest

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Tasks says how a warehouse speaks of a lot's tasks. One call holds or frees all tasks of a lot that are named, or one
// of them.
type Tasks struct {
	List    *Operation `yaml:"list" doc:"the tasks of a lot"`
	Hold    *Operation `yaml:"hold" doc:"keeps a lot's open tasks from starting, and those to come"`
	Release *Operation `yaml:"release" doc:"lets a lot's held tasks start, and those to come"`

	Each  bool              `yaml:"each" doc:"hold and release take one task by its id, and are called for each; else all of the lot"`
	ETag  Path              `yaml:"etag" doc:"path in the answer to list, with each: in a task; empty: the header ETag, which each does not have"`
	Gate  Path              `yaml:"gate" doc:"path of the lot's own word in the answer to list; empty: its tasks tell"`
	Gates map[string]string `yaml:"gates" doc:"our gate (held, open): theirs"`

	ID          Path              `yaml:"id"`
	Kind        Path              `yaml:"kind" doc:"path of pick, putaway, ship or another word"`
	Order       Path              `yaml:"order" doc:"path of the order that a task is for"`
	State       Path              `yaml:"state"`
	States      map[string]string `yaml:"states" doc:"our state (held, open, started, done): theirs"`
	OtherStates map[string]string `yaml:"other_states" doc:"further states of theirs: ours"`
}

func (t *Tasks) given() bool { return t != nil }

func (t *Tasks) check(doc *config.Document) {
	for _, op := range []named{
		{"tasks.list", http.MethodGet, t.List, true, true},
		{"tasks.hold", http.MethodPost, t.Hold, true, false},
		{"tasks.release", http.MethodPost, t.Release, true, false},
	} {
		op.check(doc)
	}
	need(doc, "tasks", map[string]Path{"id": t.ID, "state": t.State})
	checkWords(doc, "tasks", "state", t.States, t.OtherStates, "held", "open", "started", "done")
	for _, state := range []string{"held", "open"} {
		if t.States[state] == "" && len(t.States) > 0 {
			doc.Errorf(problem.ConfigMissing, "tasks.states", "tasks.states has no word for %s", state)
		}
	}
	if t.Each && t.Gate != "" {
		doc.Errorf(problem.ConfigValue, "tasks.gate", "with each there is no call that changes the lot's own gate")
	}
	if t.Gate != "" {
		checkWords(doc, "tasks", "gate", t.Gates, nil, string(quality.GateHeld), string(quality.GateOpen))
	}
}

// lotTasks is what was read of a lot's tasks, to be sent back with a change of them.
type lotTasks struct {
	lot   event.LotKey
	etag  string // of the lot
	tasks []connector.Task
	etags map[string]string // by task, where each is changed by itself
}

// ids returns the tasks in one of the states.
func (l *lotTasks) ids(states ...connector.TaskState) []string {
	ids := []string{}
	for _, t := range l.tasks {
		if slices.Contains(states, t.State) {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// lotValues names a lot to templates, whole and in its parts.
func lotValues(lot event.LotKey) (values, *connector.Result) {
	scope, material, batch, err := lot.Parts()
	if err != nil {
		r := rejected("lot", err.Error())
		return values{}, &r
	}
	return values{Lot: string(lot), Scope: scope, Material: material, Batch: batch, Limit: 1000}, nil
}

// readTasks returns a lot's tasks. A lot that the warehouse does not know has none.
func (c *Client) readTasks(ctx context.Context, o connector.Object) (connector.View, connector.Version, error) {
	t := c.mapping.Tasks
	v, bad := lotValues(o.Lot)
	if bad != nil {
		return connector.View{}, nil, *bad
	}
	body, a, bad := c.read(ctx, t.List, v)
	if bad != nil && a.Status == http.StatusNotFound && a.Err == nil {
		return connector.View{Object: o}, nil, nil
	}
	if bad != nil {
		return connector.View{}, nil, *bad
	}
	items, ok := at(body, t.List.Items).([]any)
	if !ok {
		return connector.View{}, nil, a.Unclear("no_list", "the answer has no list at "+string(t.List.Items))
	}
	if text(atPath(body, t.List.More)) != "" {
		return connector.View{}, nil, a.Unclear("more_tasks", "the list of the lot's tasks goes on: an open task may not be seen")
	}
	read := &lotTasks{lot: o.Lot, etags: map[string]string{}}
	raw := text(atPath(body, t.Gate))
	view := connector.View{Object: o, Exists: true, State: raw, Gate: quality.Gate(word(raw, t.Gates, nil))}
	if t.Gate != "" && view.Gate == "" {
		return connector.View{}, nil, a.Unclear("gate", "the mapping has no word for the lot's gate "+raw)
	}
	for _, item := range items {
		raw := text(at(item, t.State))
		task := connector.Task{
			ID: text(at(item, t.ID)), Kind: text(atPath(item, t.Kind)), Order: text(atPath(item, t.Order)), Raw: raw,
			State: connector.TaskState(word(raw, t.States, t.OtherStates)),
		}
		if task.ID == "" {
			return connector.View{}, nil, a.Unclear("no_id", "a task of the list has no id")
		}
		view.Tasks = append(view.Tasks, task)
		read.etags[task.ID] = text(atPath(item, t.ETag))
	}
	read.tasks, read.etag = view.Tasks, a.Header.Get("ETag")
	if t.ETag != "" && !t.Each {
		read.etag = text(at(body, t.ETag))
	}
	view.Ref = event.Ref{System: c.system, Kind: "tasks", ID: string(o.Lot), ETag: read.etag}
	return view, read, nil
}

// gate holds or frees a lot's tasks, if they are still those that were read.
func (c *Client) gate(ctx context.Context, e quality.Effect, read *lotTasks) connector.Result {
	v, bad := lotValues(e.Lot)
	if bad != nil {
		return *bad
	}
	op := c.mapping.Tasks.Release
	v.Tasks = read.ids(connector.TaskHeld)
	if e.Gate == quality.GateHeld {
		op = c.mapping.Tasks.Hold
		v.Tasks = read.ids(connector.TaskOpen, "") // one in a state that is not known may still start
	}
	v.Ref, v.Object = string(e.Ref), e.Object
	if !c.mapping.Tasks.Each {
		return c.changeTasks(ctx, op, v, read.etag)
	}
	ids, began := v.Tasks, c.now()
	for i, id := range ids {
		v.ID, v.Tasks = id, []string{id}
		if r := c.changeTasks(ctx, op, v, read.etags[id]); r.Outcome != "" || i == len(ids)-1 || c.now().Sub(began) > eachBudget {
			return r // what is left is seen by the next read
		}
	}
	return rejected("no_task", "no task is left to be changed")
}

// eachBudget bounds how long the tasks of a lot are changed one by one before the caller looks again: well inside a lease.
const eachBudget = 15 * time.Second

// changeTasks makes one call that holds or frees tasks.
func (c *Client) changeTasks(ctx context.Context, op *Operation, v values, etag string) connector.Result {
	header, bad := c.ifMatch(etag)
	if bad != nil {
		return *bad
	}
	a, bad := c.call(ctx, op, v, header)
	if bad != nil {
		return *bad
	}
	return c.changed(op, &a)
}

// ifMatch returns the header of a conditional change.
func (c *Client) ifMatch(etag string) (http.Header, *connector.Result) {
	header := http.Header{}
	if c.mapping.Lock == connector.LockNone {
		return header, nil
	}
	if etag == "" {
		r := rejected("no_version", "the system gives no version of what it shows, so that nothing can be changed safely")
		return nil, &r
	}
	header.Set("If-Match", etag)
	return header, nil
}

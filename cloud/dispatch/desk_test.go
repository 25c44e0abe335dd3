package dispatch

import (
	"context"
	"slices"
	"strconv"
	"sync"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// desk is a warehouse and a notice service in memory.
type desk struct {
	mu      sync.Mutex // guards all below
	gate    quality.Gate
	tasks   []connector.Task
	version int

	sent   []quality.Effect
	hidden bool // what was sent is not found, though it is there
	blind  bool

	written int
	asked   int                                                        // looks
	down    bool                                                       // nothing is answered
	answer  func(n int, land func() connector.Result) connector.Result // of write n, from 1; nil = land it
	// answerTo is like answer, and is told what is written.
	answerTo func(e quality.Effect, land func() connector.Result) connector.Result
}

func (d *desk) Kinds() []quality.Kind {
	return []quality.Kind{quality.TasksGate, quality.NoticeSend}
}
func (d *desk) Caps() connector.Caps {
	return connector.Caps{Lock: connector.LockExact, Blind: d.blind}
}
func (d *desk) Check(context.Context) ([]connector.Finding, error) { return nil, nil }
func (d *desk) Changes(context.Context, connector.Cursor, int) ([]connector.View, connector.Cursor, error) {
	return nil, "", nil
}

func (d *desk) look() error {
	d.asked++
	if d.down {
		return errDown
	}
	return nil
}

func (d *desk) Find(_ context.Context, e quality.Effect) (found []event.Ref, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.sent {
		if d.sent[i].Ref == e.Ref && !d.hidden {
			found = append(found, event.Ref{ID: strconv.Itoa(i)})
		}
	}
	return found, d.look()
}

func (d *desk) Read(_ context.Context, o connector.Object) (connector.View, connector.Version, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := connector.View{Object: o, Exists: true, Ref: event.Ref{ID: o.ID, ETag: strconv.Itoa(d.version)}}
	switch o.Kind {
	case connector.ObjectTasks:
		v.Gate, v.Tasks = d.gate, slices.Clone(d.tasks)
	default:
		i, _ := strconv.Atoi(o.ID)
		v.Fields = map[string]string{connector.FieldReference: string(d.sent[i].Ref)}
	}
	return v, d.version, d.look()
}

func (d *desk) Write(_ context.Context, e quality.Effect, v connector.Version) connector.Result {
	d.mu.Lock()
	d.written++
	n, answer := d.written, d.answer
	d.mu.Unlock()
	land := func() connector.Result { return d.land(e, v) }
	if d.down {
		return errDown
	}
	if d.answerTo != nil {
		return d.answerTo(e, land)
	}
	if answer != nil {
		return answer(n, land)
	}
	return land()
}

func (d *desk) land(e quality.Effect, v connector.Version) connector.Result {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case e.Kind == quality.NoticeSend:
		d.sent = append(d.sent, e)
		return connector.Result{Ref: event.Ref{ID: strconv.Itoa(len(d.sent) - 1)}}
	case v != d.version:
		return connector.Result{Outcome: event.Conflict, Code: "412"}
	default:
		from, to := connector.TaskOpen, connector.TaskHeld
		if e.Gate == quality.GateOpen {
			from, to = connector.TaskHeld, connector.TaskOpen
		}
		for i := range d.tasks {
			if d.tasks[i].State == from {
				d.tasks[i].State = to
			}
		}
		d.gate = e.Gate
	}
	d.version++
	return connector.Result{}
}

func (d *desk) messages() []quality.Effect {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.sent)
}

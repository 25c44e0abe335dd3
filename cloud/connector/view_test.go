package connector_test

import (
	"slices"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestView_Is_PartOfALot(t *testing.T) {
	stock := func(usages ...event.UsageStatus) (all []connector.Stock) {
		for i, u := range usages {
			all = append(all, connector.Stock{Plant: []string{"20", "10"}[i%2], Usage: u})
		}
		return all
	}
	for _, c := range []struct {
		name     string
		usage    event.UsageStatus
		stock    []connector.Stock
		free     bool
		withheld event.UsageStatus
	}{
		{"all free", event.Unrestricted, stock(event.Unrestricted), true, ""},
		{"without stock", event.Unrestricted, nil, true, ""},
		{"a part in inspection", event.Unrestricted, stock(event.Unrestricted, event.InInspection), false, event.InInspection},
		{"a part restricted, another in inspection", event.Unrestricted, stock(event.InInspection, event.Restricted, event.Unrestricted), false, event.Restricted},
		{"a blocked part is nobody's business", event.Unrestricted, stock(event.Unrestricted, event.Blocked), true, ""},
		{"all in inspection", event.InInspection, stock(event.InInspection), false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := connector.View{Usage: c.usage, Stock: c.stock}
			if got := v.Is(event.Unrestricted); got != c.free || v.Withheld() != c.withheld {
				t.Errorf("free %t, withheld %q; want %t, %q", got, v.Withheld(), c.free, c.withheld)
			}
			if !v.Is(c.usage) && c.usage != event.Unrestricted {
				t.Errorf("it is not what it shows, %s", c.usage)
			}
		})
	}
	v := connector.View{Stock: stock(event.Unrestricted, event.Unrestricted, event.Blocked)}
	if got := v.Plants(); !slices.Equal(got, []string{"10", "20"}) {
		t.Errorf("plants %v", got)
	}
}

func TestView_Shows_Lots(t *testing.T) {
	tasks := func(states ...connector.TaskState) (all []connector.Task) {
		for _, s := range states {
			all = append(all, connector.Task{State: s})
		}
		return all
	}
	held := quality.Effect{Kind: quality.TasksGate, Gate: quality.GateHeld}
	open := quality.Effect{Kind: quality.TasksGate, Gate: quality.GateOpen}
	decided := quality.Effect{Kind: quality.UsageDecisionPost, Decision: quality.Release}
	release := connector.Inspection{ID: "1", Raw: "A", Decisions: []quality.Decision{quality.Release, quality.ConditionalRelease}}
	for _, c := range []struct {
		name string
		e    quality.Effect
		v    connector.View
		want bool
	}{
		{"held: nothing may start", held, connector.View{Exists: true, Gate: quality.GateHeld, Tasks: tasks(connector.TaskHeld, connector.TaskStarted, connector.TaskDone)}, true},
		{"held: one may still start", held, connector.View{Exists: true, Gate: quality.GateHeld, Tasks: tasks(connector.TaskHeld, connector.TaskOpen)}, false},
		{"held: one in a state that is not known", held, connector.View{Exists: true, Tasks: tasks("")}, false},
		{"held: no tasks yet, and the gate is open", held, connector.View{Exists: true, Gate: quality.GateOpen}, false},
		{"held: a warehouse without gates and tasks", held, connector.View{Exists: true}, true},
		{"held: an unknown lot", held, connector.View{}, false},
		{"open: nothing waits", open, connector.View{Exists: true, Gate: quality.GateOpen, Tasks: tasks(connector.TaskOpen, connector.TaskStarted)}, true},
		{"open: one is held", open, connector.View{Exists: true, Gate: quality.GateOpen, Tasks: tasks(connector.TaskHeld)}, false},
		{"no gate is wanted", quality.Effect{Kind: quality.TasksGate}, connector.View{Exists: true}, false},
		{"decided as wanted", decided, connector.View{Exists: true, Inspections: []connector.Inspection{release}}, true},
		{"one of two is open", decided, connector.View{Exists: true, Inspections: []connector.Inspection{release, {ID: "2"}}}, false},
		{"decided otherwise", decided, connector.View{Exists: true, Inspections: []connector.Inspection{{ID: "1", Raw: "R", Decisions: []quality.Decision{quality.Reject}}}}, false},
		{"never inspected there", decided, connector.View{Exists: true}, true},
		{"a message under its reference", quality.Effect{Kind: quality.NoticeSend, Ref: "HF1"}, connector.View{Exists: true, Fields: map[string]string{connector.FieldReference: "HF1"}}, true},
		{"a message under another", quality.Effect{Kind: quality.NoticeSend, Ref: "HF1"}, connector.View{Exists: true, Fields: map[string]string{}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.v.Shows(&c.e); got != c.want {
				t.Errorf("shows %t, want %t", got, c.want)
			}
		})
	}
}

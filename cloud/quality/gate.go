package quality

import (
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// WantedGate returns what a warehouse may do with the lot's tasks now: nothing, unless the release is verified in the
// ERP and nothing speaks against moving the lot.
func WantedGate(f *Facts, erp string) Gate {
	if len(f.Reasons(erp)) == 0 {
		return GateOpen
	}
	return GateHeld
}

// GateWait is a warehouse that was told to hold a lot's tasks and was not read to do so yet.
type GateWait struct {
	System string    `json:"system"`
	Since  time.Time `json:"since"`
	Late   bool      `json:"late,omitempty"` // longer than a minute: persons stop the tasks
	// Orders are the order lines that counted on the lot when it became late, as order/line, sorted.
	Orders []string `json:"orders,omitempty"`
}

// free tells whether the lot's own state lets it move.
func free(lot *Lot, open []Hold, erp string) bool {
	usage, _ := lot.UsageIn(erp)
	return lot.Release.State == Released && len(open) == 0 && !lot.Stub && usage.Foreign == "" && (erp == "" || usage.Usage == event.Unrestricted)
}

// gate asks the warehouses for what the lot's new state wants: at once and first where a hold was placed, and open only
// after the release. It returns the lot with the warehouses that have to show it.
func (c *Change) gate(lot *Lot, open []Hold, e *event.Event, o *Objects) *Lot {
	erp := o.home().ERP
	// A lot that was released had no hold; one by scope may stand in o already.
	was := o.Lot != nil && free(o.Lot, nil, erp)
	now := free(lot, open, erp)
	held := len(open) > len(o.Open) || lot.Release.State == Held && (o.Lot == nil || o.Lot.Release.State != Held)
	if was == now && !held {
		return lot
	}
	systems := o.systems(func(p *Plant) string { return p.WMS })
	for _, wms := range systems {
		c.Intents = append(c.Intents, Intent{Kind: TasksGate, System: wms, Object: string(lot.Key), Lot: lot.Key, Urgent: !now})
	}
	if len(systems) == 0 {
		return lot
	}
	changed := *lot
	if now {
		changed.Gates = nil
		for _, g := range lot.Gates {
			c.Cancel = append(c.Cancel, gateTimer(lot.Key, g.System, time.Time{}))
		}
	} else {
		changed.Gates = c.waitForGates(lot, systems, o.Now)
	}
	if len(changed.Gates) == len(lot.Gates) {
		return lot
	}
	c.setLot(&changed, e, *o)
	return c.Lot
}

// waitForGates returns the lot's warehouses that are waited for with those of systems among them, each with a timer from
// when it was told first.
func (c *Change) waitForGates(lot *Lot, systems []string, now time.Time) []GateWait {
	gates := slices.Clone(lot.Gates)
	for _, wms := range systems {
		if slices.ContainsFunc(gates, func(g GateWait) bool { return g.System == wms }) {
			continue
		}
		gates = append(gates, GateWait{System: wms, Since: now})
		c.Timers = append(c.Timers, gateTimer(lot.Key, wms, now.Add(gateLimit)))
	}
	slices.SortFunc(gates, func(a, b GateWait) int { return cmpText(a.System, b.System) })
	return gates
}

func gateTimer(lot event.LotKey, wms string, due time.Time) Timer {
	return Timer{Name: TimerGate, Object: string(lot) + "@" + wms, Lot: lot, Due: due}
}

// gateSettled takes what a warehouse was read to let happen with the lot's tasks, and what it did with them before. It
// ends the waiting for it, unless it refused.
func gateSettled(e *event.Event, d *event.EffectSettled, done bool, o Objects) Change {
	lot := *o.Lot
	var c Change
	moved := lot.noteMoved(d, o.Now)
	verified := false
	if i := slices.IndexFunc(lot.Gates, func(g GateWait) bool { return g.System == string(d.System) }); i >= 0 && done {
		lot.Gates = slices.Delete(slices.Clone(lot.Gates), i, i+1)
		c.Cancel = append(c.Cancel, gateTimer(lot.Key, string(d.System), time.Time{}))
		verified = true
	}
	if moved || verified {
		c.setLot(&lot, e, o)
	}
	if moved {
		c.tellMoved(&lot, e, o)
	}
	return c
}

// gateLate marks a warehouse that did not show the gate in time, with the orders that may be picked meanwhile.
func gateLate(e *event.Event, d *event.TimerFired, o Objects) (Change, error) {
	if o.Lot == nil {
		return Change{}, nil
	}
	i := slices.IndexFunc(o.Lot.Gates, func(g GateWait) bool { return gateTimer(o.Lot.Key, g.System, time.Time{}).Object == d.Object })
	if i < 0 || o.Lot.Gates[i].Late {
		return Change{}, nil
	}
	lot := *o.Lot
	lot.Gates = slices.Clone(lot.Gates)
	lot.Gates[i].Late = true
	for _, a := range o.Allocations {
		if a.Stands() {
			lot.Gates[i].Orders = append(lot.Gates[i].Orders, a.Order+"/"+a.Line)
		}
	}
	var c Change
	c.setLot(&lot, e, o)
	return c, nil
}

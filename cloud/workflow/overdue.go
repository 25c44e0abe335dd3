package workflow

import (
	"fmt"
	"slices"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Codes of the alerts about what another system does not show in time. Each clears itself when the system does.
const (
	AlertGate   event.Name = "gate_unverified"        // subject: lot@warehouse
	AlertSubmit event.Name = "inspection_unsubmitted" // subject: inspection@lot
)

// watchGates raises an alert, with the list of what to stop, for each warehouse that does not show in time that it holds a
// lot's tasks, and clears those of warehouses that do.
func (t *turn) watchGates(lot, was *quality.Lot) error {
	if was == nil {
		was = &quality.Lot{}
	}
	late := func(of *quality.Lot, system string) bool {
		return slices.ContainsFunc(of.Gates, func(g quality.GateWait) bool { return g.System == system && g.Late })
	}
	subject := func(g *quality.GateWait) string { return string(lot.Key) + "@" + g.System }
	for i := range lot.Gates {
		g := &lot.Gates[i]
		if !g.Late || late(was, g.System) {
			continue
		}
		detail := fmt.Sprintf("%s was told at %s to hold the lot's tasks and does not show it; %s", g.System, event.At(g.Since), lot.StopList(g))
		if err := t.raise(AlertGate, subject(g), detail); err != nil {
			return err
		}
	}
	for i := range was.Gates {
		g := &was.Gates[i]
		if !g.Late || late(lot, g.System) {
			continue
		}
		if err := t.clear(AlertGate, subject(g)); err != nil {
			return err
		}
	}
	return nil
}

// watchInspection raises and clears the alert of an inspection that the QMS has no record of.
func (t *turn) watchInspection(now, was *quality.Inspection) error {
	before := was != nil && was.Unsubmitted
	switch {
	case now.Unsubmitted && !before:
		return t.raise(AlertSubmit, now.Name(), fmt.Sprintf("its verdict %s of %s is not in the QMS an hour after it came", now.Verdict, event.At(now.CompletedAt)))
	case !now.Unsubmitted && before:
		return t.clear(AlertSubmit, now.Name())
	}
	return nil
}

package workflow

import (
	"slices"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// load reads what an event names and what belongs to its lot.
func (t *turn) load(e *event.Event) (o quality.Objects, err error) {
	o.Now, o.Judged = t.now, t.fold
	n := quality.Names(e)
	if n.Lot != "" {
		if o.Lot, err = t.tx.Lot(n.Lot); err != nil {
			return o, err
		}
		if err := t.loadLot(n.Lot, &o); err != nil {
			return o, err
		}
	}
	if n.Hold != "" {
		if o.Hold, err = t.tx.Hold(n.Hold, n.Lot); err != nil {
			return o, err
		}
	}
	if n.CaseHold != "" {
		if o.CaseHold, err = t.tx.Hold(n.CaseHold, n.Lot); err != nil {
			return o, err
		}
	}
	if n.Nonconformance != "" {
		if o.Nonconformance, err = t.tx.Nonconformance(n.Nonconformance); err != nil {
			return o, err
		}
	}
	if n.Run != "" {
		if o.Run, err = t.tx.Run(n.Run, n.Lot); err != nil {
			return o, err
		}
	}
	if n.Gap != "" {
		if o.Gap, err = t.tx.Gap(n.Gap); err != nil {
			return o, err
		}
	}
	if n.Submission != "" {
		if o.Submitted, err = t.tx.EffectLot(n.Submission); err != nil {
			return o, err
		}
	}
	if e.Causation != "" {
		if _, _, o.CauseSeen, err = t.tx.InboxHashes(e.Causation); err != nil {
			return o, err
		}
	}
	o.Plant = t.plantOf(e, o.Lot, o.Nonconformance)
	o.Material = t.materialOf(e)
	return o, nil
}

// loadLot reads what belongs to a lot, besides the lot itself, which o has if it is known.
func (t *turn) loadLot(key event.LotKey, o *quality.Objects) (err error) {
	if o.Scoped, err = t.tx.OpenHoldsOf(""); err != nil {
		return err
	}
	own, err := t.tx.OpenHoldsOf(key)
	if err != nil {
		return err
	}
	o.Open = own
	if o.Lot != nil {
		o.Open = quality.OpenOf(o.Lot, own, o.Scoped)
	}
	if o.Nonconformances, err = t.tx.NonconformancesOf(key); err != nil {
		return err
	}
	if o.Inspections, err = t.tx.InspectionsOf(key); err != nil {
		return err
	}
	if o.Dispositions, err = t.tx.DispositionsOf(key); err != nil {
		return err
	}
	if o.Allocations, err = t.tx.AllocationsOf(key); err != nil {
		return err
	}
	if o.Notices, err = t.tx.NoticesOf(key); err != nil {
		return err
	}
	return t.loadPlants(key, o)
}

// loadPlants reads which plants' systems have to be told about a lot.
func (t *turn) loadPlants(key event.LotKey, o *quality.Objects) error {
	plants, err := t.tx.LotPlants(key)
	if err != nil {
		return err
	}
	for _, p := range plants {
		o.Others = append(o.Others, t.plant(p))
	}
	if o.Lot != nil {
		o.Home = t.plant(o.Lot.Plant)
	}
	return nil
}

// plant returns what the configuration says about a plant. For one that it does not name, with one ERP for all, that one
// is meant; holds must not get lost.
func (t *turn) plant(id event.PlantID) quality.Plant {
	if p, ok := t.engine.cfg.Plants[id]; ok {
		return p
	}
	return t.engine.cfg.Plants[""]
}

func (t *turn) plantOf(e *event.Event, lot *quality.Lot, nc *quality.Nonconformance) quality.Plant {
	id := e.Plant
	switch {
	case id != "":
	case lot != nil:
		id = lot.Plant
	case nc != nil:
		id = nc.Plant
	}
	return t.plant(id)
}

func (t *turn) materialOf(e *event.Event) quality.Material {
	d, ok := e.Data.(*event.LotCreated)
	if !ok {
		return quality.Material{}
	}
	if m, ok := t.engine.cfg.Materials[string(d.Material)]; ok {
		m.Inspections = slices.Clone(m.Inspections)
		return m
	}
	return quality.Material{InspectionRequired: true}
}

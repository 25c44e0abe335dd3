package workflow

import (
	"fmt"
	"slices"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// follow stores a change: objects with their next version and one ledger entry each, effects, timers, outbox.
func (t *turn) follow(in *Input, e *event.Event, c quality.Change, before quality.Objects) error {
	generation := int64(0)
	if before.Lot != nil {
		generation = before.Lot.Version
	}
	if c.Lot != nil {
		c.Lot.Version = generation + 1
		generation = c.Lot.Version
		if err := t.putLot(in, e, c.Lot, before.Lot); err != nil {
			return err
		}
	}
	for i := range c.Holds {
		if err := t.putHold(in, e, &c.Holds[i]); err != nil {
			return err
		}
	}
	for i := range c.Nonconformances {
		if err := t.putNonconformance(in, e, &c.Nonconformances[i]); err != nil {
			return err
		}
	}
	if err := t.putRelease(in, e, &c, &before); err != nil {
		return err
	}
	if err := t.putSale(in, e, &c, &before); err != nil {
		return err
	}
	return t.followUp(e, c, generation)
}

func (t *turn) putLot(in *Input, e *event.Event, lot, was *quality.Lot) error {
	if err := t.tx.PutLot(lot); err != nil {
		return fmt.Errorf("store lot %s: %w", lot.Key, err)
	}
	if err := t.enter(in, e, string(lot.Key), lot.Version, lot.Key, was, lot); err != nil {
		return err
	}
	t.suspect(lot.Key)
	if err := t.watch(lot, was); err != nil {
		return err
	}
	if err := t.watchGates(lot, was); err != nil {
		return err
	}
	return t.markStatus(lot, e.Plant)
}

func (t *turn) putHold(in *Input, e *event.Event, h *quality.Hold) error {
	was, err := t.tx.Hold(h.ID, h.Lot)
	if err != nil {
		return err
	}
	if was != nil {
		h.Version = was.Version
	}
	h.Version++
	if err := t.tx.PutHold(h); err != nil {
		return fmt.Errorf("store hold %s: %w", h.Name(), err)
	}
	return t.enter(in, e, h.Name(), h.Version, h.Lot, was, h)
}

func (t *turn) putNonconformance(in *Input, e *event.Event, n *quality.Nonconformance) error {
	was, err := t.tx.Nonconformance(n.ID)
	if err != nil {
		return err
	}
	if was != nil {
		n.Version = was.Version
	}
	n.Version++
	if err := t.tx.PutNonconformance(n); err != nil {
		return fmt.Errorf("store nonconformance %s: %w", n.ID, err)
	}
	return t.enter(in, e, string(n.ID), n.Version, n.Lots[0], was, n)
}

// version is an object that is about to be stored: what it was before, nil for a new one, and where its version stands.
type version[T any] struct {
	name string
	lot  event.LotKey
	was  *T
	now  *T
	of   func(*T) *int64
	put  func(*T) error
}

func (v version[T]) store(t *turn, in *Input, e *event.Event) error {
	n := int64(1)
	if v.was != nil {
		n = *v.of(v.was) + 1
	}
	*v.of(v.now) = n
	if err := v.put(v.now); err != nil {
		return fmt.Errorf("store %s: %w", v.name, err)
	}
	return t.enter(in, e, v.name, n, v.lot, v.was, v.now)
}

func find[T any](all []T, is func(*T) bool) *T {
	for i := range all {
		if is(&all[i]) {
			return &all[i]
		}
	}
	return nil
}

// putRelease stores what decides about a release.
func (t *turn) putRelease(in *Input, e *event.Event, c *quality.Change, before *quality.Objects) error {
	for i := range c.Inspections {
		x := &c.Inspections[i]
		was := find(before.Inspections, func(y *quality.Inspection) bool { return y.ID == x.ID })
		v := version[quality.Inspection]{x.Name(), x.Lot, was, x, func(y *quality.Inspection) *int64 { return &y.Version }, t.tx.PutInspection}
		if err := v.store(t, in, e); err != nil {
			return err
		}
		if err := t.watchInspection(x, was); err != nil {
			return err
		}
		t.suspect(x.Lot)
	}
	for i := range c.Dispositions {
		x := &c.Dispositions[i]
		was := find(before.Dispositions, func(y *quality.Disposition) bool { return y.ID == x.ID })
		v := version[quality.Disposition]{x.Name(), x.Lot, was, x, func(y *quality.Disposition) *int64 { return &y.Version }, t.tx.PutDisposition}
		if err := v.store(t, in, e); err != nil {
			return err
		}
	}
	for i := range c.Runs {
		x := &c.Runs[i]
		v := version[quality.Run]{x.Name(), x.Lot, before.Run, x, func(y *quality.Run) *int64 { return &y.Version }, t.tx.PutRun}
		if err := v.store(t, in, e); err != nil {
			return err
		}
		t.suspect(x.Lot)
	}
	return t.putEvidence(in, e, c, before)
}

// putEvidence stores what was not observed and what was signed for.
func (t *turn) putEvidence(in *Input, e *event.Event, c *quality.Change, before *quality.Objects) error {
	for i := range c.Gaps {
		x := &c.Gaps[i]
		v := version[quality.Gap]{string(x.ID), x.Lot, nil, x, func(y *quality.Gap) *int64 { return &y.Version }, t.tx.PutGap}
		if before.Gap != nil && before.Gap.ID == x.ID {
			v.was = before.Gap
		}
		if err := v.store(t, in, e); err != nil {
			return err
		}
		t.move(x.Plant, x.Lot)
		if x.Lot != "" {
			if err := t.restateLot(x.Lot, x.Plant, x.Open()); err != nil {
				return err
			}
		}
	}
	for i := range c.Certificates {
		x := &c.Certificates[i]
		was, err := t.tx.Certificate(x.ID, x.Lot)
		if err != nil {
			return err
		}
		name := string(x.ID) + "@" + string(x.Lot)
		v := version[quality.Certificate]{name, x.Lot, was, x, func(y *quality.Certificate) *int64 { return &y.Version }, t.tx.PutCertificate}
		if err := v.store(t, in, e); err != nil {
			return err
		}
	}
	for i := range c.Acceptances {
		x := &c.Acceptances[i]
		v := version[quality.Acceptance]{"acceptance:" + string(x.ID), x.Lot, nil, x, func(y *quality.Acceptance) *int64 { return &y.Version }, t.tx.PutAcceptance}
		if err := v.store(t, in, e); err != nil {
			return err
		}
		t.suspect(x.Lot)
	}
	for _, p := range c.Plants {
		if err := t.addPlant(e.Data.Concerns(), p); err != nil {
			return err
		}
	}
	return nil
}

// putSale stores what order lines count on and what customer service was told.
func (t *turn) putSale(in *Input, e *event.Event, c *quality.Change, before *quality.Objects) error {
	for i := range c.Allocations {
		x := &c.Allocations[i]
		was := find(before.Allocations, func(y *quality.Allocation) bool { return y.Name() == x.Name() })
		v := version[quality.Allocation]{"allocation:" + x.Name(), x.Lot, was, x, func(y *quality.Allocation) *int64 { return &y.Version }, t.tx.PutAllocation}
		if err := v.store(t, in, e); err != nil {
			return err
		}
	}
	for i := range c.Notices {
		x := &c.Notices[i]
		was := find(before.Notices, func(y *quality.Notice) bool { return y.ID == x.ID })
		v := version[quality.Notice]{string(x.ID), x.Lot, was, x, func(y *quality.Notice) *int64 { return &y.Version }, t.tx.PutNotice}
		if err := v.store(t, in, e); err != nil {
			return err
		}
		if err := t.watchNotice(x); err != nil {
			return err
		}
	}
	return nil
}

func (t *turn) followUp(e *event.Event, c quality.Change, generation int64) error {
	for _, i := range c.Intents {
		if err := t.want(e, i, generation); err != nil {
			return err
		}
	}
	for _, x := range c.Timers {
		t.wantsTimers = true
		if err := t.tx.PutTimer(x); err != nil {
			return err
		}
	}
	for _, x := range c.Cancel {
		if err := t.tx.CancelTimer(x.Name, x.Object); err != nil {
			return err
		}
	}
	if c.Touch == nil {
		return nil
	}
	return t.startTouch(&c.Holds[0])
}

// want makes an effect due and announces it.
func (t *turn) want(e *event.Event, i quality.Intent, generation int64) error {
	t.wantsEffects = true
	command, err := t.tx.WantEffect(i, generation, e, t.now)
	if err != nil {
		return fmt.Errorf("want %s of %s: %w", i.Kind, i.Object, err)
	}
	return t.announce(TopicEffect, &event.EffectRequested{
		MayLot: event.MayLot{Lot: i.Lot}, CommandID: event.Name(command), EffectRef: event.Name(quality.Reference(command)),
		Kind: event.Name(i.Kind), System: event.Name(i.System), Object: i.Object, Wanted: string(i.Kind),
	}, e, command)
}

// announce puts an event of the cloud into the outbox.
func (t *turn) announce(topic string, data event.Data, cause *event.Event, key ...string) error {
	ev := t.engine.own(data, key...)
	ev.Time, ev.Recorded = t.now, t.now
	if cause != nil {
		ev.Causation, ev.Correlation = cause.ID, cause.Correlation
	}
	if err := ev.Seal(System); err != nil {
		return &unannounced{ev.Causation, fmt.Errorf("announce %s: %w", data.Type(), err)}
	}
	t.wantsOutbox = true
	return t.tx.PutOutbox(topic, ev.Message())
}

// markStatus says that a lot's status is to be sent to all who follow it: to each plant that has an event or stock of it.
func (t *turn) markStatus(lot *quality.Lot, plant event.PlantID) error {
	t.wantsOutbox = true
	if err := t.tx.MarkStatus(lot.Key, t.now); err != nil {
		return err
	}
	plants, err := t.tx.LotPlants(lot.Key)
	if err != nil {
		return err
	}
	topics := []string{TopicLotStatus}
	for _, p := range append(plants, lot.Plant, plant) {
		if topic := TopicLotStatus + "/" + string(p); p != "" && !slices.Contains(topics, topic) {
			topics = append(topics, topic)
		}
	}
	for _, topic := range topics {
		if err := t.tx.MarkOutbox(topic, string(lot.Key)); err != nil {
			return err
		}
	}
	return nil
}

package workflow

import (
	"context"
	"fmt"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// rebuildPage is how many events are applied in one transaction of a rebuild.
const rebuildPage = 500

// Rebuild applies another database's inbox to the engine's own, which is empty, in its order and with the times at which
// its events were accepted. The same state results, also where policies have become stricter since: who was allowed to do
// what was judged then. The effects that the events asked for stand as wanted, none of them has been carried out from here:
// nothing may dispatch them before a person has seen the rebuilt state. Agents state their heads anew; what asked for an
// answer asks again. What persons decided about a second gateway, or about one that went out of service, stands.
func (e *Engine) Rebuild(ctx context.Context, from *store.Store) error {
	for after := int64(0); ; {
		var rows []store.InboxRow
		if err := from.View(ctx, func(tx *store.Tx) (err error) {
			rows, err = tx.InboxAfter(after, rebuildPage)
			return err
		}); err != nil {
			return fmt.Errorf("read inbox behind position %d: %w", after, err)
		}
		if len(rows) == 0 {
			return nil
		}
		t := &turn{fold: true}
		if err := e.commit(ctx, t, func() error {
			for i := range rows {
				if err := t.replay(&rows[i]); err != nil {
					return fmt.Errorf("apply event %s at position %d: %w", rows[i].Event.ID, rows[i].Pos, err)
				}
			}
			return t.flushCoverage()
		}); err != nil {
			return err
		}
		after = rows[len(rows)-1].Pos
	}
}

// replay applies one event as it was applied. What was kept and redriven is not looked for: the inbox has it where it was
// applied.
func (t *turn) replay(row *store.InboxRow) error {
	t.now = row.Accepted
	in := &Input{Plant: row.Event.Plant, Place: row.Place, Principal: row.Principal}
	if row.Door == "C" {
		in.Event = row.Event
	} else if o := row.Event.Origin; o.Agent != "" {
		if _, err := t.register(row.Event.Plant, o); err != nil { // a fork was judged then
			return err
		}
		t.cover(row.Event.Plant, o, row.Place.Partition)
	}
	change, before, err := t.decide(row.Event)
	if err != nil {
		return err
	}
	if err := t.record(in, row.Event, change, before); err != nil {
		return err
	}
	switch d := row.Event.Data.(type) {
	case *event.ActRecorded:
		if err := t.enter(in, row.Event, "act:"+string(row.Event.ID), 1, "", nil, d); err != nil {
			return err
		}
		return t.repeat(in, row.Event, d)
	case *event.TimerFired:
		switch string(d.Timer) {
		case timerTouch:
			if err := t.touch(in, row.Event, d); err != nil {
				return err
			}
		case timerRedrive: // nothing is kept here: what was applied then has rows of its own
			if err := t.redriveEpochs(d); err != nil {
				return err
			}
		}
		return t.tx.DropTimer(string(d.Timer), d.Object, d.Due.Time)
	}
	return nil
}

// repeat does once more what persons decided about agents. What they did with dead letters is not there to be done again,
// and what they said about dispatch was about another database.
func (t *turn) repeat(in *Input, e *event.Event, d *event.ActRecorded) error {
	if in.Event == nil {
		return nil
	}
	s := t.succession(in, e, d)
	switch d.Act {
	case ActEpochDecide:
		return s.repeat(event.Epoch(d.Detail[detailEpoch]), event.EpochDecision(d.Detail[detailDecision]))
	case ActAgentRetire:
		return s.retire(d)
	}
	return nil
}

// repeat makes a decision about an epoch once more. That the epoch had been set aside was known then, perhaps by records
// that were kept and are not in the inbox.
func (s *succession) repeat(epoch event.Epoch, decision event.EpochDecision) error {
	row, err := s.of(epoch)
	if err != nil {
		return err
	}
	if row == nil {
		row = &store.EpochRow{Plant: s.plant, Agent: s.agent, Epoch: epoch, FirstSeen: s.now}
		if err := s.putEpoch(row); err != nil {
			return err
		}
	}
	if !row.Superseded {
		if err := s.supersede(epochKey{s.plant, s.agent, epoch}); err != nil {
			return err
		}
	}
	line, err := s.line(row)
	if err != nil {
		return err
	}
	if decision == event.EpochAccepted {
		return s.accept(line)
	}
	return s.note(line, decision)
}

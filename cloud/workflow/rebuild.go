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
// its events were accepted. The same state results. The effects that the events asked for stand as wanted, none of them
// has been carried out from here: nothing may dispatch them before a person has seen the rebuilt state. Agents state
// their heads anew; what asked for an answer asks again. Which of two gateways goes on is asked again, too: what was
// accepted of a second one is there, what it sends from now on waits for a person.
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
		t := &turn{}
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
		return t.enter(in, row.Event, "act:"+string(row.Event.ID), 1, "", nil, d)
	case *event.TimerFired:
		if string(d.Timer) == timerTouch {
			if err := t.touch(in, row.Event, d); err != nil {
				return err
			}
		}
		return t.tx.DropTimer(string(d.Timer), d.Object, d.Due.Time)
	}
	return nil
}

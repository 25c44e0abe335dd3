package workflow

import (
	"fmt"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// startTouch asks for all lots of a hold's scope to be looked at again.
func (t *turn) startTouch(h *quality.Hold) error {
	t.wantsTimers = true
	object := fmt.Sprintf("%s#%d#", h.ID, h.Version)
	return t.tx.PutTimer(quality.Timer{Name: timerTouch, Object: object, Due: t.now})
}

// touch raises the version of one page of lots that a scope matches, makes their effects due, and goes on behind them.
func (t *turn) touch(in *Input, e *event.Event, d *event.TimerFired) error {
	id, rest, _ := strings.Cut(d.Object, "#")
	version, after, _ := strings.Cut(rest, "#")
	h, err := t.tx.Hold(event.ObjectID(id), "")
	if err != nil || h == nil {
		return err
	}
	lots, err := t.tx.LotsInScope(h.Scope, event.LotKey(after), touchPage)
	if err != nil {
		return err
	}
	for i := range lots {
		if quality.Matches(h.Scope, &lots[i]) {
			if err := t.touchLot(in, e, &lots[i]); err != nil {
				return err
			}
		}
	}
	if len(lots) < touchPage {
		return nil
	}
	t.wantsTimers = true
	next := fmt.Sprintf("%s#%s#%s", id, version, lots[len(lots)-1].Key)
	return t.tx.PutTimer(quality.Timer{Name: timerTouch, Object: next, Due: t.now})
}

func (t *turn) touchLot(in *Input, e *event.Event, lot *quality.Lot) error {
	o := quality.Objects{Now: t.now, Lot: lot, Plant: t.plantOf(e, lot, nil)}
	if err := t.loadLot(lot.Key, &o); err != nil {
		return err
	}
	return t.follow(in, e, quality.Touched(e, o), o)
}

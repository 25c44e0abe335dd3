package downlink

import (
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Why is a reason against moving a lot, as a code that stays the same over releases.
type Why string

// Reasons that only the agent has, besides those of [event.MoveReason].
const (
	UnknownLot Why = "unknown_lot" // the cloud has said nothing of it
	Unreadable Why = "unreadable"  // its newest status is not understood
	Expired    Why = "expired"     // nothing stands against it, but the cloud was not heard for too long
)

// Answer says whether a lot may move.
type Answer struct {
	Lot      event.LotKey
	MayMove  bool
	Why      []Why                   // against; empty if it may move
	Status   *event.LotStatusUpdated // newest; nil = none that is understood
	Age      time.Duration           // of what the answer rests on
	AgeKnown bool
	Expires  time.Duration // if it may move: in how long the answer no longer holds
	Fault    string        // for Unreadable
}

// Answer answers from what is on disk. It needs no link.
func (d *Downlink) Answer(lot event.LotKey) (Answer, error) {
	row, known, err := d.store.lot(lot)
	if err != nil {
		return Answer{}, err
	}
	d.mu.Lock()
	fresh := d.fresh
	d.mu.Unlock()
	a := Answer{Lot: lot, Fault: row.Fault}
	a.Age, a.AgeKnown = d.cfg.Instant().since(fresh)
	if !known {
		a.Why = []Why{UnknownLot}
		return a, nil
	}
	if row.Status != nil {
		data, err := event.DecodeData(event.TypeLotStatusUpdated, row.Status)
		if err != nil {
			return Answer{}, fmt.Errorf("stored status of %s: %w", lot, err)
		}
		a.Status = data.(*event.LotStatusUpdated)
		for _, reason := range a.Status.Reasons {
			a.Why = append(a.Why, Why(reason))
		}
	}
	a.judge(d.cfg.MaxAge)
	return a, nil
}

// judge decides. What stands against moving never expires.
func (a *Answer) judge(maxAge time.Duration) {
	switch {
	case a.Fault != "" || a.Status == nil:
		a.Why = append(a.Why, Unreadable)
	case len(a.Why) > 0:
	case !a.Status.MayMove:
		a.Why, a.Fault = []Why{Unreadable}, "it gives no reason"
	case !a.AgeKnown || a.Age >= maxAge:
		a.Why = []Why{Expired}
	default:
		a.MayMove, a.Expires = true, maxAge-a.Age
	}
}

// Lots returns up to limit lots that follow after, in the order of their keys; "" = from the first.
func (d *Downlink) Lots(after event.LotKey, limit int) ([]event.LotKey, error) {
	return d.store.keys(after, limit, func(event.LotKey) bool { return true })
}

// Find returns up to limit lots whose number, the last part of the key, is as given by the master system.
func (d *Downlink) Find(number string, limit int) ([]event.LotKey, error) {
	return d.store.keys("", limit, func(key event.LotKey) bool {
		_, _, lot, err := key.Parts()
		return err == nil && lot == number
	})
}

package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// What a list of lots may be narrowed to.
const (
	LotsHeld         = "held"          // an open hold
	LotsFree         = "free"          // may move
	LotsInInspection = "in_inspection" // wants a disposition
	LotsWaiting      = "waiting"       // an event waits for a person
	LotsUnenforced   = "unenforced"    // an open hold was not verified in the ERP in time
	LotsAsking       = "asking"        // its release waits for gaps or for plants that have not answered
)

// scanLimit bounds how many lots one request looks at; a page may then be short, with a cursor behind it.
const (
	scanLimit = 2000
	scanPage  = 200
)

type lotsInput struct {
	State  string `query:"state" enum:"held,free,in_inspection,waiting,unenforced,asking" doc:"only lots in this state"`
	Plant  string `query:"plant" doc:"only lots of this plant"`
	Number string `query:"number" doc:"only lots of this number"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor string `query:"cursor" doc:"next of the page before"`
}

// LotPage is a page of lots in the order of their keys.
type LotPage struct {
	Lots []LotLine `json:"lots"`
	Next string    `json:"next,omitempty" doc:"cursor of the next page; absent = this is the last"`
}

func (s *server) lots(ctx context.Context, in *lotsInput) (*view[LotPage], error) {
	page := LotPage{Lots: []LotLine{}}
	err := s.read(ctx, func(tx *store.Tx) error {
		if in.Number != "" {
			lots, err := tx.LotsByNumber(in.Number, in.Limit)
			if err != nil {
				return err
			}
			_, err = s.collect(ctx, tx, in, lots, &page)
			return err
		}
		next := func(after event.LotKey) ([]quality.Lot, error) { return tx.LotsAfter(after, scanPage) }
		if in.State == LotsHeld { // few of many: found by their holds
			held, err := tx.HeldLots()
			if err != nil {
				return err
			}
			keys := slices.Sorted(maps.Keys(held))
			next = func(after event.LotKey) ([]quality.Lot, error) { return lotsOf(tx, keys, after) }
		}
		return s.fill(ctx, tx, in, next, &page)
	})
	return &view[LotPage]{page}, err
}

// fill fills the page with lots from next, which returns some of those behind a key.
func (s *server) fill(ctx context.Context, tx *store.Tx, in *lotsInput, next func(event.LotKey) ([]quality.Lot, error), page *LotPage) error {
	after := event.LotKey(in.Cursor)
	for scanned := 0; ; {
		lots, err := next(after)
		if err != nil || len(lots) == 0 {
			return err
		}
		if after, err = s.collect(ctx, tx, in, lots, page); err != nil {
			return err
		}
		if scanned += len(lots); len(page.Lots) == in.Limit || scanned >= scanLimit {
			page.Next = string(after)
			return nil
		}
	}
}

// lotsOf returns some of the lots with these sorted keys, behind a key.
func lotsOf(tx *store.Tx, keys []event.LotKey, after event.LotKey) ([]quality.Lot, error) {
	var lots []quality.Lot
	i, found := slices.BinarySearch(keys, after)
	if found {
		i++
	}
	for _, key := range keys[i:min(i+scanPage, len(keys))] {
		lot, err := tx.Lot(key)
		if err != nil {
			return nil, err
		}
		if lot != nil {
			lots = append(lots, *lot)
		}
	}
	return lots, nil
}

// collect puts the lots that fit on the page, and returns the last one that it looked at.
func (s *server) collect(ctx context.Context, tx *store.Tx, in *lotsInput, lots []quality.Lot, page *LotPage) (last event.LotKey, err error) {
	c := callerOf(ctx)
	for i := range lots {
		lot := &lots[i]
		last = lot.Key
		if !c.sees(lot.Plant) || in.Plant != "" && string(lot.Plant) != in.Plant {
			continue
		}
		f, err := tx.Facts(lot.Key)
		if err != nil {
			return last, err
		}
		if l := s.lotLine(&f); l.is(in.State) {
			page.Lots = append(page.Lots, l)
		}
		if len(page.Lots) == in.Limit {
			break
		}
	}
	return last, nil
}

func (l *LotLine) is(state string) bool {
	switch state {
	case LotsHeld:
		return l.Holds > 0
	case LotsFree:
		return l.MayMove
	case LotsInInspection:
		return slices.Contains(l.Reasons, event.ReasonNoDisposition)
	case LotsWaiting:
		return slices.Contains(l.Reasons, event.ReasonParked) || slices.Contains(l.Reasons, event.ReasonQuarantine)
	case LotsUnenforced:
		return l.Unenforced
	case LotsAsking:
		return l.Release == quality.Asking
	}
	return true
}

type lotInput struct {
	Key string `path:"key" doc:"lot key, encoded"`
}

type lotOutput struct {
	ETag string `header:"ETag"`
	Body Lot
}

func (s *server) showLot(ctx context.Context, in *lotInput) (*lotOutput, error) {
	out := &lotOutput{}
	err := s.read(ctx, func(tx *store.Tx) error {
		f, err := s.lot(ctx, tx, event.LotKey(in.Key))
		if err != nil {
			return err
		}
		out.ETag = etag(f.Lot.Version)
		return s.wholeLot(tx, &f, &out.Body)
	})
	return out, err
}

func (s *server) wholeLot(tx *store.Tx, f *quality.Facts, l *Lot) error {
	lot := &f.Lot
	*l = Lot{
		LotLine: s.lotLine(f), Origin: lot.Origin, Supplier: lot.Supplier, Sublot: lot.Sublot, Equipment: lot.Equipment, MadeAt: lot.MadeAt,
		InspectionRequired: lot.InspectionRequired, ERP: s.erpOf(lot), Takeback: takebackView(lot.Takeback), OpenHolds: []Hold{}, LiftedHolds: []Hold{},
		Nonconformances: []Nonconformance{}, Effects: []Effect{}, Deadletters: []DeadletterLine{},
	}
	if lot.Q.Unit != "" {
		l.Quantity = &lot.Q
	}
	for i := range f.Open {
		l.OpenHolds = append(l.OpenHolds, holdView(&f.Open[i]))
	}
	slices.SortFunc(l.OpenHolds, func(a, b Hold) int { return a.PlacedAt.Compare(b.PlacedAt) })
	for _, fill := range []func(*store.Tx, *Lot) error{liftedHolds, nonconformances, effects, openDeadletters} {
		if err := fill(tx, l); err != nil {
			return err
		}
	}
	l.Words = l.InWords(func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") })
	return nil
}

func liftedHolds(tx *store.Tx, l *Lot) error {
	holds, err := tx.HoldsOf(l.Key)
	for i := range holds {
		if !holds[i].Open() {
			l.LiftedHolds = append(l.LiftedHolds, holdView(&holds[i]))
		}
	}
	return err
}

func nonconformances(tx *store.Tx, l *Lot) error {
	list, err := tx.NonconformancesOf(l.Key)
	for i := range list {
		l.Nonconformances = append(l.Nonconformances, nonconformanceView(&list[i]))
	}
	return err
}

// effects lists those of the lot, and those of its nonconformances, which are kept under the first of their lots.
func effects(tx *store.Tx, l *Lot) error {
	rows, err := tx.EffectsOf(l.Key)
	if err != nil {
		return err
	}
	for i := range l.Nonconformances {
		n := &l.Nonconformances[i]
		if n.Lots[0] == l.Key {
			continue
		}
		others, err := tx.EffectsOf(n.Lots[0])
		if err != nil {
			return err
		}
		for _, r := range others {
			if r.Object == string(n.ID) {
				rows = append(rows, r)
			}
		}
	}
	for i := range rows {
		l.Effects = append(l.Effects, effectView(&rows[i]))
	}
	return nil
}

func openDeadletters(tx *store.Tx, l *Lot) error {
	rows, err := tx.DeadlettersOf(l.Key)
	for i := range rows {
		l.Deadletters = append(l.Deadletters, deadletterLine(&rows[i]))
	}
	return err
}

// find returns the key of the lot with a number; it refuses a number that several lots have.
func (s *server) find(ctx context.Context, tx *store.Tx, number string) (event.LotKey, error) {
	c := callerOf(ctx)
	lots, err := tx.LotsByNumber(number, scanLimit)
	if err != nil {
		return "", err
	}
	lots = slices.DeleteFunc(lots, func(l quality.Lot) bool { return !c.sees(l.Plant) })
	switch len(lots) {
	case 0:
		return "", problem.New(problem.ObjectHidden, "there is no lot %.100s", number)
	case 1:
		return lots[0].Key, nil
	}
	text := fmt.Sprintf("%d lots have the number %s: ", len(lots), number)
	for i := range min(len(lots), 5) {
		text += string(lots[i].Key) + " "
	}
	return "", problem.New(problem.Usage, "%sname one by its key", text)
}

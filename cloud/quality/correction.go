package quality

import (
	"fmt"
	"slices"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Corrected counts how many readings of a characteristic of one lot said to take the place of another.
type Corrected struct {
	Characteristic string `json:"characteristic"`
	Count          int64  `json:"count"`
}

// maxCorrections is how many readings of one characteristic may be corrected before the lot is a case by itself: who
// measures until it fits has measured nothing.
const maxCorrections = 2

// correct takes a reading that says to take the place of another. It is one more fact beside the first, in whatever order
// the two come: what the first one's failure holds stays held until a person lifts it, and the worst of the two rules.
// It is only counted, and too many of a characteristic are a case.
func (c *Change) correct(e *event.Event, d *event.CharacteristicRecorded, o Objects) {
	o.Lot, o.Open = o.lotAfter(c), o.openAfter(c)
	lot := *o.Lot
	count := lot.countCorrection(string(d.Characteristic))
	c.setLot(&lot, e, o)
	if count <= maxCorrections {
		return
	}
	in := correctionCase(d)
	in.fresh = event.NaturalID("", "holdfast", []string{string(in.fresh), string(e.ID)}, d.Type(), 0)
	o.Lot, o.Hold, o.Nonconformance = &lot, o.CaseHold, nil
	for _, n := range merge(o.Nonconformances, c.Nonconformances, func(n *Nonconformance) string { return string(n.ID) }) {
		if n.ID == in.nonconformance {
			o.Nonconformance = &n
		}
	}
	f := failure{
		lot: d.Lot, kind: event.HoldQuality, severity: event.Minor, source: "readings of " + string(d.Characteristic),
		reason: fmt.Sprintf("more than %d readings of %s were corrected; that is a case by itself", maxCorrections, d.Characteristic),
	}
	f.file(c, e, o, in)
}

// countCorrection counts one more corrected reading and returns how many there are.
func (l *Lot) countCorrection(characteristic string) int64 {
	l.Corrected = slices.Clone(l.Corrected)
	i, found := slices.BinarySearchFunc(l.Corrected, characteristic, func(x Corrected, name string) int { return cmpText(x.Characteristic, name) })
	if !found {
		l.Corrected = slices.Insert(l.Corrected, i, Corrected{Characteristic: characteristic})
	}
	l.Corrected[i].Count++
	return l.Corrected[i].Count
}

// correctionCase names hold and nonconformance of a characteristic that was corrected too often. They are the same
// whichever reading comes last.
func correctionCase(d *event.CharacteristicRecorded) incident {
	id := event.NaturalID("", "holdfast", []string{string(d.Lot), string(d.Characteristic)}, d.Type(), 0)
	return incident{event.ObjectOf("hold", id), event.ObjectOf("nonconformance", id), id}
}

package plant

import "time"

// Part is one part as a press line's controller reports it: a record that is written whole, with a number that tells
// when one was missed.
type Part struct {
	Lot      string
	Material string
	Seq      int64     // one more with each part of the line
	Values   []float64 // torque in N.m; then its lower and upper limit, where they are others than 40 and 50
	At       time.Time // when the part was to be done; the controller stamps it by its own clock
}

// LotID is what the controller shows as its lot: it has one field for material and lot.
func (p *Part) LotID() string { return p.Material + "/" + p.Lot }

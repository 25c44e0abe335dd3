package dialect

import "time"

// Fact is something that happened in a plant. Times are whole milliseconds: that is as fine as the coarsest dialect.
type Fact interface {
	// When returns the time of the fact.
	When() time.Time
}

// Of is what facts about a lot have alike.
type Of struct {
	Record   string // id in the plant's system: 18 digits with leading zeros
	Lot      string // number as the master system writes it
	Material string
	At       time.Time
}

// When returns the time of the fact.
func (o Of) When() time.Time { return o.At }

// Made says that a lot exists.
type Made struct {
	Of
	Kilograms string // decimal
	Order     string // work order
	Equipment string
}

// Ran says that equipment began or ended to work on a lot.
type Ran struct {
	Of
	Run       string
	Order     string
	Equipment string
	Ended     bool
}

// Planned says that a lot has to be inspected.
type Planned struct {
	Of
	Inspection string
	Type       string // in_process, final, reinspection
	SpecRev    string
	Due        time.Time
}

// Measured is one characteristic of one sample. Value and limits are decimals with two digits after the point.
type Measured struct {
	Of
	Rev            int // from 1; a corrected reading has the next one
	Inspection     string
	Characteristic string
	Sample         int
	Value          string
	Unit           string // N.m or mm
	LSL, USL       string
	Safety         bool
	Equipment      string
	// WrongUnit tells that the message names a unit that nobody knows: it must end in quarantine.
	WrongUnit bool
}

// Completed is the verdict on an inspection.
type Completed struct {
	Of
	Inspection string
	Type       string
	SpecRev    string
	Verdict    string // pass, fail
	Results    int
}

// Superseded says that another inspection of the lot counts instead.
type Superseded struct {
	Of
	Inspection string
	By         string // the other inspection
	Reason     string
}

// Held is an operator's hold.
type Held struct {
	Of
	Hold   string
	Reason string
	By     string
}

// Lifted takes a hold back.
type Lifted struct {
	Of
	Hold   string
	Reason string
	By     string
}

// Sampled is a sampled value of a press. It is telemetry: it changes no lot.
type Sampled struct {
	Equipment string
	Tag       string
	Value     string // decimal
	Unit      string // N
	At        time.Time
}

// When returns the time of the fact.
func (s Sampled) When() time.Time { return s.At }

// Garbled is a message of a press that broke off: nobody can tell which lot it was about.
type Garbled struct {
	Equipment string
	At        time.Time
}

// When returns the time of the fact.
func (g Garbled) When() time.Time { return g.At }

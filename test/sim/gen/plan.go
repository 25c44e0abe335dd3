// Package gen generates what a plant sends: the same seed and plan always give the same bytes, with the state that
// every lot must end in. That state follows from the facts that were made up, in this package's own words; nothing here
// knows how the product decides.
package gen

import "time"

// Plan says what the plant does. What is given in a thousand is drawn for each lot or message on its own; zero means
// never. A lot has one story at most, but for an operator's hold, which can come to any lot that is understood.
type Plan struct {
	Start time.Time     // source time of the first message
	Lots  int           // made one after the other
	First int           // how many lots were made before, by other plans
	Parts int           // measured of each lot; the first half in one inspection, the rest in a second
	Every time.Duration // from one part to the next

	Signals int // sampled values per part

	// In a thousand lots.
	Drifting    int // the mean of one characteristic creeps towards its upper limit, and over it late in the lot
	Unsafe      int // one part fails a characteristic that safety depends on
	Failing     int // one part fails another characteristic
	Corrected   int // a part's reading is sent again, corrected: some failed first, some only then
	WrongUnit   int // the lot's creation names a unit that is not its material's; half of them have an unsafe part
	UnknownCode int // the lot's material is one that nobody knows
	Garbled     int // one reading has a value that is none; half of them have an unsafe part
	Held        int // an operator holds the lot
	Lifted      int // of 1000 lots held, so many are lifted again

	// In a thousand messages.
	Duplicated int // sent twice, the second time up to 20 parts later
	Late       int // arrives up to 30 parts late, under its old source time
	Swapped    int // changes place with the next one
}

// Message is one message on its way into the broker.
type Message struct {
	Offset  time.Duration // since the start, when it is published
	Topic   string
	Payload []byte
}

// State is how a lot must end in the ERP.
type State string

// States.
const (
	Free         State = "free"
	InInspection State = "in_inspection" // nothing of it is free until somebody decides
	Restricted   State = "restricted"    // held, but not for safety
	Blocked      State = "blocked"       // held for safety
)

// Lot is one lot with what it must come to.
type Lot struct {
	Number   string
	Material string
	Want     State
	Why      []string // the facts behind Want, in words
	// Failed are the inspections with a failed part. Each asks for exactly one nonconformance.
	Failed []string
	// Holds is how many holds were placed on the lot, lifted ones included: so often at most it becomes blocked.
	Holds int
	// Waits tells that a record of the lot cannot be applied and waits for a person.
	Waits bool
}

// Stream is what one plan gives.
type Stream struct {
	Messages []Message // by offset
	Lots     []Lot     // in the order in which they are made
}

package company

import (
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
)

// Stream is what one plan gives.
type Stream struct {
	Messages []Message // by offset
	Parts    []Part    // by offset
	Acts     []Act     // by offset
	Lots     []Lot     // plant by plant, in the order in which they are made
}

// Message is one message on its way into the broker of its plant.
type Message struct {
	Offset  time.Duration // since the start, when it is published
	Plant   string
	Topic   string
	Payload []byte
	Lot     event.LotKey // "" = of no lot
	// Offers are the events that must come of it. None of a message that must end in quarantine, and of telemetry,
	// whose ids are minted by the agent.
	Offers []Offer
	// Quarantined tells that nobody can make an event of it.
	Quarantined bool
	// Again tells that the same message was sent before.
	Again bool

	passing bool // a reading within its limits
}

// Offer is an event that a source offers.
type Offer struct {
	ID   event.ID
	Type event.Type
	Lot  event.LotKey
	Hash event.Hash
}

// Part is a part that a press line's controller reports.
type Part struct {
	Offset time.Duration
	Plant  string
	Line   string
	Part   plant.Part
	Lot    event.LotKey
	Offers []Offer
}

// System is where people do something.
type System string

// Systems that people work in.
const (
	InQMS      System = "qms"
	InERP      System = "erp"
	InOrders   System = "orders"
	InHoldfast System = "holdfast" // by its API
)

// ActKind says what a person does.
type ActKind string

// Acts.
const (
	Decide   ActKind = "decide"   // signs a disposition in the QMS
	Revise   ActKind = "revise"   // signs one that takes the place of an earlier one
	Restrict ActKind = "restrict" // restricts the lot in the ERP by hand
	Allocate ActKind = "allocate" // promises the lot to a customer's order
	Lift     ActKind = "lift"     // lifts all open holds of the lot, as somebody of quality
)

// Act is something that a person does to a lot in one of the business systems.
type Act struct {
	Offset   time.Duration // since the start
	In       System
	Kind     ActKind
	Lot      event.LotKey
	Plant    string // of the lot
	Material string
	Number   string

	Disposition string         // id in the QMS, of decide and revise
	Decision    event.Decision // of decide and revise
	Supersedes  string         // of revise
	By, Reason  string
	Q           string // kilograms, of decide, revise and allocate
	Order       Order  // of allocate

	// Needs is the inspection whose verdict Holdfast must show before the act can be done: nobody lifts a hold before the
	// inspection that speaks for it. Empty = nothing.
	Needs event.ObjectID
}

// Order is a customer's order line that counts on a lot.
type Order struct {
	ID, Line, Customer string
	PromisedAt         time.Time

	hurried bool // for the next hours rather than days
}

// Run is a time in which a machine worked on a lot.
type Run struct {
	Plant, Machine string
	From, To       time.Time
}

// Lot is one lot with what must come of it.
type Lot struct {
	Key      event.LotKey
	Plant    string // where it is made
	Number   string
	Material string
	Story    string
	Plants   []string // whose agents have events of it, sorted
	Runs     []Run
	Orders   []Order
	Want     Want

	facts []said
	acts  []Act
}

// said is a fact with the site whose systems say it, or a part with its line.
type said struct {
	site *dialect.Site
	fact dialect.Fact
	part *plant.Part // instead of fact
	line string
	// missed tells that the part was made and not reported.
	missed bool
	// late is how much later than its fact a message leaves the plant.
	late time.Duration
}

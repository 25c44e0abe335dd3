// Package company generates what a company of five plants does: what their systems say, each in its own dialect, what
// people do in the business systems meanwhile, and the state that every lot must end in. The same seed and plan always
// give the same bytes.
//
// What must come of a lot is worked out by [Fold] from its facts alone, in this package's own words: nothing here knows
// how the product decides, and the fold does not know which story the facts were made up for.
package company

import "time"

// Plan says what the company does. What is given in a thousand is drawn for each lot or message on its own; zero means
// never. A lot has one story at most.
type Plan struct {
	Start time.Time     // source time of the first message; whole milliseconds
	Lots  int           // of all plants together
	First int           // how many lots each plant made before, by other plans
	Parts int           // measured of each lot at its machine, 4 at least
	Every time.Duration // from one part to the next, 20 ms at least
	Pause time.Duration // from a lot to the next one on the same machine, 4 Every at least
	// Delay is how long the QMS's engineer takes to decide, and up to twice as long.
	Delay   time.Duration
	Signals int // sampled values per part
	// Slack is how late a message may reach its gateway, as where that is down for a while. A message that broke off
	// touches the lots that were on its machine when it arrived, which may be later ones.
	Slack time.Duration

	// Stories, in a thousand lots.
	Failing    int // a part fails a characteristic that safety does not depend on
	Unsafe     int // a part fails one that it does
	FailFinal  int // the finished lot fails its final inspection
	Corrected  int // a reading is sent again, corrected: one of the two is out of limits
	Reinspect  int // it fails its final inspection, passes another one that counts instead, and a person lifts the hold
	Held       int // an operator holds it before it is decided, for good
	Lifted     int // an operator holds it before it is decided and lifts the hold again
	HeldLate   int // an operator holds it about when it is released, or after
	LateFail   int // a part that failed is reported after the decision
	WrongUnit  int // a reading has a unit that nobody knows
	Contrary   int // a reading is sent again under the same record and revision, with another value within its limits
	Garbled    int // a message of its machine breaks off
	Missing    int // a press line reports one part less than it made; elsewhere nobody could notice
	Rejected   int // the engineer rejects it, though nothing failed
	Reworked   int // the engineer sends it to rework, though nothing failed
	Undecided  int // the engineer never decides
	Repealed   int // the engineer rejects it and later, in a second signed decision, releases it
	TakenBack  int // the engineer releases it and later, in a second signed decision, rejects it
	Foreign    int // somebody restricts it in the ERP by hand before it is decided
	UnknownMat int // its material is one that nobody knows, and nobody decides

	// Independent of the story, in a thousand lots.
	Shared  int // its final inspection is made in another plant
	Ordered int // a customer's order counts on it
	Hurried int // of 1000 ordered lots, so many are promised for the next two hours rather than days

	// In a thousand messages.
	Duplicated int // sent twice, the second time up to 20 parts later
	Late       int // passing readings only: up to 30 parts late
	Swapped    int // readings only: changes place with the next one of its machine
}

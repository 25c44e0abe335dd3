package localapi

import (
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// DefaultRate leaves most of a link to live traffic.
const (
	DefaultRate = 200    // records a second
	MaxRate     = 10_000 // records a second
)

// maxReason bounds what a person writes, in bytes.
const maxReason = 2000

// Replay asks for sent records of a time range to be sent again.
type Replay struct {
	Lane    event.Lane `json:"lane"`
	From    time.Time  `json:"from"` // by the time at which records were queued: from <= t < to
	To      time.Time  `json:"to"`
	Rate    int        `json:"rate"` // records a second, 1 to MaxRate; 0 = DefaultRate
	Reason  string     `json:"reason,omitempty"`
	Execute bool       `json:"execute"` // false: only say what would be sent
}

// Check fills zero values and tells what is wrong.
func (r *Replay) Check() error {
	if r.Rate == 0 {
		r.Rate = DefaultRate
	}
	switch {
	case r.Lane != event.LaneQuality && r.Lane != event.LaneTelemetry:
		return problem.New(problem.Usage, "lane %q: want %s or %s", r.Lane, event.LaneQuality, event.LaneTelemetry)
	case r.From.IsZero() || r.To.IsZero():
		return problem.New(problem.Usage, "replay needs from and to")
	case !r.From.Before(r.To):
		return problem.New(problem.Usage, "from %s is not before to %s", r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	case r.Rate < 1 || r.Rate > MaxRate:
		return problem.New(problem.Usage, "rate is %d: want 1 to %d a second", r.Rate, MaxRate)
	case r.Execute && r.Reason == "":
		return problem.New(problem.ReasonNeeded, "replay with execute needs a reason")
	case len(r.Reason) > maxReason:
		return problem.New(problem.Usage, "reason has %d bytes: want %d at most", len(r.Reason), maxReason)
	}
	return nil
}

// Plan is what a replay would send.
type Plan struct {
	Plant   string     `json:"plant"`
	Lane    event.Lane `json:"lane"`
	Records int64      `json:"records"`
	Bytes   int64      `json:"bytes"`          // of keys, values and headers as they lie in the queue
	First   time.Time  `json:"first,omitzero"` // zero if there is no record
	Last    time.Time  `json:"last,omitzero"`
	Types   []Count    `json:"types"` // by name
}

// Count is how many records have an event type.
type Count struct {
	Type    string `json:"type"`
	Records int64  `json:"records"`
}

// Act is an order with who gave it and what it was expected to send.
type Act struct {
	Principal string // as the system names the caller
	Order     Replay
	Plan      Plan
}

// Progress is how far a replay is.
type Progress struct {
	Sent  int64 `json:"sent"` // confirmed by Kafka
	Total int64 `json:"total"`
}

// Update is one line of the answer to a replay; exactly one member is set. The first is Plan, the last Done or Failure;
// after a dry run the plan is the last.
type Update struct {
	Plan     *Plan     `json:"plan,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	Done     *Progress `json:"done,omitempty"`
	Failure  *Failure  `json:"failure,omitempty"`
}

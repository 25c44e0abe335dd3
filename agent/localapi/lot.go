package localapi

import (
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/downlink"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Lot is the answer to "may this lot move?", given without asking the cloud.
type Lot struct {
	Format int       `json:"format"`
	Plant  string    `json:"plant"`
	Agent  string    `json:"agent"`
	AsOf   time.Time `json:"as_of"`

	Lot     string      `json:"lot"` // its key; what was asked for where no lot is known
	MayMove bool        `json:"may_move"`
	Why     []LotReason `json:"why"` // against moving; empty if it may move

	AgeKnown  bool  `json:"age_known"`                    // false: not known how old the answer's facts are
	Age       int64 `json:"age_seconds"`                  // of the facts; 0 if not known
	ExpiresIn int64 `json:"expires_in_seconds,omitempty"` // absent: it may not move, which never expires

	Version     int64      `json:"version,omitempty"` // of the status that the cloud gave; absent = none
	StatusAsOf  time.Time  `json:"status_as_of,omitzero"`
	Disposition string     `json:"disposition,omitempty"` // absent = no decision
	Usage       []LotUsage `json:"usage"`                 // what each ERP enforces
}

// LotReason is one reason against moving.
type LotReason struct {
	Code string `json:"code"` // stays the same over releases
	Text string `json:"text"`
}

// LotUsage is what one ERP enforces.
type LotUsage struct {
	System     string    `json:"system"`
	Usage      string    `json:"usage_status"`
	Raw        string    `json:"raw,omitempty"`        // the system's own words
	VerifiedAt time.Time `json:"verified_at,omitzero"` // zero = never
}

// Lots is a page of answers.
type Lots struct {
	Format int       `json:"format"`
	Plant  string    `json:"plant"`
	Agent  string    `json:"agent"`
	AsOf   time.Time `json:"as_of"`
	Lots   []Lot     `json:"lots"`           // in the order of their keys
	Next   string    `json:"next,omitempty"` // to be given as after for the next page; absent on the last
}

// MaxLots is the longest page.
const MaxLots = 500

// ReasonLocal is the code for what this plant itself has recorded against a lot and the cloud has not taken in.
const ReasonLocal = "recorded_here"

// NewLot shows an answer of the downlink. Local is what this plant has recorded against the lot and the cloud has
// not taken in yet; it stands against moving, whatever the cloud said before.
func NewLot(a downlink.Answer, maxAge time.Duration, local []LotReason) Lot {
	l := Lot{Lot: string(a.Lot), MayMove: a.MayMove && len(local) == 0, Why: append([]LotReason{}, local...), AgeKnown: a.AgeKnown, Usage: []LotUsage{}}
	if a.AgeKnown {
		l.Age = int64(a.Age.Seconds())
	}
	if l.MayMove {
		l.ExpiresIn = int64(a.Expires.Seconds())
	}
	for _, why := range a.Why {
		l.Why = append(l.Why, reasons(why, &a, maxAge)...)
	}
	if s := a.Status; s != nil {
		l.Version, l.StatusAsOf, l.Disposition = s.Version, s.AsOf.Time, string(s.Disposition)
		for _, u := range s.Usage {
			l.Usage = append(l.Usage, LotUsage{string(u.System), string(u.Usage), u.Raw, u.VerifiedAt.Time})
		}
	}
	return l
}

// reasons puts a reason into words: one, or one per open hold.
func reasons(why downlink.Why, a *downlink.Answer, maxAge time.Duration) []LotReason {
	var all []LotReason
	add := func(format string, args ...any) {
		all = append(all, LotReason{string(why), fmt.Sprintf(format, args...)})
	}
	switch why {
	case downlink.UnknownLot:
		add("the cloud has said nothing of this lot to this plant")
	case downlink.Unreadable:
		add("the newest status that the cloud sent is not understood: %s", a.Fault)
	case downlink.Expired:
		switch {
		case a.AgeKnown:
			add("nothing stood against it %s ago; since then the cloud was not heard, and after %s that no longer holds", a.Age.Round(time.Second), maxAge)
		default:
			add("nothing stood against it, but it is not known how long ago: since the start of this host or agent the cloud was not heard twice")
		}
	case downlink.Why(event.ReasonOpenHold):
		if a.Status == nil || len(a.Status.OpenHolds) == 0 {
			add("it is held")
			break
		}
		for _, h := range a.Status.OpenHolds {
			add("held since %s: %s (%s, %s)", h.PlacedAt, h.Reason, h.HoldKind, h.HoldID)
		}
	default:
		add("%s", words(event.MoveReason(why)))
	}
	return all
}

// words explains a reason that the cloud gave.
func words(why event.MoveReason) string {
	switch why {
	case event.ReasonNoDisposition:
		return "nobody has decided on it yet"
	case event.ReasonGap:
		return "something that may concern it was not observed"
	case event.ReasonParked:
		return "an event of it waits for a person"
	case event.ReasonQuarantine:
		return "a record that may concern it was not understood"
	case event.ReasonBarrier:
		return "not every gateway in question has answered for it yet"
	case event.ReasonForeignRestriction:
		return "someone has restricted it in the ERP"
	case event.ReasonUsageNotVerified:
		return "the ERP has not confirmed that it is free"
	}
	return string(why)
}

// Downlink is what the cloud says to this agent, and how old it is.
type Downlink struct {
	Up        bool      `json:"up"`
	Since     time.Time `json:"since"` // of up
	LastError string    `json:"last_error,omitempty"`
	Barrier   uint64    `json:"barrier"`        // newest number read
	Heard     time.Time `json:"heard,omitzero"` // arrival of the newest control record in this run; zero = none
	Lots      int       `json:"lots"`
	AgeKnown  bool      `json:"age_known"`
	Age       int64     `json:"age_seconds"` // of what answers rest on; 0 if not known
	MaxAge    int64     `json:"max_age_seconds"`
	// Superseded says that the cloud takes another gateway for this one: its records are set aside until a person decides.
	Superseded string `json:"superseded,omitempty"`
}

// NewDownlink shows the downlink's own status.
func NewDownlink(s downlink.Status, superseded string) Downlink {
	d := Downlink{
		Up: s.Up, Since: s.Since, LastError: s.LastError, Barrier: s.Barrier, Heard: s.Heard, Lots: s.Lots, AgeKnown: s.AgeKnown,
		MaxAge: int64(s.MaxAge.Seconds()), Superseded: superseded,
	}
	if s.AgeKnown {
		d.Age = int64(s.Age.Seconds())
	}
	return d
}

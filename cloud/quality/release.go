package quality

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// ReleaseState says what a lot waits for on its way to be released.
type ReleaseState string

// Release states.
const (
	AwaitingInspection  ReleaseState = "awaiting_inspection"
	Evaluating          ReleaseState = "evaluating" // some of its inspections are complete
	AwaitingDisposition ReleaseState = "awaiting_disposition"
	Asking              ReleaseState = "asking"    // decided and not held: every agent in question is asked for what it has on disk
	Releasing           ReleaseState = "releasing" // all have answered: the ERP is told, and read again
	Released            ReleaseState = "released"  // verified in the ERP of the lot's own plant
	Held                ReleaseState = "held"
	Rejected            ReleaseState = "rejected"
)

// limit is how long a lot may stay in a state before a person is told; 0 = for ever.
func (s ReleaseState) limit() time.Duration {
	switch s {
	case AwaitingInspection:
		return 24 * time.Hour
	case Evaluating:
		return time.Hour
	case AwaitingDisposition:
		return 8 * time.Hour
	case Releasing:
		return 15 * time.Minute
	}
	return 0 // a lot that asks too long is told by the name of the agent that is silent
}

// LotRelease is how far a lot has come.
type LotRelease struct {
	State ReleaseState `json:"state"`
	Since time.Time    `json:"since"`
	// Barrier is the number that every agent in question has answered; 0 = the release is not granted.
	Barrier int64 `json:"barrier,omitempty"`
	// Plants are those whose agents have answered it besides the lot's own, sorted. No other plant's stock is freed by this
	// release.
	Plants []event.PlantID `json:"plants,omitempty"`
	// Round counts how often the lot began to ask. What was answered in an earlier round grants nothing.
	Round int64 `json:"round,omitempty"`
	// GrantedAt is when all had answered: from then on the lot may have been moved. Zero = the release is not granted.
	GrantedAt time.Time `json:"granted_at,omitzero"`
	Late      bool      `json:"late,omitempty"` // longer in the state than it should be
}

// Granted tells whether the ERP may be told to free the lot.
func (r *LotRelease) Granted() bool { return r.State == Releasing || r.State == Released }

func (r *LotRelease) enter(s ReleaseState, now time.Time) {
	*r = LotRelease{State: s, Since: now, Round: r.Round}
	if s == Asking {
		r.Round++
	}
}

// ReleaseTimer is the object of the timers by which the engine tells that all agents have answered, or that something
// came between: lot, barrier, round of the lot, for the latter why, and plants.
type ReleaseTimer struct {
	Lot     event.LotKey
	Barrier int64
	Round   int64
	Reason  string          // empty for an answer
	Plants  []event.PlantID // that were asked besides the lot's own, for an answer; else those with stock that were not
}

// String returns the text form of the object.
func (r ReleaseTimer) String() string {
	s := fmt.Sprintf("%s#%d#%d", r.Lot, r.Barrier, r.Round)
	if r.Reason == "" && len(r.Plants) == 0 {
		return s
	}
	s += "#" + r.Reason
	for _, p := range r.Plants {
		s += "#" + string(p)
	}
	return s
}

func parseReleaseTimer(s string) (r ReleaseTimer, err error) {
	parts := strings.Split(s, "#")
	if len(parts) < 3 {
		return r, fmt.Errorf("object %q of a release timer: want lot, barrier and round", s)
	}
	r.Lot = event.LotKey(parts[0])
	if r.Barrier, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
		return r, fmt.Errorf("object %q of a release timer: %w", s, err)
	}
	if r.Round, err = strconv.ParseInt(parts[2], 10, 64); err != nil {
		return r, fmt.Errorf("object %q of a release timer: %w", s, err)
	}
	if len(parts) > 3 {
		r.Reason = parts[3]
		for _, p := range parts[4:] {
			r.Plants = append(r.Plants, event.PlantID(p))
		}
	}
	return r, nil
}

// answered grants the release, unless something restricted the lot since it asked.
func answered(e *event.Event, d *event.TimerFired, o Objects) (Change, error) {
	r, err := parseReleaseTimer(d.Object)
	if err != nil {
		return Change{}, err
	}
	if o.Lot == nil || o.Lot.Release.State != Asking || o.Lot.Release.Round != r.Round {
		return Change{}, nil
	}
	lot := *o.Lot
	lot.Release.enter(Releasing, o.Now)
	lot.Release.Barrier, lot.Release.Plants, lot.Release.GrantedAt = r.Barrier, r.Plants, o.Now
	lot.Takeback = nil
	var c Change
	c.setLot(&lot, e, o)
	for i := range o.Dispositions {
		if x := &o.Dispositions[i]; x.Counts() && (x.Decision == Release || x.Decision == ConditionalRelease) {
			c.wantUsageDecision(x, o)
		}
	}
	c.wantUsage(o, lot.Key, false)
	if o.home().ERP == "" {
		lot.Release.State = Released // there is nothing to be told
	}
	return c, nil
}

// withdrawn takes the grant back before the lot is free: the lot asks anew. A release that is verified is taken back only
// where an ERP has stock at a plant that nobody asked: what else comes after it does not reach back.
func withdrawn(e *event.Event, d *event.TimerFired, o Objects) (Change, error) {
	r, err := parseReleaseTimer(d.Object)
	if err != nil {
		return Change{}, err
	}
	c := Change{Plants: r.Plants}
	if o.Lot == nil || o.Lot.Release.Round != r.Round {
		return c, nil
	}
	if s := o.Lot.Release.State; s != Releasing && (s != Released || len(r.Plants) == 0) {
		return c, nil
	}
	lot := *o.Lot
	lot.Release.enter(Asking, o.Now)
	c.setLot(&lot, e, o)
	return c, nil
}

func releaseLate(e *event.Event, o Objects) (Change, error) {
	if o.Lot == nil {
		return Change{}, nil
	}
	r := &o.Lot.Release
	if limit := r.State.limit(); limit == 0 || r.Late || o.Now.Sub(r.Since) < limit {
		return Change{}, nil
	}
	lot := *o.Lot
	lot.Release.Late = true
	var c Change
	c.setLot(&lot, e, o)
	return c, nil
}

// openAfter returns the lot's open holds as the change leaves them, sorted by name.
func (o *Objects) openAfter(c *Change) []Hold {
	lot := o.lotAfter(c)
	open := slices.Clone(o.Open)
	put := func(h Hold) {
		open = slices.DeleteFunc(open, func(x Hold) bool { return x.Name() == h.Name() })
		if h.Open() {
			open = append(open, h)
		}
	}
	if lot != nil {
		for _, h := range o.Scoped {
			if Matches(h.Scope, lot) {
				put(h)
			}
		}
		for _, h := range c.Holds {
			if h.Lot == lot.Key {
				put(h)
			}
		}
	}
	slices.SortFunc(open, func(a, b Hold) int { return cmpText(a.Name(), b.Name()) })
	return open
}

func (o *Objects) lotAfter(c *Change) *Lot {
	if c.Lot != nil {
		return c.Lot
	}
	return o.Lot
}

// conclude works out what the change means for the lot's release, its warehouse tasks and its customers.
func (c *Change) conclude(e *event.Event, o *Objects) {
	lot := o.lotAfter(c)
	if lot == nil || e.Data.Concerns() != lot.Key && c.Lot == nil {
		return
	}
	was := o.Lot
	open := o.openAfter(c)
	if next := c.stage(lot, open, o); next.State != lot.Release.State || next.Round != lot.Release.Round {
		changed := *lot
		changed.Release = next
		changed.takenBack(was, o.Now)
		c.setLot(&changed, e, *o)
		lot = c.Lot
	}
	if was == nil || was.Release.State != lot.Release.State || was.Release.Round != lot.Release.Round {
		c.watch(lot)
	}
	lot = c.gate(lot, open, e, o)
	c.tell(lot, open, e, o)
}

// stage returns where the lot stands: what its decision, holds and inspections ask for, with what was granted kept.
func (c *Change) stage(lot *Lot, open []Hold, o *Objects) LotRelease {
	next := lot.Release
	want := wantedState(lot, open, merge(o.Inspections, c.Inspections, (*Inspection).Name))
	switch {
	case want == Asking && !c.decided && (next.State == Asking || next.Granted()):
	case want != next.State, c.decided:
		next.enter(want, o.Now)
	}
	return next
}

// wantedState is the state of a lot that nobody has asked about.
func wantedState(lot *Lot, open []Hold, inspections []Inspection) ReleaseState {
	switch {
	case rejects(lot.Decision):
		return Rejected
	case len(open) > 0:
		return Held
	case lot.Stub:
		return AwaitingInspection
	case lot.Decision == Release && !lot.Remainder, lot.Decision == ConditionalRelease && !lot.Remainder:
		return Asking
	case lot.Decision != "":
		return AwaitingDisposition // to be reworked, regraded, or a part is not decided about
	}
	complete, some := inspected(lot, inspections)
	switch {
	case complete && !lot.InspectionRequired:
		return Asking
	case complete:
		return AwaitingDisposition
	case some:
		return Evaluating
	}
	return AwaitingInspection
}

// watch sets the timer that tells that the lot stays too long where it is.
func (c *Change) watch(lot *Lot) {
	x := Timer{Name: TimerLate, Object: string(lot.Key), Lot: lot.Key, Due: lot.Release.Since.Add(lot.Release.State.limit())}
	if lot.Release.State.limit() == 0 {
		c.Cancel = append(c.Cancel, x)
		return
	}
	c.Timers = append(c.Timers, x)
}

// merge returns the stored objects with the changed ones in their place, in the order of names.
func merge[T any](stored, changed []T, name func(*T) string) []T {
	all := slices.Clone(stored)
	for _, x := range changed {
		i := slices.IndexFunc(all, func(y T) bool { return name(&y) == name(&x) })
		if i < 0 {
			all = append(all, x)
			continue
		}
		all[i] = x
	}
	slices.SortStableFunc(all, func(a, b T) int { return cmpText(name(&a), name(&b)) })
	return all
}

package quality

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// GapKind says what is missing.
type GapKind string

// Gap kinds.
const (
	GapObservation GapKind = "observation" // a source was not seen for a time
	GapQuarantine  GapKind = "quarantine"  // a record was read and not understood
	GapLoss        GapKind = "loss"        // records of an agent's lane are declared gone
	GapMissing     GapKind = "missing"     // records of a closed epoch did not come
	GapFork        GapKind = "fork"        // a second gateway has records that nobody decided about
)

// Gap is something that was not observed, or was lost. It is open until data closes it; a signature accepts it for one
// named lot and leaves it open for all others. Of kinds missing and fork there is no stored object: they are worked out
// from coverage and epochs.
type Gap struct {
	ID        event.ObjectID    `json:"id"`
	Version   int64             `json:"version"`
	Kind      GapKind           `json:"kind"`
	Plant     event.PlantID     `json:"plant"`
	Agent     string            `json:"agent,omitempty"`
	Lot       event.LotKey      `json:"lot,omitempty"` // of a record that named it; empty = see [Gap.Touches]
	Source    string            `json:"source,omitempty"`
	Equipment event.EquipmentID `json:"equipment,omitempty"` // empty = all of the plant
	From      time.Time         `json:"from,omitzero"`
	To        time.Time         `json:"to,omitzero"` // zero = not known
	Reason    string            `json:"reason"`
	Epoch     event.Epoch       `json:"epoch,omitempty"` // of kinds loss, missing and fork
	Lane      event.Lane        `json:"lane,omitempty"`
	FromSeq   int64             `json:"from_seq,omitempty"`
	ToSeq     int64             `json:"to_seq,omitempty"`
	ClosedAt  time.Time         `json:"closed_at,omitzero"` // zero = open
	ClosedBy  event.ID          `json:"closed_by,omitempty"`
	UpdatedAt time.Time         `json:"updated_at"`
	Cause     event.ID          `json:"cause"`
}

// Open tells whether the gap may keep a lot from its release. Telemetry that was shed or missed changes no lot.
func (g *Gap) Open() bool { return g.ClosedAt.IsZero() && g.Lane != event.LaneTelemetry }

// Words says in one sentence what is missing.
func (g *Gap) Words() string {
	where := "plant " + string(g.Plant)
	if g.Equipment != "" {
		where += "/" + string(g.Equipment)
	}
	switch g.Kind {
	case GapQuarantine:
		return "a record of " + where + " was not understood: " + g.Reason
	case GapLoss, GapMissing:
		return fmt.Sprintf("records %d to %d of lane %s of agent %s/%s are missing: %s", g.FromSeq, g.ToSeq, g.Lane, g.Plant, g.Agent, g.Reason)
	case GapFork:
		return fmt.Sprintf("a second gateway sends as agent %s/%s, and nobody decided which one goes on", g.Plant, g.Agent)
	}
	if g.goesOn() {
		return fmt.Sprintf("%s has not been observed since %s: %s", where, event.At(g.From), g.Reason)
	}
	return fmt.Sprintf("%s was not observed from %s to %s: %s", where, event.At(g.From), event.At(g.To), g.Reason)
}

// gapOf names the gap that an event made.
func gapOf(id event.ID) event.ObjectID { return event.ObjectOf("gap", id) }

// MissingID names records of a closed epoch that did not come, so that they can be accepted for a lot.
func MissingID(plant event.PlantID, agent string, epoch event.Epoch, from, to int64) event.ObjectID {
	return event.ObjectID(fmt.Sprintf("gap:%s.%s:%s-%d-%d", plant, agent, epoch, from, to))
}

// ForkID names the undecided records of a second gateway.
func ForkID(plant event.PlantID, agent string, epoch event.Epoch) event.ObjectID {
	return event.ObjectID(fmt.Sprintf("gap:%s.%s:%s", plant, agent, epoch))
}

// DeadletterID names a record that the cloud keeps because it did not understand it, or because it failed, and that names
// no lot.
func DeadletterID(id int64) event.ObjectID {
	return event.ObjectID(fmt.Sprintf("gap:holdfast:deadletter-%d", id))
}

var workedOut = regexp.MustCompile(`^gap:(?:holdfast:deadletter-[0-9]+|[a-z0-9-]+\.[a-z0-9-]+:([0-9a-f]{32})(?:-([0-9]{1,16})-([0-9]{1,16}))?)$`)

// Presence is where and when a lot was, as far as gaps are concerned.
type Presence struct {
	Lot    *Lot
	Plants []event.PlantID // that have an event of it, its own included
	// Runs of the lot. The From of one whose start was not seen is the end of the run before it on its equipment, zero if
	// none is known.
	Runs []Run
}

// Touches tells whether the gap may hide something about the lot:
//
//   - Missing records of lane quality may, for every lot of the plant that the cloud knew before they were known to be
//     missing. For those, only the cloud's own order counts, no source's clock. Where records were declared as lost their
//     epoch may go on, and other records from before may lag: a lot that says of itself that it began before the
//     declaration is touched, too, whenever the cloud sees it.
//   - A record that named the lot does.
//   - What was not seen of an equipment may, for each lot with a run on it in that time, or shortly before one
//     that still goes on. Equipment ids are unique in their
//     plant only. Where no run of the lot at the plant is known, the equipment that its creation names stands for one that
//     began at an unknown time; a lot that names none is touched by every gap of the plant, as a plant that sends no runs
//     for it cannot rule any out. A lot that came from another plant, where it is known what it ran on, is touched by none:
//     here it was only looked at.
//   - What names no equipment may, for every lot of the plant that was there before the gap ended.
func (g *Gap) Touches(p *Presence) bool {
	switch {
	case g.Lane == event.LaneTelemetry:
		return false
	case g.Lot != "":
		return g.Lot == p.Lot.Key
	case !slices.Contains(p.Plants, g.Plant):
		return false
	case g.Kind == GapFork:
		return true
	case g.Kind == GapLoss && !g.endedBefore(p.Begin()):
		return true
	case g.Kind == GapMissing, g.Kind == GapLoss:
		return g.To.IsZero() || !p.Lot.SeenAt.After(g.To)
	case g.Equipment == "":
		return !g.endedBefore(p.Begin())
	}
	here := false
	for i := range p.Runs {
		r := &p.Runs[i]
		if r.Plant != g.Plant {
			continue
		}
		here = true
		if r.Equipment == g.Equipment && !g.endedBefore(r.From) && (r.To.IsZero() || !g.lastWord(r.To).Before(g.From)) {
			return true
		}
	}
	if here || !p.mayHaveRun(g.Plant, g.Equipment) {
		return false
	}
	return !g.endedBefore(p.Begin())
}

// lateResults is how long after the end of a run a machine may still tell something about it, while it is cut off. Who tells
// of runs and who tells of results have links of their own, and neither waits for the other.
const lateResults = time.Hour

// lastWord returns until when the gap's equipment may have told something about a run that ended. Once the gap has an end,
// what waited has come, or is known to be lost, and the run's own time counts.
func (g *Gap) lastWord(end time.Time) time.Time {
	if g.goesOn() {
		return end.Add(lateResults)
	}
	return end
}

// goesOn tells whether the gap has no end yet; the contract's word for that is the end of all times.
func (g *Gap) goesOn() bool { return g.Kind == GapObservation && g.To.Year() == 9999 }

// mayHaveRun tells whether the lot may have run on an equipment of a plant that sent no run of it.
func (p *Presence) mayHaveRun(plant event.PlantID, equipment event.EquipmentID) bool {
	if p.Lot.Plant == plant {
		return p.Lot.Equipment == "" || p.Lot.Equipment == equipment
	}
	return p.Lot.Equipment == "" && len(p.Runs) == 0
}

// endedBefore tells whether the gap ended before a time; not if either is not known.
func (g *Gap) endedBefore(t time.Time) bool { return !t.IsZero() && !g.To.IsZero() && g.To.Before(t) }

// Begin returns the earliest time from which the lot is known to exist, zero if that is not known. What ended before
// does not touch it, unless records of a lane are missing. A source whose clock is ahead does not hide anything: the
// lot exists at the latest when the cloud sees it.
func (p *Presence) Begin() time.Time {
	begin := p.Lot.MadeAt
	if begin.IsZero() || !p.Lot.CreatedAt.IsZero() && p.Lot.CreatedAt.Before(begin) {
		begin = p.Lot.CreatedAt
	}
	if seen := p.Lot.SeenAt; !seen.IsZero() && seen.Before(begin) {
		begin = seen
	}
	for i := range p.Runs {
		if p.Runs[i].From.IsZero() {
			return time.Time{}
		}
		if p.Runs[i].From.Before(begin) {
			begin = p.Runs[i].From
		}
	}
	return begin
}

func gapRecorded(e *event.Event, d *event.GapRecorded, o Objects) (Change, error) {
	if o.Gap != nil {
		return Change{}, nil
	}
	g := Gap{
		ID: d.GapID, Kind: GapObservation, Plant: e.Plant, Agent: e.Origin.Agent, Source: string(d.Source), Equipment: d.Equipment,
		From: d.From.Time, To: d.To.Time, Reason: string(d.Reason), Lane: d.Lane, UpdatedAt: o.Now, Cause: e.ID,
	}
	return Change{Gaps: []Gap{g}, Known: []string{string(g.ID)}}, nil
}

// gapClosed closes a gap that data explains as a whole. What explains a part of it leaves it open.
func gapClosed(e *event.Event, d *event.GapClosed, o Objects) (Change, error) {
	g := o.Gap
	switch {
	case g == nil:
		return Change{}, &Wait{Object: string(d.GapID)}
	case e.Plant != g.Plant:
		return Change{}, &Refusal{"a plant closes its own gaps only", fmt.Sprintf("gap %s is of plant %s, the event of %s", g.ID, g.Plant, e.Plant)}
	case !g.Open(), d.From.After(g.From), g.To.After(d.To.Time):
		return Change{}, nil
	}
	var c Change
	c.closeGap(g, e, &o)
	return c, nil
}

func (c *Change) closeGap(g *Gap, e *event.Event, o *Objects) {
	closed := *g
	closed.ClosedAt, closed.ClosedBy, closed.UpdatedAt, closed.Cause = o.Now, e.ID, o.Now, e.ID
	c.Gaps = append(c.Gaps, closed)
}

// explain closes the quarantine of a record whose correction this event is: its direct cause is the record, and it is of
// the same plant, or of the cloud's door, and of the lot that the record named.
func (c *Change) explain(e *event.Event, o *Objects) {
	g := o.Gap
	if g == nil || e.Causation == "" || g.ID != gapOf(e.Causation) || g.Kind != GapQuarantine || !g.Open() || len(c.Gaps) > 0 {
		return
	}
	switch e.Data.(type) {
	case *event.TimerFired, *event.EffectSettled: // they follow from the record and correct nothing
		return
	}
	if (e.Plant == "" || e.Plant == g.Plant) && (g.Lot == "" || g.Lot == e.Data.Concerns()) {
		c.closeGap(g, e, o)
	}
}

// recordQuarantined keeps what an agent could not understand: it may have been the record that forbids.
func recordQuarantined(e *event.Event, d *event.RecordQuarantined, o Objects) (Change, error) {
	from, to := told(e)
	g := Gap{
		ID: gapOf(e.ID), Kind: GapQuarantine, Plant: e.Plant, Agent: e.Origin.Agent, Lot: d.Lot, Source: string(d.Source),
		Equipment: d.Equipment, From: from, To: to, Reason: d.Reason, UpdatedAt: o.Now, Cause: e.ID,
	}
	return Change{Gaps: []Gap{g}, Known: []string{string(g.ID)}}, nil
}

// told returns the time that a record which was not understood may tell of: up to its arrival, and from its own time on,
// else from what its source had told before it; zero where neither is known, or can be right.
func told(e *event.Event) (from, to time.Time) {
	p := e.Data.ReadBy()
	to = e.Time
	if p.ArrivedAt.After(to) {
		to = p.ArrivedAt.Time
	}
	switch {
	case p.TimeQuality != event.TimeMissing && p.TimeQuality != event.TimeSuspect:
		from = e.Time
	case p.NotBefore.Before(to):
		from = p.NotBefore.Time
	}
	return from, to
}

// lossRecorded keeps what an agent declares as gone. Declared is not closed: it is open until the seqs come after all. Which
// lots were known before is not known yet: other partitions may lag, and the epoch may be over later.
func lossRecorded(e *event.Event, d *event.LossRecorded, o Objects) (Change, error) {
	g := Gap{
		ID: gapOf(e.ID), Kind: GapLoss, Plant: e.Plant, Agent: e.Origin.Agent, From: d.From.Time, Reason: string(d.Cause),
		Epoch: d.Epoch, Lane: d.Lane, FromSeq: d.FromSeq, ToSeq: d.ToSeq, UpdatedAt: o.Now, Cause: e.ID,
	}
	return Change{Gaps: []Gap{g}, Known: []string{string(g.ID)}}, nil
}

// Acceptance is a signature by which persons answer, for one lot, for a gap or for an agent's missing answer.
type Acceptance struct {
	ID         event.ID          `json:"id"` // of the event
	Lot        event.LotKey      `json:"lot"`
	Version    int64             `json:"version"`
	Gap        event.ObjectID    `json:"gap,omitempty"` // instead of plant, agent and barrier
	Plant      event.PlantID     `json:"plant,omitempty"`
	Agent      string            `json:"agent,omitempty"`
	Barrier    int64             `json:"barrier,omitempty"` // up to and with this number the agent counts as having answered
	By         []string          `json:"by"`
	Reason     string            `json:"reason"`
	At         time.Time         `json:"at"`
	Signatures []event.Signature `json:"signatures"` // of all who signed, in full: the ledger keeps them with the act
}

// signers is how many persons it takes.
const signers = 2

// evidenceAccepted takes a signature. It never stands for a decision, for a hold, or for a record that names the lot and
// was not understood: that one has to be corrected.
func evidenceAccepted(e *event.Event, d *event.EvidenceAccepted, o Objects) (Change, error) {
	persons := map[string]bool{}
	for _, s := range d.Signatures {
		if slices.Contains(d.By, s.By) {
			persons[strings.ToLower(string(s.By))] = true
		}
	}
	need := signers
	if o.home().OneSigner {
		need = 1
	}
	switch {
	case o.Lot == nil:
		return Change{}, &Wait{Object: string(d.Lot)}
	case d.GapID != "" && o.Gap == nil && !workedOut.MatchString(string(d.GapID)):
		return Change{}, &Wait{Object: string(d.GapID)}
	case len(persons) < need && !o.Judged:
		return Change{}, &Refusal{"what was not observed is accepted by enough persons",
			fmt.Sprintf("%d of %d persons have signed for lot %s", len(persons), need, d.Lot)}
	case o.Gap != nil && o.Gap.Kind == GapQuarantine && o.Gap.Lot != "":
		return Change{}, &Refusal{"a record that names the lot is corrected, not accepted",
			fmt.Sprintf("gap %s is a record of lot %s that was not understood", o.Gap.ID, o.Gap.Lot)}
	}
	a := Acceptance{
		ID: e.ID, Lot: d.Lot, Gap: d.GapID, Plant: d.Plant, Agent: string(d.Agent), Barrier: d.Barrier, Reason: d.Reason, At: o.Now,
		Signatures: d.Signatures,
	}
	for _, by := range d.By {
		a.By = append(a.By, string(by))
	}
	return Change{Acceptances: []Acceptance{a}}, nil
}

// Accepts tells whether the signature stands for the gap.
func (a *Acceptance) Accepts(g *Gap) bool {
	if a.Gap == "" || g.Kind != GapMissing {
		return a.Gap != "" && a.Gap == g.ID
	}
	// Some of what was missing when it was signed for may have come since.
	m := workedOut.FindStringSubmatch(string(a.Gap))
	if m == nil || m[2] == "" || event.Epoch(m[1]) != g.Epoch {
		return false
	}
	from, _ := strconv.ParseInt(m[2], 10, 64)
	to, _ := strconv.ParseInt(m[3], 10, 64)
	return from <= g.FromSeq && g.ToSeq <= to
}

// Answers tells whether the signature stands for the agent's answer to the barrier.
func (a *Acceptance) Answers(plant event.PlantID, agent string, barrier int64) bool {
	return a.Gap == "" && a.Plant == plant && a.Agent == agent && a.Barrier >= barrier
}

package quality

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Facts is all that decides what may be done with a lot, as of now.
type Facts struct {
	Lot          Lot
	Open         []Hold // its own and those by scope, sorted by name
	Evidence     Evidence
	Plants       []event.PlantID // whose agents have to answer before a release, sorted
	Inspections  []Inspection    // sorted by id
	Dispositions []Disposition   // in the order in which they were decided
	Gaps         []Gap           // open ones that touch the lot and are not accepted for it; none for a released lot
	Acceptances  []Acceptance
	Answers      []Answer // of the agents in question, sorted by plant and agent; none for a released lot
	Ask          Ask      // the zero Ask while the lot does not ask

	// Version and AsOf are those of the lot's status as published: they move with everything that a status shows, also
	// where the lot itself stays as it is.
	Version int64
	AsOf    time.Time
}

// Ask is the question that a lot put to all agents in question.
type Ask struct {
	Barrier int64 // 0 = not asked yet
	Round   int64 // of the lot when it asked
	At      time.Time
}

// Answer is how far an agent in question has answered.
type Answer struct {
	Plant    event.PlantID
	Agent    string    // empty = none of the plant was ever heard of
	Answered int64     // highest barrier that it has answered, with all that it had on disk then in the cloud
	HeadAt   time.Time // when its newest head came; zero = never
	Accepted bool      // persons have signed for its answer to the lot's barrier
}

// Has tells whether the agent has answered a barrier.
func (a *Answer) Has(barrier int64) bool { return a.Accepted || a.Answered >= barrier }

// Answered tells whether all agents in question have answered the lot's question of its present round.
func (f *Facts) Answered() bool {
	return f.Asked() && !slices.ContainsFunc(f.Answers, func(a Answer) bool { return !a.Has(f.Ask.Barrier) })
}

// Asked tells whether the lot's question of its present round is out.
func (f *Facts) Asked() bool { return f.Ask.Barrier > 0 && f.Ask.Round == f.Lot.Release.Round }

// Decided tells whether the lot would be released but for its holds and for what others have to do: nobody has to inspect
// it or to decide about it any more.
func (f *Facts) Decided() bool {
	return f.Lot.Release.State != Released && wantedState(&f.Lot, nil, f.Inspections) == Asking
}

// Wanted returns what the ERP should enforce for the lot now.
func (f *Facts) Wanted(seen Seen) event.UsageStatus {
	evidence := f.Evidence
	evidence.Unasked = !f.Grants(seen.Plants)
	return WantedUsage(&f.Lot, f.Open, evidence, seen)
}

// Grants tells whether the release stands for the plants, and for all that the lot is known to have been at by now, so
// that an ERP with stock at the plants may free the lot: each of them was asked before, every agent that is in question
// has answered, and nothing came between. What came after a release counts, too: it reaches only an ERP that does not show
// the lot as free yet, which is the only one that is ever told to.
func (f *Facts) Grants(plants []event.PlantID) bool {
	r := &f.Lot.Release
	return r.Granted() && !f.Evidence.Late && len(f.Unasked(plants)) == 0 && len(f.Unasked(f.Plants)) == 0 &&
		!slices.ContainsFunc(f.Answers, func(a Answer) bool { return !a.Has(r.Barrier) })
}

// Unasked returns those of the plants that are not among those whose agents have answered for the release. Where none is
// granted, it returns those whose agents are not in question.
func (f *Facts) Unasked(plants []event.PlantID) (unasked []event.PlantID) {
	asked := f.Plants
	if f.Lot.Release.Granted() {
		asked = f.Lot.Release.Plants
	}
	for _, p := range plants {
		if p != f.Lot.Plant && !slices.Contains(asked, p) {
			unasked = append(unasked, p)
		}
	}
	return unasked
}

// WaitKind says for what a release waits.
type WaitKind string

// Wait kinds.
const (
	WaitHold        WaitKind = "hold"
	WaitDisposition WaitKind = "disposition"
	WaitInspection  WaitKind = "inspection"
	WaitAnswer      WaitKind = "answer"
	WaitGap         WaitKind = "gap"
	WaitParked      WaitKind = "parked"
	WaitQuarantine  WaitKind = "quarantine"
	WaitUsage       WaitKind = "usage"   // for the ERP to show it
	WaitForeign     WaitKind = "foreign" // for someone who restricted it in the ERP
)

// ReleaseWait is one thing that a lot's release waits for.
type ReleaseWait struct {
	Kind   WaitKind      `json:"kind"`
	Plant  event.PlantID `json:"plant,omitempty"` // where it has to be done; empty = centrally
	Agent  string        `json:"agent,omitempty"`
	Object string        `json:"object,omitempty"` // hold, inspection, gap ...
	Since  time.Time     `json:"since"`
	Words  string        `json:"words"`
}

// Waits returns all that the lot's release waits for, in the order in which it has to be done; none once it is released
// or rejected.
func (f *Facts) Waits(erp string) []ReleaseWait {
	r := &f.Lot.Release
	if f.Lot.Key == "" || r.State == Rejected || r.State == Released && len(f.Open) == 0 {
		return nil
	}
	var all []ReleaseWait
	add := func(w ReleaseWait) { all = append(all, w) }
	for i := range f.Open {
		h := &f.Open[i]
		add(ReleaseWait{WaitHold, h.Plant, "", string(h.ID), h.PlacedAt, fmt.Sprintf("hold of kind %s by %s: %s", h.Kind, h.PlacedBy, h.Reason)})
	}
	f.inspectionWaits(add)
	if state := wantedState(&f.Lot, nil, f.Inspections); state == AwaitingDisposition {
		words := "nobody decided about the lot"
		switch {
		case f.Lot.Remainder:
			words = "a part of the quantity is not decided about"
		case f.Lot.Decision != "":
			words = fmt.Sprintf("decided to %s; what comes after is not decided", f.Lot.Decision)
		}
		add(ReleaseWait{WaitDisposition, "", "", string(f.Lot.Key), r.Since, words})
	}
	f.evidenceWaits(add)
	f.answerWaits(add)
	f.usageWaits(erp, add)
	return all
}

func (f *Facts) inspectionWaits(add func(ReleaseWait)) {
	switch {
	case f.Lot.Stub:
		add(ReleaseWait{WaitInspection, f.Lot.Plant, "", string(f.Lot.Key), f.Lot.SeenAt, "nothing is known of the lot but its holds: its creation was not reported"})
		return
	case f.Lot.Decision != "":
		return
	}
	open := false
	for i := range f.Inspections {
		x := &f.Inspections[i]
		if x.State == InspectionPlanned || x.State == InspectionOpen {
			open = true
			add(ReleaseWait{WaitInspection, x.Plant, "", string(x.ID), x.UpdatedAt, fmt.Sprintf("inspection %s (%s) is %s", nativeOf(x.ID), x.Type, x.State)})
		}
	}
	if complete, _ := inspected(&f.Lot, f.Inspections); !complete && !open {
		add(ReleaseWait{WaitInspection, f.Lot.Plant, "", string(f.Lot.Key), f.Lot.Release.Since, "an inspection that is required was not made"})
	}
}

func (f *Facts) evidenceWaits(add func(ReleaseWait)) {
	if f.Evidence.Parked {
		add(ReleaseWait{WaitParked, f.Lot.Plant, "", string(f.Lot.Key), f.AsOf, "an event of the lot failed and waits for a person"})
	}
	if named := slices.ContainsFunc(f.Gaps, func(g Gap) bool { return g.Lot != "" }); f.Evidence.Quarantined && !named {
		add(ReleaseWait{WaitQuarantine, f.Lot.Plant, "", string(f.Lot.Key), f.AsOf, "a record of the lot was not understood"})
	}
	for i := range f.Gaps {
		g := &f.Gaps[i]
		kind := WaitGap
		if g.Kind == GapQuarantine {
			kind = WaitQuarantine
		}
		add(ReleaseWait{kind, g.Plant, g.Agent, string(g.ID), g.UpdatedAt, g.Words()})
	}
}

func (f *Facts) answerWaits(add func(ReleaseWait)) {
	if f.Lot.Release.State != Asking || f.Evidence.Against() {
		return
	}
	for i := range f.Answers {
		a := &f.Answers[i]
		if f.Asked() && a.Has(f.Ask.Barrier) {
			continue
		}
		words := fmt.Sprintf("agent %s/%s was asked what it has on disk and has not answered", a.Plant, a.Agent)
		since := f.Ask.At
		switch {
		case a.Agent == "":
			words = fmt.Sprintf("no agent of plant %s was ever heard of: whether the lot is held there is not known", a.Plant)
			if !f.Asked() {
				since = f.Lot.Release.Since
			}
		case !f.Asked():
			words, since = fmt.Sprintf("agent %s/%s is about to be asked", a.Plant, a.Agent), f.Lot.Release.Since
		case a.HeadAt.IsZero():
			words += ": it never stated anything"
		default:
			words += fmt.Sprintf("; its newest statement is of %s", event.At(a.HeadAt))
		}
		add(ReleaseWait{WaitAnswer, a.Plant, a.Agent, fmt.Sprint(f.Ask.Barrier), since, words})
	}
}

func (f *Facts) usageWaits(erp string, add func(ReleaseWait)) {
	usage, verified := f.Lot.UsageIn(erp)
	if f.Lot.Release.State != Releasing || erp == "" {
		return
	}
	since := f.Lot.Release.Since
	if verified && usage.Foreign != "" {
		add(ReleaseWait{WaitForeign, f.Lot.Plant, "", erp, since, fmt.Sprintf("someone made it %s in %s; it stays so until it is taken back there", usage.Foreign, erp)})
		return
	}
	add(ReleaseWait{WaitUsage, f.Lot.Plant, "", erp, since, fmt.Sprintf("%s has to show it as %s", erp, OwnUsage(&f.Lot, f.Open))})
}

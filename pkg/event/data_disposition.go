package event

import "errors"

// Decision is what a disposition says about a lot or a part of it (ISO 9000).
type Decision string

// Decisions.
const (
	DecisionRelease            Decision = "release"
	DecisionConditionalRelease Decision = "conditional_release"
	DecisionRework             Decision = "rework"
	DecisionRegrade            Decision = "regrade"
	DecisionReturn             Decision = "return_to_supplier"
	DecisionScrap              Decision = "scrap"
	DecisionReject             Decision = "reject"
)

func (d Decision) check() error {
	return oneOf(d, DecisionRelease, DecisionConditionalRelease, DecisionRework, DecisionRegrade, DecisionReturn, DecisionScrap, DecisionReject)
}

// Disposition is what the two disposition types say alike. Dispositions are append-only: a change of mind is a new one.
type Disposition struct {
	OfLot
	DispositionID ObjectID   `json:"disposition_id"`
	Q             Quantity   `json:"q"` // may be a part of the lot
	Decision      Decision   `json:"decision"`
	SignedBy      Name       `json:"signed_by"`
	Reason        string     `json:"reason"`
	DecidedAt     Time       `json:"decided_at"`
	Condition     string     `json:"condition,omitempty"` // of a conditional release
	BasedOn       []ObjectID `json:"based_on,omitempty"`  // inspections, nonconformances ... that it rests on
}

// DispositionDecided is the first decision on a lot or a part of it.
type DispositionDecided struct {
	Disposition
	Traced
}

// Type returns [TypeDispositionDecided].
func (*DispositionDecided) Type() Type { return TypeDispositionDecided }

// DispositionRevised is a decision that takes the place of an earlier one.
type DispositionRevised struct {
	Disposition
	Supersedes ObjectID `json:"supersedes"` // the disposition that no longer counts
	Traced
}

// Type returns [TypeDispositionRevised].
func (*DispositionRevised) Type() Type { return TypeDispositionRevised }

// Signature is one person's electronic signature. It covers the hash of the record it was given for, so that it cannot
// be moved to another.
type Signature struct {
	By          Name   `json:"by"`           // user name
	PrintedName Name   `json:"printed_name"` // as the person is called
	Meaning     string `json:"meaning"`      // what the person signed for
	At          Time   `json:"at"`
	RecordHash  Hash   `json:"record_hash"`
}

// EvidenceAccepted says that persons answer, for one lot, for what was not observed: a gap, or an agent's missing answer
// to a barrier.
type EvidenceAccepted struct {
	OfLot
	GapID      ObjectID    `json:"gap_id,omitempty"`  // instead of plant, agent and barrier
	Plant      PlantID     `json:"plant,omitempty"`   // of the agent
	Agent      AgentID     `json:"agent,omitempty"`   // the agent that did not answer; empty = none of the plant was ever heard of
	Barrier    int64       `json:"barrier,omitempty"` // the number that it did not answer, from 1
	By         []Name      `json:"by"`                // at least one
	Reason     string      `json:"reason"`
	Signatures []Signature `json:"signatures"` // at least one
	Traced
}

// Type returns [TypeEvidenceAccepted].
func (*EvidenceAccepted) Type() Type { return TypeEvidenceAccepted }

func (d EvidenceAccepted) check() error {
	ofGap := d.GapID != "" && d.Plant == "" && d.Agent == "" && d.Barrier == 0
	ofAnswer := d.GapID == "" && d.Plant != "" && d.Barrier > 0
	switch {
	case !ofGap && !ofAnswer:
		return errors.New("has not exactly one of gap_id and the answer of plant, agent and barrier (from 1)")
	case len(d.By) == 0 || len(d.Signatures) == 0:
		return errors.New("is signed by nobody: by and signatures have at least one element")
	}
	return nil
}

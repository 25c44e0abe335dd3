package event

// Wanted is a range of an agent's records that the cloud wants again. One that ends before it begins is empty.
type Wanted struct {
	Epoch   Epoch `json:"epoch"`
	Lane    Lane  `json:"lane"`
	FromSeq int64 `json:"from_seq"` // first, from 1
	ToSeq   int64 `json:"to_seq"`   // last
}

// Covered says that the cloud holds every record of an epoch's lane up to a seq, or its declared loss.
type Covered struct {
	Epoch Epoch `json:"epoch"`
	Lane  Lane  `json:"lane"`
	Seq   int64 `json:"seq"` // 0 = nothing yet
}

// EpochDecision is what the cloud makes of an epoch that contradicts another.
type EpochDecision string

// Epoch decisions.
const (
	EpochAccepted    EpochDecision = "accepted"
	EpochQuarantined EpochDecision = "quarantined" // its records are set aside, but for its urgent ones
)

func (d EpochDecision) check() error { return oneOf(d, EpochAccepted, EpochQuarantined) }

// DecidedEpoch is a decision on one epoch.
type DecidedEpoch struct {
	Epoch    Epoch         `json:"epoch"`
	Decision EpochDecision `json:"decision"`
	Reason   string        `json:"reason"`
}

// ControlSet is all that the cloud has to say to one agent, always whole, on the compacted topic of its plant. The
// highest version counts. One comes a minute at least: it is the sign of life behind answers given offline.
type ControlSet struct {
	noLot
	Agent   AgentID        `json:"agent"`
	Version int64          `json:"version"` // raised by each record
	Barrier int64          `json:"barrier"` // newest number to answer by a head; 0 = none yet
	Wanted  []Wanted       `json:"wanted"`
	Covered []Covered      `json:"covered"`
	Epochs  []DecidedEpoch `json:"epochs"` // decisions; an epoch that is not named is accepted
	Traced
}

// Type returns [TypeControlSet].
func (*ControlSet) Type() Type { return TypeControlSet }

// Subject returns the agent.
func (d *ControlSet) Subject() string { return string(d.Agent) }

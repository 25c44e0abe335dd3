package event

// RecordQuarantined says that something read was not understood. Raw bytes and errors stand in its provenance.
type RecordQuarantined struct {
	MayLot
	Source    Name        `json:"source"`
	Item      string      `json:"item"`   // topic, node or file
	Reason    string      `json:"reason"` // one sentence
	Code      Name        `json:"code,omitempty"`
	Equipment EquipmentID `json:"equipment,omitempty"` // whose lots it may concern; absent = all of the plant
	RawSHA256 Hash        `json:"raw_sha256"`
	Traced
}

// Type returns [TypeRecordQuarantined].
func (*RecordQuarantined) Type() Type { return TypeRecordQuarantined }

// Subject returns lot or equipment.
func (d *RecordQuarantined) Subject() string {
	if d.Lot != "" {
		return string(d.Lot)
	}
	return string(d.Equipment)
}

// GapReason says why a source was not observed.
type GapReason string

// Gap reasons.
const (
	GapAgentRestart   GapReason = "agent_restart"   // the agent did not run
	GapSessionLost    GapReason = "session_lost"    // the broker no longer knew the session, and kept nothing for it
	GapDisconnect     GapReason = "disconnect"      // the connection was down
	GapWatchdog       GapReason = "watchdog"        // connected, but nothing came
	GapServerRestart  GapReason = "server_restart"  // the source's server lost what it had queued
	GapConnectorCrash GapReason = "connector_crash" // the process that reads the source died
	GapQueueOverflow  GapReason = "queue_overflow"  // the server's queue of values ran over
	GapEventOverflow  GapReason = "event_overflow"  // the server's queue of events ran over
	GapBackpressure   GapReason = "backpressure"    // the agent's disk took no more
	GapSequenceJump   GapReason = "sequence_jump"   // the source's own sequence left something out
	GapSequenceReset  GapReason = "sequence_reset"  // the source's own sequence began anew
	GapSeqGap         GapReason = "seq_gap"         // the protocol's sequence left something out
	GapTorn           GapReason = "torn"            // a record was read while it changed
	GapStatusChange   GapReason = "status_change"   // the values' status was bad
	GapItemMissing    GapReason = "item_missing"    // the item no longer exists at the source
	GapTrustRefused   GapReason = "trust_refused"   // a certificate was not trusted
	GapClockStep      GapReason = "clock_step"      // the source's clock was set
	GapFileRotated    GapReason = "file_rotated"    // a file was replaced before it was read to its end
)

func (r GapReason) check() error {
	return oneOf(r, GapAgentRestart, GapSessionLost, GapDisconnect, GapWatchdog, GapServerRestart, GapConnectorCrash,
		GapQueueOverflow, GapEventOverflow, GapBackpressure, GapSequenceJump, GapSequenceReset, GapSeqGap, GapTorn,
		GapStatusChange, GapItemMissing, GapTrustRefused, GapClockStep, GapFileRotated)
}

// GapRecorded says that a source was not observed for a time. It stays open until closed or accepted.
type GapRecorded struct {
	noLot
	GapID     ObjectID    `json:"gap_id"`
	Source    Name        `json:"source"`
	Equipment EquipmentID `json:"equipment,omitempty"`
	From      Time        `json:"from"`
	To        Time        `json:"to"`
	Reason    GapReason   `json:"reason"`
	FromSeq   int64       `json:"from_seq,omitempty"` // the source's own sequence, where it has one
	ToSeq     int64       `json:"to_seq,omitempty"`
	Missing   int64       `json:"missing,omitempty"` // absent = unknown
	Items     []string    `json:"items,omitempty"`   // topics, nodes or files, the first hundred; absent = all of the source
	Lane      Lane        `json:"lane,omitempty"`    // telemetry = what was missed could only be sampled values; absent = quality
	Traced
}

// Type returns [TypeGapRecorded].
func (*GapRecorded) Type() Type { return TypeGapRecorded }

// Subject returns the equipment.
func (d *GapRecorded) Subject() string { return string(d.Equipment) }

// GapClosed says that data now explains a gap.
type GapClosed struct {
	noLot
	GapID     ObjectID    `json:"gap_id"`
	Source    Name        `json:"source"`
	Equipment EquipmentID `json:"equipment,omitempty"`
	From      Time        `json:"from"`
	To        Time        `json:"to"`
	Reason    string      `json:"reason"` // what closed it
	Filled    int64       `json:"filled"` // values read afterwards
	Traced
}

// Type returns [TypeGapClosed].
func (*GapClosed) Type() Type { return TypeGapClosed }

// Subject returns the equipment.
func (d *GapClosed) Subject() string { return string(d.Equipment) }

// LossCause says why records of a queue are gone.
type LossCause string

// Loss causes.
const (
	LossShed    LossCause = "shed"    // oldest telemetry, at its quota
	LossDamaged LossCause = "damaged" // unreadable on disk
)

func (c LossCause) check() error { return oneOf(c, LossShed, LossDamaged) }

// LossRecorded declares records of a lane that will not come.
type LossRecorded struct {
	noLot
	Epoch   Epoch     `json:"epoch"`
	Lane    Lane      `json:"lane"`
	FromSeq int64     `json:"from_seq"`
	ToSeq   int64     `json:"to_seq"`
	From    Time      `json:"from"`
	To      Time      `json:"to"`
	Count   int64     `json:"count"`
	Cause   LossCause `json:"cause"`
	Sources []Name    `json:"sources"` // empty = not known
	Traced
}

// Type returns [TypeLossRecorded].
func (*LossRecorded) Type() Type { return TypeLossRecorded }

// Subject returns "": the agent.
func (*LossRecorded) Subject() string { return "" }

// Salvage says what was saved from a damaged queue file.
type Salvage struct {
	Epoch    Epoch `json:"epoch"`
	Lane     Lane  `json:"lane"`
	FromSeq  int64 `json:"from_seq"` // first missing
	ToSeq    int64 `json:"to_seq"`   // last missing
	Salvaged int64 `json:"salvaged"` // records saved from the file
}

// EpochOpened is the first record of each epoch: seq 1 of lane quality.
type EpochOpened struct {
	noLot
	Epoch   Epoch     `json:"epoch"`
	Prev    Prev      `json:"prev"`
	Reason  Name      `json:"reason"`  // start
	Salvage []Salvage `json:"salvage"` // empty = nothing was damaged
	Traced
}

// Type returns [TypeEpochOpened].
func (*EpochOpened) Type() Type { return TypeEpochOpened }

// Subject returns "": the agent.
func (*EpochOpened) Subject() string { return "" }

// ActRecorded is something a person did at the agent. It becomes a ledger entry.
type ActRecorded struct {
	noLot
	Act       Name              `json:"act"` // replay, reload, pause ...
	Principal Name              `json:"principal"`
	About     string            `json:"subject"`
	Reason    string            `json:"reason"`
	Detail    map[string]string `json:"detail,omitempty"`
	Traced
}

// Type returns [TypeActRecorded].
func (*ActRecorded) Type() Type { return TypeActRecorded }

// Subject returns "": the agent.
func (*ActRecorded) Subject() string { return "" }

// ValueSampled is a sampled value: telemetry, which may be shed.
type ValueSampled struct {
	noLot
	Equipment EquipmentID  `json:"equipment"`
	Signal    Name         `json:"signal"`
	Value     string       `json:"value"`
	Unit      Unit         `json:"unit"`
	UnitRaw   Name         `json:"unit_raw,omitempty"` // the source's own unit where it has no UCUM code
	Status    SignalStatus `json:"status"`
	Traced
}

// Type returns [TypeValueSampled].
func (*ValueSampled) Type() Type { return TypeValueSampled }

// Subject returns the equipment.
func (d *ValueSampled) Subject() string { return string(d.Equipment) }

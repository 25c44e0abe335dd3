package event

// TimerFired says that a workflow's timer ran out.
type TimerFired struct {
	MayLot
	Timer  Name   `json:"timer"`
	Object string `json:"object"`
	Due    Time   `json:"due"`
	Traced
}

// Type returns [TypeTimerFired].
func (*TimerFired) Type() Type { return TypeTimerFired }

// Subject returns lot or object.
func (d *TimerFired) Subject() string {
	if d.Lot != "" {
		return string(d.Lot)
	}
	return d.Object
}

// Outcome is how an effect ended, or how its last attempt did. Acknowledged is no outcome: it proves nothing.
type Outcome string

// Outcomes.
const (
	Applied        Outcome = "applied"         // the re-read shows the wanted value
	AlreadyApplied Outcome = "already_applied" // it did before we wrote
	Rejected       Outcome = "rejected"        // refused for a business reason
	Conflict       Outcome = "conflict"        // the version moved
	RetryLater     Outcome = "retry_later"     // throttled, locked, down
	Unknown        Outcome = "unknown"         // time-out or cut connection: looked up, never repeated first
	Cancelled      Outcome = "cancelled"       // no longer wanted before the first try
)

func (o Outcome) check() error {
	return oneOf(o, Applied, AlreadyApplied, Rejected, Conflict, RetryLater, Unknown, Cancelled)
}

// EffectRequested says that a change in another system is wanted.
type EffectRequested struct {
	MayLot
	CommandID Name   `json:"command_id"` // cmd:{workflow}:{object key}:{step}:{generation}
	EffectRef Name   `json:"effect_ref"` // the reference that the system keeps
	Kind      Name   `json:"kind"`       // erp.lot_usage.set ...
	System    Name   `json:"system"`
	Object    string `json:"object"`
	Wanted    string `json:"wanted"`
	Traced
}

// Type returns [TypeEffectRequested].
func (*EffectRequested) Type() Type { return TypeEffectRequested }

// Subject returns lot or object.
func (d *EffectRequested) Subject() string {
	if d.Lot != "" {
		return string(d.Lot)
	}
	return d.Object
}

// EffectSettled says what became of an effect.
type EffectSettled struct {
	MayLot
	CommandID   Name        `json:"command_id"`
	EffectRef   Name        `json:"effect_ref"`
	Kind        Name        `json:"kind"`
	System      Name        `json:"system"`
	Object      string      `json:"object"`
	Wanted      string      `json:"wanted"`
	Outcome     Outcome     `json:"outcome"`
	Usage       UsageStatus `json:"usage,omitempty"` // of the lot, as read back
	UsageRaw    string      `json:"usage_raw,omitempty"`
	Own         UsageStatus `json:"own,omitempty"`     // what our rules alone asked for, without what others restricted
	Foreign     UsageStatus `json:"foreign,omitempty"` // what someone else restricted the lot to, also where ours hides it
	Wrote       bool        `json:"wrote,omitempty"`   // a write of ours led there
	ExternalRef string      `json:"external_ref,omitempty"`
	Attempts    int64       `json:"attempts"`
	Code        string      `json:"code,omitempty"` // the vendor's, unchanged
	Message     string      `json:"message,omitempty"`
	MovedSince  Time        `json:"moved_since,omitzero"` // since when the system was asked for what moved; absent = it was not, or can't say
	Moved       []Movement  `json:"moved,omitempty"`      // of the lot since then
	Evidence    Hash        `json:"evidence,omitempty"`   // of the evidence kept in the ledger
	Traced
}

// Type returns [TypeEffectSettled].
func (*EffectSettled) Type() Type { return TypeEffectSettled }

// Subject returns lot or object.
func (d *EffectSettled) Subject() string {
	if d.Lot != "" {
		return string(d.Lot)
	}
	return d.Object
}

// Movement is a part of a lot that left its stock, or work on the lot that a warehouse has begun, as a system shows it.
type Movement struct {
	Document  string   `json:"document"`                // the system's own name of the posting or of the task
	Kind      string   `json:"movement_type,omitempty"` // the system's own word, such as 601 or pick
	To        string   `json:"to,omitempty"`            // order, delivery or place that it went to
	Q         Quantity `json:"q,omitzero"`
	At        Time     `json:"at,omitzero"`
	UnderWay  bool     `json:"under_way,omitempty"` // it was begun and is not done: a person can still stop it
	Warehouse bool     `json:"warehouse,omitempty"` // it is a task of a warehouse, no posting
}

// MoveReason says why a lot may not move.
type MoveReason string

// Reasons against moving.
const (
	ReasonOpenHold           MoveReason = "open_hold"
	ReasonNoDisposition      MoveReason = "no_disposition"
	ReasonGap                MoveReason = "gap"
	ReasonParked             MoveReason = "parked"
	ReasonQuarantine         MoveReason = "quarantine"
	ReasonBarrier            MoveReason = "barrier"
	ReasonForeignRestriction MoveReason = "foreign_restriction"
	ReasonUsageNotVerified   MoveReason = "usage_not_verified"
)

func (r MoveReason) check() error {
	return oneOf(r, ReasonOpenHold, ReasonNoDisposition, ReasonGap, ReasonParked, ReasonQuarantine, ReasonBarrier,
		ReasonForeignRestriction, ReasonUsageNotVerified)
}

// OpenHold is a hold as a lot's status shows it.
type OpenHold struct {
	HoldID   ObjectID `json:"hold_id"`
	HoldKind HoldKind `json:"hold_kind"`
	Reason   string   `json:"reason"`
	PlacedAt Time     `json:"placed_at"`
}

// SystemUsage is what one ERP enforces for a lot.
type SystemUsage struct {
	System     Name        `json:"system"`
	Usage      UsageStatus `json:"usage_status"`
	Raw        string      `json:"raw,omitempty"`
	VerifiedAt Time        `json:"verified_at,omitzero"` // absent = never
}

// LotStatusUpdated is the whole status of a lot, on the compacted topics. The highest version counts.
type LotStatusUpdated struct {
	OfLot
	Version     int64         `json:"version"`
	Disposition Name          `json:"disposition,omitempty"` // absent = no decision
	OpenHolds   []OpenHold    `json:"open_holds"`
	Usage       []SystemUsage `json:"usage"`
	MayMove     bool          `json:"may_move"`
	Reasons     []MoveReason  `json:"reasons"`
	AsOf        Time          `json:"as_of"` // of this version, not of the sending
	Cause       ID            `json:"cause"`
	Traced
}

// Type returns [TypeLotStatusUpdated].
func (*LotStatusUpdated) Type() Type { return TypeLotStatusUpdated }

// AuditHeadPublished is a signed checkpoint of the audit chain.
type AuditHeadPublished struct {
	noLot
	Count     int64  `json:"count"` // entries sealed
	Head      Hash   `json:"head"`  // hash of the newest
	Root      Hash   `json:"root"`  // Merkle root of the entries since the checkpoint before
	At        Time   `json:"at"`
	KeyID     Name   `json:"key_id"`
	Signature string `json:"signature"` // Ed25519 in base64, over the checkpoint's text
	Traced
}

// Type returns [TypeAuditHeadPublished].
func (*AuditHeadPublished) Type() Type { return TypeAuditHeadPublished }

// Subject returns "ledger".
func (*AuditHeadPublished) Subject() string { return "ledger" }

// Deadletter is what the four dead-letter types say about one record.
type Deadletter struct {
	MayLot
	DeadletterID int64  `json:"deadletter_id"`
	EventID      string `json:"event_id,omitempty"` // absent where the record had none
	EventType    string `json:"event_type,omitempty"`
	Key          string `json:"key"` // the Kafka key that waits
	Code         Name   `json:"code"`
	Cause        string `json:"cause"`
	Attempts     int64  `json:"attempts"`
	By           Name   `json:"by"`
	Reason       string `json:"reason,omitempty"`
	RawBase64    string `json:"raw_b64,omitempty"` // the record's value, unchanged
	Traced
}

// Subject returns lot or key.
func (d *Deadletter) Subject() string {
	if d.Lot != "" {
		return string(d.Lot)
	}
	return d.Key
}

// DeadletterParked says that a record waits for a person.
type DeadletterParked struct{ Deadletter }

// Type returns [TypeDeadletterParked].
func (*DeadletterParked) Type() Type { return TypeDeadletterParked }

// DeadletterRedriven says that a waiting record was applied.
type DeadletterRedriven struct{ Deadletter }

// Type returns [TypeDeadletterRedriven].
func (*DeadletterRedriven) Type() Type { return TypeDeadletterRedriven }

// DeadletterReplaced says that a corrected event took the record's place.
type DeadletterReplaced struct{ Deadletter }

// Type returns [TypeDeadletterReplaced].
func (*DeadletterReplaced) Type() Type { return TypeDeadletterReplaced }

// DeadletterDropped says that a record was given up.
type DeadletterDropped struct{ Deadletter }

// Type returns [TypeDeadletterDropped].
func (*DeadletterDropped) Type() Type { return TypeDeadletterDropped }

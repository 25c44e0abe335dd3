package event

import (
	"errors"
	"reflect"
)

// Provenance says how a fact was read. It is the last member of every event's data and no part of its content hash.
type Provenance struct {
	Source         Name              `json:"source"`                    // id of the configured source; holdfast for the cloud's own
	Item           string            `json:"item,omitempty"`            // topic, node or file
	Transport      Name              `json:"transport,omitempty"`       // mqtt, opcua, file, api
	Flags          []Name            `json:"flags,omitempty"`           // retained, redelivered, cut, at_most_once ...
	Mapping        Name              `json:"mapping,omitempty"`         // name of the mapping that made the event
	MappingVersion int64             `json:"mapping_version,omitempty"` // its version, from 1
	Raw            string            `json:"raw,omitempty"`             // text as received, or its part that matters
	RawBase64      string            `json:"raw_b64,omitempty"`         // instead of raw where that is not UTF-8
	RawSHA256      Hash              `json:"raw_sha256,omitempty"`      // of the whole payload
	RawLength      int64             `json:"raw_length,omitempty"`      // bytes of the whole payload, where raw is a head of it
	Errors         []string          `json:"errors,omitempty"`          // why it was not understood
	ArrivedAt      Time              `json:"arrived_at,omitzero"`       // by the agent's clock
	NotBefore      Time              `json:"not_before,omitzero"`       // of what was not understood: its source had told this before it
	Ages           map[string]string `json:"ages,omitempty"`            // tag -> age of a remembered value used, as a Go duration
	TimeQuality    TimeQuality       `json:"time_quality,omitempty"`    // of ce_time
}

// Traced is the last member of every data struct.
type Traced struct {
	Provenance Provenance `json:"provenance"`
}

// ReadBy returns the provenance.
func (t *Traced) ReadBy() *Provenance { return &t.Provenance }

// OfLot is the first member of data that is about one lot.
type OfLot struct {
	Lot LotKey `json:"lot"`
}

// Concerns returns the lot.
func (o *OfLot) Concerns() LotKey { return o.Lot }

// Subject returns the lot.
func (o *OfLot) Subject() string { return string(o.Lot) }

// Case returns "": the lot itself ties the chain.
func (o *OfLot) Case() ObjectID { return "" }

// MayLot is the first member of data that is about a lot or something else.
type MayLot struct {
	Lot LotKey `json:"lot,omitempty"`
}

// Concerns returns the lot, or "".
func (o *MayLot) Concerns() LotKey { return o.Lot }

// Case returns "".
func (o *MayLot) Case() ObjectID { return "" }

// noLot is embedded by data that is never about one lot.
type noLot struct{}

func (noLot) Concerns() LotKey { return "" }
func (noLot) Case() ObjectID   { return "" }

// LotCreated says that a lot exists.
type LotCreated struct {
	OfLot
	Material    Name        `json:"material"` // as the master system writes it
	Q           Quantity    `json:"q"`
	Origin      ObjectID    `json:"origin"` // receipt or work order it came from
	MadeAt      Time        `json:"made_at,omitzero"`
	ExpiresAt   Time        `json:"expires_at,omitzero"`
	Supplier    Name        `json:"supplier,omitempty"`
	SupplierLot Name        `json:"supplier_lot,omitempty"`
	Sublot      Name        `json:"sublot,omitempty"`
	Equipment   EquipmentID `json:"equipment,omitempty"` // where it was made
	Traced
}

// Type returns [TypeLotCreated].
func (*LotCreated) Type() Type { return TypeLotCreated }

// CharacteristicRecorded is one measured or judged characteristic of a lot.
type CharacteristicRecorded struct {
	OfLot
	InspectionID   ObjectID    `json:"inspection_id"`
	Characteristic Name        `json:"characteristic"`
	SampleNo       int64       `json:"sample_no"`
	Kind           ValueKind   `json:"kind"`
	Value          Name        `json:"value"` // a decimal if kind is variable
	Unit           Unit        `json:"unit,omitempty"`
	LSL            Decimal     `json:"lsl,omitempty"` // lower limit; one of the two may be absent
	USL            Decimal     `json:"usl,omitempty"`
	Target         Decimal     `json:"target,omitempty"`
	Evaluation     Evaluation  `json:"evaluation"`
	Equipment      EquipmentID `json:"equipment,omitempty"`
	Instrument     Name        `json:"instrument,omitempty"`
	Operator       Name        `json:"operator,omitempty"`
	MethodRev      Name        `json:"method_rev,omitempty"`
	MeasuredAt     Time        `json:"measured_at"`
	Corrects       Name        `json:"corrects,omitempty"` // record id of the reading that it replaces
	Traced
}

// Type returns [TypeCharacteristicRecorded].
func (*CharacteristicRecorded) Type() Type { return TypeCharacteristicRecorded }

// Case returns the inspection.
func (d *CharacteristicRecorded) Case() ObjectID { return d.InspectionID }

func (d CharacteristicRecorded) check() error {
	if d.Kind != Variable {
		return nil
	}
	if err := Decimal(d.Value).check(); err != nil {
		return below("value", err)
	}
	if d.Unit == "" {
		return errors.New(`lacks the member "unit": a variable has one`)
	}
	// Without limits nothing was judged, so that a pass would be an invention.
	if (d.Evaluation == Pass || d.Evaluation == Fail) && d.LSL == "" && d.USL == "" {
		return errors.New(`evaluation is pass or fail, but lsl and usl are both absent`)
	}
	return nil
}

// SafetyFailed says that a characteristic marked safety failed, or could not be decided. It is urgent.
type SafetyFailed struct {
	OfLot
	InspectionID   ObjectID    `json:"inspection_id,omitempty"`
	Characteristic Name        `json:"characteristic"`
	Evaluation     Evaluation  `json:"evaluation"` // fail or indeterminate
	Value          Name        `json:"value"`
	Unit           Unit        `json:"unit"`
	LSL            Decimal     `json:"lsl,omitempty"`
	USL            Decimal     `json:"usl,omitempty"`
	Equipment      EquipmentID `json:"equipment"`
	MeasuredAt     Time        `json:"measured_at"`
	Traced
}

// Type returns [TypeSafetyFailed].
func (*SafetyFailed) Type() Type { return TypeSafetyFailed }

// Case returns the inspection, if there is one.
func (d *SafetyFailed) Case() ObjectID { return d.InspectionID }

func (d SafetyFailed) check() error {
	return below("evaluation", oneOf(d.Evaluation, Fail, Indeterminate))
}

// DefectDetected is a fault found on pieces of a lot.
type DefectDetected struct {
	OfLot
	DefectID     ObjectID    `json:"defect_id"`
	CodeGroup    Name        `json:"code_group"`
	Code         Name        `json:"code"`
	Severity     Severity    `json:"severity"`
	Q            Quantity    `json:"q"`
	Location     Name        `json:"location,omitempty"`
	InspectionID ObjectID    `json:"inspection_id,omitempty"`
	Equipment    EquipmentID `json:"equipment,omitempty"`
	Traced
}

// Type returns [TypeDefectDetected].
func (*DefectDetected) Type() Type { return TypeDefectDetected }

// Case returns the inspection, if there is one.
func (d *DefectDetected) Case() ObjectID { return d.InspectionID }

// NonconformanceOpened says that someone opened a nonconformance on a lot; one for several lots is sent once per lot.
// It is urgent.
type NonconformanceOpened struct {
	OfLot
	NonconformanceID ObjectID `json:"nc_id"`
	Severity         Severity `json:"severity"`
	Source           Name     `json:"source"` // what found it: inspection, operator, customer ...
	Description      string   `json:"description"`
	Owner            Name     `json:"owner,omitempty"`
	Traced
}

// Type returns [TypeNonconformanceOpened].
func (*NonconformanceOpened) Type() Type { return TypeNonconformanceOpened }

// Case returns the nonconformance.
func (d *NonconformanceOpened) Case() ObjectID { return d.NonconformanceID }

// ScopeKind says by which fact a scope hold finds its lots.
type ScopeKind string

// Scope kinds.
const (
	ScopeSublot    ScopeKind = "sublot"
	ScopeMaterial  ScopeKind = "material" // at a plant
	ScopeSupplier  ScopeKind = "supplier"
	ScopeEquipment ScopeKind = "equipment" // in an interval
)

func (k ScopeKind) check() error {
	return oneOf(k, ScopeSublot, ScopeMaterial, ScopeSupplier, ScopeEquipment)
}

// Scope describes lots by a fact rather than by name; it takes in lots that appear later.
type Scope struct {
	Kind  ScopeKind `json:"kind"`
	Value Name      `json:"value"`
	Plant PlantID   `json:"plant,omitempty"` // required for material and equipment
	From  Time      `json:"from,omitzero"`   // for equipment: made there from then on; absent = always
	To    Time      `json:"to,omitzero"`     // for equipment: until then; absent = still
}

func (s Scope) check() error {
	if (s.Kind == ScopeMaterial || s.Kind == ScopeEquipment) && s.Plant == "" {
		return errors.New(`lacks the member "plant": a scope by material or equipment has one`)
	}
	return nil
}

// Key returns the Kafka key of a hold by this scope: scope:{kind}:{value}.
func (s *Scope) Key() string { return "scope:" + string(s.Kind) + ":" + escape(string(s.Value)) }

// HoldPlaced forbids the use of a lot, or of all lots in a scope. It is urgent.
type HoldPlaced struct {
	MayLot
	HoldID    ObjectID  `json:"hold_id"`
	Scope     *Scope    `json:"scope,omitempty"` // instead of lot
	HoldKind  HoldKind  `json:"hold_kind"`
	Reason    string    `json:"reason"`
	PlacedBy  Name      `json:"placed_by"`
	PlacedAt  Time      `json:"placed_at"`
	Authority Authority `json:"authority"`
	Traced
}

// Type returns [TypeHoldPlaced].
func (*HoldPlaced) Type() Type { return TypeHoldPlaced }

// Subject returns the lot or the scope.
func (d *HoldPlaced) Subject() string { return lotOrScope(d.Lot, d.Scope) }

func (d HoldPlaced) check() error { return exactlyOne(d.Lot, d.Scope) }

// HoldLifted ends one hold; other holds keep the lot held. It is never urgent, since it must not pass older events.
type HoldLifted struct {
	MayLot
	HoldID    ObjectID  `json:"hold_id"`
	Scope     *Scope    `json:"scope,omitempty"` // instead of lot
	LiftedBy  Name      `json:"lifted_by"`
	LiftedAt  Time      `json:"lifted_at"`
	Authority Authority `json:"authority"`
	Reason    string    `json:"reason"`
	Traced
}

// Type returns [TypeHoldLifted].
func (*HoldLifted) Type() Type { return TypeHoldLifted }

// Subject returns the lot or the scope.
func (d *HoldLifted) Subject() string { return lotOrScope(d.Lot, d.Scope) }

func (d HoldLifted) check() error { return exactlyOne(d.Lot, d.Scope) }

func lotOrScope(lot LotKey, scope *Scope) string {
	if scope != nil {
		return scope.Key()
	}
	return string(lot)
}

func exactlyOne(lot LotKey, scope *Scope) error {
	if (lot == "") == (scope == nil) {
		return errors.New("has not exactly one of lot and scope")
	}
	return nil
}

// encode writes data in schema order, without white space. Sound is false where a reader might refuse it.
func encode(d Data) (value []byte, sound bool) {
	const usual = 1 << 10 // bytes: most values are below
	return specs[d.Type()].append(make([]byte, 0, usual), reflect.ValueOf(d).Elem())
}

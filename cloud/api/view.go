package api

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// LotLine is a lot as a list shows it: disposition, holds and usage are three facts.
type LotLine struct {
	Key         event.LotKey       `json:"key"`
	Number      string             `json:"number" doc:"lot number, as the master system writes it"`
	Material    string             `json:"material"`
	Plant       event.PlantID      `json:"plant,omitempty"`
	Zone        string             `json:"zone" doc:"time zone of the plant"`
	Version     int64              `json:"version"`
	Stub        bool               `json:"stub,omitempty" doc:"known only by a hold so far"`
	Disposition quality.Decision   `json:"disposition,omitempty" doc:"absent = no decision"`
	Holds       int                `json:"holds" doc:"open ones"`
	HeldSince   time.Time          `json:"held_since,omitzero" doc:"when the oldest open hold was placed"`
	HeldFor     string             `json:"held_for,omitempty" doc:"reason of the oldest open hold"`
	HeldBy      string             `json:"held_by,omitempty"`
	Usage       []Usage            `json:"usage" doc:"what each ERP was last verified to enforce"`
	Unenforced  bool               `json:"unenforced,omitempty" doc:"an open hold was not verified in the ERP in time"`
	MayMove     bool               `json:"may_move"`
	Reasons     []event.MoveReason `json:"reasons" doc:"why it may not move"`

	Release      quality.ReleaseState  `json:"release,omitempty" doc:"how far its release has come"`
	ReleaseSince time.Time             `json:"release_since,omitzero"`
	ReleaseLate  bool                  `json:"release_late,omitempty" doc:"longer there than it should be"`
	WaitsFor     []quality.ReleaseWait `json:"waits_for" doc:"what its release waits for, in the order in which it has to be done"`
	UpdatedAt    time.Time             `json:"updated_at"`
}

// Usage is what one ERP enforces.
type Usage struct {
	System     string            `json:"system"`
	Usage      event.UsageStatus `json:"usage"`
	Raw        string            `json:"raw,omitempty" doc:"the system's own text"`
	VerifiedAt time.Time         `json:"verified_at"`
}

// Lot is a lot with all that decides what may be done with it.
type Lot struct {
	LotLine
	Quantity           *event.Quantity   `json:"quantity,omitempty"`
	Origin             event.ObjectID    `json:"origin,omitempty"`
	Supplier           string            `json:"supplier,omitempty"`
	Sublot             string            `json:"sublot,omitempty"`
	Equipment          event.EquipmentID `json:"equipment,omitempty"`
	MadeAt             time.Time         `json:"made_at,omitzero"`
	InspectionRequired bool              `json:"inspection_required"`
	ERP                string            `json:"erp,omitempty" doc:"the system that enforces its usage"`
	Words              []string          `json:"words" doc:"the whole in words, times in UTC"`
	Takeback           *Takeback         `json:"takeback,omitempty" doc:"absent = no release of it was taken back"`
	OpenHolds          []Hold            `json:"open_holds"`
	LiftedHolds        []Hold            `json:"lifted_holds"`
	Nonconformances    []Nonconformance  `json:"nonconformances"`
	Effects            []Effect          `json:"effects"`
	Deadletters        []DeadletterLine  `json:"deadletters" doc:"open ones of the lot"`
}

// Hold forbids the use of a lot, or of each lot in a scope.
type Hold struct {
	ID         event.ObjectID  `json:"id"`
	Lot        event.LotKey    `json:"lot,omitempty"`
	Scope      *Scope          `json:"scope,omitempty"`
	Kind       event.HoldKind  `json:"kind"`
	Reason     string          `json:"reason"`
	PlacedBy   string          `json:"placed_by"`
	PlacedAt   time.Time       `json:"placed_at"`
	Authority  event.Authority `json:"authority"`
	Plant      event.PlantID   `json:"plant,omitempty" doc:"through whose door it came; absent = the cloud's"`
	EnforcedAt time.Time       `json:"enforced_at,omitzero" doc:"when the ERP was first verified to enforce it; absent = not yet"`
	LiftedBy   string          `json:"lifted_by,omitempty"`
	LiftedAt   time.Time       `json:"lifted_at,omitzero"`
	LiftReason string          `json:"lift_reason,omitempty"`
	Cause      event.ID        `json:"cause" doc:"id of the event that placed it"`
}

// Scope describes lots by a fact.
type Scope struct {
	Kind  event.ScopeKind `json:"kind" enum:"sublot,material,supplier,equipment"`
	Value string          `json:"value" minLength:"1" maxLength:"256"`
	Plant event.PlantID   `json:"plant,omitempty" doc:"required for material and equipment"`
	From  time.Time       `json:"from,omitzero" doc:"for equipment: made there from then on"`
	To    time.Time       `json:"to,omitzero" doc:"for equipment: until then"`
}

// Nonconformance is a departure from a requirement.
type Nonconformance struct {
	ID          event.ObjectID              `json:"id"`
	State       quality.NonconformanceState `json:"state"`
	Severity    event.Severity              `json:"severity"`
	Source      string                      `json:"source"`
	Description string                      `json:"description"`
	Lots        []event.LotKey              `json:"lots"`
	OpenedAt    time.Time                   `json:"opened_at"`
	ContainedAt time.Time                   `json:"contained_at,omitzero"`
	Record      string                      `json:"record,omitempty" doc:"id of the QMS record"`
	System      string                      `json:"system,omitempty" doc:"the QMS that has the record"`
}

// Effect is a change wanted in another system.
type Effect struct {
	ID        string            `json:"id"`
	Kind      quality.Kind      `json:"kind"`
	System    string            `json:"system"`
	Object    string            `json:"object"`
	Ref       quality.EffectRef `json:"ref" doc:"reference that the system keeps"`
	State     store.EffectState `json:"state" doc:"due, leased, settled, or exception for a person"`
	Outcome   quality.Outcome   `json:"outcome,omitempty" doc:"of the last attempt"`
	Attempts  int64             `json:"attempts" doc:"writes, ever"`
	Tries     int64             `json:"tries" doc:"since it was last settled or asked for"`
	AskedAt   time.Time         `json:"asked_at"`
	NextTryAt time.Time         `json:"next_try_at,omitzero"`
	SettledAt time.Time         `json:"settled_at,omitzero"`
	Code      string            `json:"code,omitempty" doc:"the system's own"`
	Message   string            `json:"message,omitempty" doc:"the system's own"`
	Record    string            `json:"record,omitempty" doc:"id of the record it made"`
	Cause     event.ID          `json:"cause"`
}

// erpOf returns the ERP of a lot.
func (s *server) erpOf(lot *quality.Lot) string {
	if s.cfg.ERP == nil {
		return ""
	}
	return s.cfg.ERP(lot.Plant)
}

// zoneOf returns the time zone of a plant.
func (s *server) zoneOf(plant event.PlantID) string {
	if zone := s.cfg.Zones[plant]; zone != "" {
		return zone
	}
	return "UTC"
}

func (s *server) lotLine(f *quality.Facts) LotLine {
	lot := &f.Lot
	l := LotLine{
		Key: lot.Key, Material: lot.Material, Plant: lot.Plant, Zone: s.zoneOf(lot.Plant), Version: lot.Version, Stub: lot.Stub,
		Disposition: lot.Decision, Holds: len(f.Open), HeldSince: f.HoldsSince(), Usage: []Usage{}, Unenforced: lot.Unenforced,
		Reasons: f.Reasons(s.erpOf(lot)), UpdatedAt: lot.UpdatedAt,
	}
	if _, material, number, err := lot.Key.Parts(); err == nil {
		l.Number = number
		if l.Material == "" {
			l.Material = material
		}
	}
	for i := range f.Open {
		if h := &f.Open[i]; h.PlacedAt.Equal(l.HeldSince) && l.HeldFor == "" {
			l.HeldFor, l.HeldBy = h.Reason, h.PlacedBy
		}
	}
	for _, u := range lot.Usage {
		l.Usage = append(l.Usage, Usage{u.System, u.Usage, u.Raw, u.VerifiedAt})
	}
	l.MayMove = len(l.Reasons) == 0
	l.Release, l.ReleaseSince, l.ReleaseLate = lot.Release.State, lot.Release.Since, lot.Release.Late
	if l.WaitsFor = f.Waits(s.erpOf(lot)); l.WaitsFor == nil {
		l.WaitsFor = []quality.ReleaseWait{}
	}
	return l
}

func holdView(h *quality.Hold) Hold {
	v := Hold{
		ID: h.ID, Lot: h.Lot, Kind: h.Kind, Reason: h.Reason, PlacedBy: h.PlacedBy, PlacedAt: h.PlacedAt, Authority: h.Authority,
		Plant: h.Plant, EnforcedAt: h.EnforcedAt, LiftedBy: h.LiftedBy, LiftedAt: h.LiftedAt, LiftReason: h.LiftReason, Cause: h.Cause,
	}
	if h.Scope != nil {
		v.Scope = &Scope{h.Scope.Kind, string(h.Scope.Value), h.Scope.Plant, h.Scope.From.Time, h.Scope.To.Time}
	}
	return v
}

func nonconformanceView(n *quality.Nonconformance) Nonconformance {
	return Nonconformance{
		ID: n.ID, State: n.State, Severity: n.Severity, Source: n.Source, Description: n.Description, Lots: n.Lots,
		OpenedAt: n.OpenedAt, ContainedAt: n.ContainedAt, Record: n.ExternalRef.ID, System: n.ExternalRef.System,
	}
}

func effectView(r *store.EffectRow) Effect {
	e := Effect{
		ID: r.ID, Kind: r.Kind, System: r.System, Object: r.Object, Ref: quality.Reference(r.CommandID), State: r.State,
		Outcome: r.Outcome, Attempts: r.Attempts, Tries: r.Tries, AskedAt: r.Asked, Code: r.Code, Message: r.Message,
		Record: r.External, Cause: r.Cause,
	}
	switch r.State {
	case store.EffectDue:
		e.NextTryAt = r.Due
	case store.EffectSettled, store.EffectException:
		e.SettledAt = r.Due // a settled row keeps there when it was settled
	}
	return e
}

// lot returns a lot's facts, or the problem of one that does not exist for the caller.
func (s *server) lot(ctx context.Context, tx *store.Tx, key event.LotKey) (quality.Facts, error) {
	c := callerOf(ctx)
	f, err := tx.Facts(key)
	if err != nil {
		return f, err
	}
	if f.Lot.Key == "" {
		return f, s.noLot(tx, c, key)
	}
	if !c.sees(f.Lot.Plant) {
		return f, hidden{string(key), problem.New(problem.ObjectHidden, "there is no lot %s", key)}
	}
	return f, nil
}

// noLot says that a lot is not known, and names what waits of it: its creation may be a dead letter.
func (s *server) noLot(tx *store.Tx, c *Caller, key event.LotKey) error {
	rows, err := tx.DeadlettersOf(key)
	if err != nil {
		return err
	}
	for i := range rows {
		if c.sees(rows[i].Plant) {
			return problem.New(problem.ObjectHidden, "there is no lot %s yet, but records of it wait: see dead letter %d", key, rows[i].ID)
		}
	}
	return problem.New(problem.ObjectHidden, "there is no lot %s", key)
}

// hidden is the problem of an object that exists, but not for this caller. The attempt goes into the ledger.
type hidden struct {
	object string
	*problem.Problem
}

// Unwrap returns the problem.
func (h hidden) Unwrap() error { return h.Problem }

// read runs a reading transaction, and enters the attempt to see what is hidden into the ledger.
func (s *server) read(ctx context.Context, f func(*store.Tx) error) error {
	err := s.store.View(ctx, f)
	if h, ok := errors.AsType[hidden](err); ok {
		s.record(ctx, callerOf(ctx), "access.hidden", h.object, "the object belongs to a plant that the caller may not see")
	}
	return err
}

// etag is the version of an object as a header.
func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// versionOf returns the version that an If-Match header asks for; 0, any, for an empty header or *. What is no ETag of
// ours matches nothing.
func versionOf(ifMatch string) (int64, error) {
	if ifMatch == "" || ifMatch == "*" {
		return 0, nil
	}
	quoted := strings.TrimPrefix(ifMatch, "W/")
	version, err := strconv.ParseInt(strings.Trim(quoted, `"`), 10, 64)
	if err != nil || version < 1 || etag(version) != quoted {
		return 0, problem.New(problem.StateMoved, "If-Match %.100q is the ETag of no version", ifMatch)
	}
	return version, nil
}

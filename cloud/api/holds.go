package api

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// HoldRequest asks for a hold.
type HoldRequest struct {
	Kind   event.HoldKind `json:"kind,omitempty" enum:"recall,safety,quality,doc" default:"quality"`
	Reason string         `json:"reason" maxLength:"4000" doc:"why"`
}

// ScopeHoldRequest asks for a hold on all lots of a scope, those that come later included.
type ScopeHoldRequest struct {
	HoldRequest
	Scope Scope `json:"scope"`
}

// ReasonRequest says why.
type ReasonRequest struct {
	Reason string `json:"reason" maxLength:"4000" doc:"why"`
}

type holdInput struct {
	Key            string `path:"key" doc:"lot key, encoded"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"the same key means the same act"`
	IfMatch        string `header:"If-Match" doc:"ETag of the lot as read"`
	Body           HoldRequest
}

type liftInput struct {
	Key            string `path:"key" doc:"lot key, encoded"`
	ID             string `path:"id" doc:"id of the hold"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"the same key means the same act"`
	IfMatch        string `header:"If-Match" doc:"ETag of the lot as read"`
	Body           ReasonRequest
}

type scopeHoldInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"the same key means the same act"`
	Body           ScopeHoldRequest
}

type scopeLiftInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"the same key means the same act"`
	ID             string `path:"id" doc:"id of the hold"`
	Body           ReasonRequest
}

// holdOutput is the hold as it is now. Repeated tells that the same act was done before.
type holdOutput struct {
	Repeated bool `header:"Idempotent-Replayed"`
	Body     Hold
}

func (s *server) hold(ctx context.Context, in *holdInput) (*holdOutput, error) {
	if err := s.seesLot(ctx, event.LotKey(in.Key)); err != nil {
		return nil, err
	}
	data := &event.HoldPlaced{MayLot: event.MayLot{Lot: event.LotKey(in.Key)}}
	return s.place(ctx, condition{in.IdempotencyKey, in.IfMatch}, data, &in.Body)
}

func (s *server) holdScope(ctx context.Context, in *scopeHoldInput) (*holdOutput, error) {
	scope, c := &in.Body.Scope, callerOf(ctx)
	if !c.seesAll() && (scope.Plant == "" || !c.sees(scope.Plant)) {
		return nil, problem.New(problem.ObjectHidden, "the scope reaches over plants that %s may not see", c.Principal)
	}
	data := &event.HoldPlaced{Scope: &event.Scope{
		Kind: scope.Kind, Value: event.Name(scope.Value), Plant: scope.Plant, From: event.At(scope.From), To: event.At(scope.To),
	}}
	return s.place(ctx, condition{key: in.IdempotencyKey}, data, &in.Body.HoldRequest)
}

// condition says when an act is done: once for a key, and only while its lot has the version that the caller read.
type condition struct {
	key     string // Idempotency-Key
	ifMatch string // ETag of the lot; empty or * = any version
}

// seesLot refuses an act on a lot that the caller does not see.
func (s *server) seesLot(ctx context.Context, key event.LotKey) error {
	return s.read(ctx, func(tx *store.Tx) error {
		_, err := s.lot(ctx, tx, key)
		return err
	})
}

// place makes the event of a hold and applies it.
func (s *server) place(ctx context.Context, when condition, data *event.HoldPlaced, r *HoldRequest) (*holdOutput, error) {
	c := callerOf(ctx)
	if err := needReason(r.Reason); err != nil {
		return nil, err
	}
	e := s.newEvent(c, when.key, data)
	data.HoldID = event.ObjectOf("hold", e.ID)
	data.HoldKind, data.Reason, data.PlacedBy = r.Kind, r.Reason, event.Name(c.Principal)
	data.PlacedAt, data.Authority = event.At(e.Time), authority(c.Roles)
	repeated, err := s.apply(ctx, e, r.Reason, when.ifMatch, func(was event.Data) bool {
		old, ok := was.(*event.HoldPlaced)
		return ok && old.Subject() == data.Subject() && old.HoldKind == data.HoldKind && old.Reason == data.Reason
	})
	if err != nil {
		return nil, err
	}
	return s.holdNow(ctx, data.HoldID, data.Lot, repeated)
}

func (s *server) lift(ctx context.Context, in *liftInput) (*holdOutput, error) {
	key := event.LotKey(in.Key)
	if err := s.seesLot(ctx, key); err != nil {
		return nil, err
	}
	return s.liftOf(ctx, event.ObjectID(in.ID), key, condition{in.IdempotencyKey, in.IfMatch}, in.Body.Reason)
}

func (s *server) liftScope(ctx context.Context, in *scopeLiftInput) (*holdOutput, error) {
	return s.liftOf(ctx, event.ObjectID(in.ID), "", condition{key: in.IdempotencyKey}, in.Body.Reason)
}

// liftOf makes the event of a lift and applies it.
func (s *server) liftOf(ctx context.Context, id event.ObjectID, lot event.LotKey, when condition, reason string) (*holdOutput, error) {
	c := callerOf(ctx)
	if err := needReason(reason); err != nil {
		return nil, err
	}
	h, err := s.liftable(ctx, id, lot)
	if err != nil {
		return nil, err
	}
	data := &event.HoldLifted{MayLot: event.MayLot{Lot: lot}, Scope: h.Scope, HoldID: id, LiftedBy: event.Name(c.Principal), Reason: reason}
	e := s.newEvent(c, when.key, data)
	data.LiftedAt, data.Authority = event.At(e.Time), authority(c.Roles)
	same := func(was event.Data) bool {
		old, ok := was.(*event.HoldLifted)
		return ok && old.HoldID == id && old.Lot == lot && old.Reason == reason
	}
	if !h.Open() {
		if known, err := s.known(ctx, e.ID, same); err != nil || known {
			return &holdOutput{known, holdView(h)}, err
		}
		return nil, problem.New(problem.RuleRefused, "hold %s was lifted by %s on %s", id, h.LiftedBy, event.At(h.LiftedAt))
	}
	if h.Authority == event.AuthorityQuality && data.Authority == event.AuthorityOperator {
		// Asked before the rule is, which would keep the refused event for a person to look at.
		s.record(ctx, c, "access.refused", h.Name(), "lift of a hold that was placed with the authority quality")
		return nil, problem.New(problem.RoleRefused, "hold %s was placed with the authority quality by %s: it takes the role %s to lift it",
			id, h.PlacedBy, RoleQuality)
	}
	repeated, err := s.apply(ctx, e, reason, when.ifMatch, same)
	if err != nil {
		return nil, err
	}
	return s.holdNow(ctx, id, lot, repeated)
}

// liftable returns the hold that is to be lifted.
func (s *server) liftable(ctx context.Context, id event.ObjectID, lot event.LotKey) (h *quality.Hold, err error) {
	c := callerOf(ctx)
	err = s.read(ctx, func(tx *store.Tx) error {
		if h, err = tx.Hold(id, lot); err != nil {
			return err
		}
		if h == nil && lot != "" {
			return s.scopeInstead(tx, id)
		}
		if h == nil {
			return problem.New(problem.ObjectHidden, "there is no hold %s by scope", id)
		}
		if h.Scope != nil && !c.seesAll() && !c.sees(h.Scope.Plant) {
			return hidden{string(id), problem.New(problem.ObjectHidden, "there is no hold %s by scope", id)}
		}
		return nil
	})
	return h, err
}

func (s *server) scopeInstead(tx *store.Tx, id event.ObjectID) error {
	h, err := tx.Hold(id, "")
	if err != nil {
		return err
	}
	if h != nil {
		return problem.New(problem.RuleRefused, "hold %s is by scope (%s %s): lifting it frees all its lots, so it is lifted as a whole",
			id, h.Scope.Kind, h.Scope.Value)
	}
	return problem.New(problem.ObjectHidden, "the lot has no hold %s", id)
}

func (s *server) holdNow(ctx context.Context, id event.ObjectID, lot event.LotKey, repeated bool) (*holdOutput, error) {
	out := &holdOutput{Repeated: repeated}
	err := s.read(ctx, func(tx *store.Tx) error {
		h, err := tx.Hold(id, lot)
		if err != nil {
			return err
		}
		if h == nil {
			return store.ErrNotFound
		}
		out.Body = holdView(h)
		return nil
	})
	return out, err
}

// HoldList is the open holds by scope.
type HoldList struct {
	Holds []Hold `json:"holds"`
}

func (s *server) scopeHolds(ctx context.Context, _ *struct{}) (*view[HoldList], error) {
	c := callerOf(ctx)
	list := HoldList{Holds: []Hold{}}
	err := s.read(ctx, func(tx *store.Tx) error {
		holds, err := tx.OpenHoldsOf("")
		for i := range holds {
			if h := &holds[i]; c.seesAll() || h.Scope.Plant == "" || c.sees(h.Scope.Plant) {
				list.Holds = append(list.Holds, holdView(h))
			}
		}
		return err
	})
	return &view[HoldList]{list}, err
}

func needReason(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return problem.New(problem.ReasonNeeded, "the request gives no reason")
	}
	return nil
}

// newEvent returns an event at the cloud's door. Its id comes from principal and key, so that a call that is sent again
// makes the same event; without a key every call is one of its own.
func (s *server) newEvent(c *Caller, key string, data event.Data) *event.Event {
	if key == "" {
		key = rand.Text()
	}
	now := s.cfg.Now()
	p := data.ReadBy()
	p.Source, p.Transport = "api", "api"
	return &event.Event{
		ID: event.NaturalID("", "api", []string{c.Principal, key}, data.Type(), 0), Source: "/api", Time: now, Recorded: now, Data: data,
	}
}

// known tells whether the act of an event was done before. The same key for another act is refused.
func (s *server) known(ctx context.Context, id event.ID, same func(event.Data) bool) (bool, error) {
	known := false
	err := s.read(ctx, func(tx *store.Tx) error {
		row, err := tx.InboxByID(id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil
		case err != nil:
			return err
		case !same(row.Event.Data):
			return problem.New(problem.EventConflict, "this Idempotency-Key was used for another act at %s", event.At(row.Accepted))
		}
		known = true
		return nil
	})
	return known, err
}

// apply applies an event of a caller, where ifMatch is the ETag of its lot or empty. It returns true if the same act was
// done before.
func (s *server) apply(ctx context.Context, e *event.Event, reason, ifMatch string, same func(event.Data) bool) (repeated bool, err error) {
	return s.applyAs(ctx, e, callerOf(ctx).Principal, reason, ifMatch, same)
}

// applyAs is apply in the name of others than the caller: of the persons who signed.
func (s *server) applyAs(ctx context.Context, e *event.Event, principal, reason, ifMatch string, same func(event.Data) bool) (repeated bool, err error) {
	if !s.acts.begin(e.ID) {
		return false, problem.New(problem.EventConflict, "the same request is being worked on right now")
	}
	defer s.acts.end(e.ID)
	if known, err := s.known(ctx, e.ID, same); err != nil || known {
		return known, err
	}
	version, err := versionOf(ifMatch)
	if err != nil {
		return false, err
	}
	results, err := s.engine.Apply(ctx, []workflow.Input{{
		Event: e, Principal: principal, Reason: reason, IfVersion: version,
	}}, nil)
	if err != nil {
		return false, err
	}
	switch r := results[0]; r.Outcome {
	case workflow.Accepted:
		return false, nil
	case workflow.Duplicate:
		return true, nil
	default:
		return false, r.Cause
	}
}

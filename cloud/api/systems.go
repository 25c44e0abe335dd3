package api

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// System is an ERP, a QMS or another business system, and what waits for it.
type System struct {
	ID          string    `json:"id"`
	Dispatch    bool      `json:"dispatch" doc:"effects on it are carried out"`
	Answers     bool      `json:"answers" doc:"false = it does not answer, and is left alone for a while"`
	Waiting     int       `json:"waiting" doc:"effects that are not done"`
	Restricting int       `json:"restricting" doc:"those of them that restrict a lot: until they are done it is not held there"`
	OldestAt    time.Time `json:"oldest_at,omitzero" doc:"when the oldest was asked for"`
	Plan        Plan      `json:"plan" doc:"what becomes of them when dispatch is turned on"`
}

// Plan says what becomes of effects that wait when dispatch is turned on.
type Plan struct {
	Compare     int `json:"compare" doc:"states, which are compared with what the system shows, and set where they differ"`
	LookUp      int `json:"look_up" doc:"records, which are looked up first, and made where they are not there"`
	CloseUnsent int `json:"close_unsent" doc:"messages from before a restore, which are not sent"`
	Send        int `json:"send" doc:"messages that are sent where they are still true"`
}

// Off says that nothing is written to a system, or to any.
type Off struct {
	System   string    `json:"system,omitempty" doc:"absent = all systems"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero" doc:"when it ends by itself; absent = when a person says so"`
	Restored bool      `json:"restored" doc:"the database was restored: what waits may have been done before"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
}

// SystemList is all systems, by id, and what keeps the dispatcher from writing.
type SystemList struct {
	Systems []System `json:"systems"`
	Off     []Off    `json:"off" doc:"what keeps effects from being carried out"`
}

// PauseRequest asks for a pause of one system.
type PauseRequest struct {
	Seconds int64  `json:"seconds" minimum:"1" maximum:"604800" doc:"how long; it ends by itself"`
	Reason  string `json:"reason" maxLength:"4000" doc:"why"`
}

// DispatchRequest asks for dispatch to be turned on or off.
type DispatchRequest struct {
	System string `json:"system,omitempty" maxLength:"64" doc:"absent = all systems"`
	On     bool   `json:"on"`
	Reason string `json:"reason" maxLength:"4000" doc:"why"`
}

type pauseInput struct {
	ID             string `path:"id"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"the same key means the same act"`
	Body           PauseRequest
}

type resumeInput struct {
	ID             string `path:"id"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"the same key means the same act"`
	Body           ReasonRequest
}

type dispatchInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"256" doc:"the same key means the same act"`
	Body           DispatchRequest
}

// systemsOutput is the systems as they are now. Repeated tells that the same act was done before.
type systemsOutput struct {
	Repeated bool `header:"Idempotent-Replayed"`
	Body     SystemList
}

func (s *server) systems(ctx context.Context, _ *struct{}) (*view[SystemList], error) {
	list, err := s.systemList(ctx)
	return &view[SystemList]{list}, err
}

func (s *server) systemList(ctx context.Context) (SystemList, error) {
	list := SystemList{Systems: []System{}, Off: []Off{}}
	if !callerOf(ctx).seesAll() {
		return list, nil // what a system does for other plants is not for this caller
	}
	err := s.read(ctx, func(tx *store.Tx) error {
		offs, err := tx.DispatchOffs()
		if err != nil {
			return err
		}
		now := s.cfg.Now()
		for _, o := range offs {
			if o.Covers(o.System, now) {
				list.Off = append(list.Off, offView(&o))
			}
		}
		for _, id := range slices.Sorted(maps.Keys(s.cfg.Systems)) {
			waiting, err := tx.CountWaiting(id, nil)
			if err != nil {
				return err
			}
			list.Systems = append(list.Systems, s.system(id, offs, waiting, now))
		}
		return nil
	})
	return list, err
}

func offView(o *store.DispatchOff) Off {
	return Off{o.System, o.Since, o.Until, o.Restored, o.Principal, o.Reason}
}

func (s *server) system(id string, offs []store.DispatchOff, waiting []store.WaitingCount, now time.Time) System {
	health := s.cfg.Systems[id]()
	v := System{ID: id, Dispatch: true, Answers: health.answers()}
	restored := false
	for i := range offs {
		if offs[i].Covers(id, now) {
			v.Dispatch, restored = false, restored || offs[i].Restored
		}
	}
	for i := range waiting {
		w := &waiting[i]
		v.Waiting += w.Count
		if v.OldestAt.IsZero() || w.Oldest.Before(v.OldestAt) {
			v.OldestAt = w.Oldest
		}
		if w.Restrict {
			v.Restricting += w.Count
		}
		switch {
		case w.Kind == quality.NoticeSend && restored:
			v.Plan.CloseUnsent += w.Count
		case w.Kind == quality.NoticeSend:
			v.Plan.Send += w.Count
		case w.Kind.Document():
			v.Plan.LookUp += w.Count
		default:
			v.Plan.Compare += w.Count
		}
	}
	return v
}

func (s *server) pause(ctx context.Context, in *pauseInput) (*systemsOutput, error) {
	until := s.cfg.Now().Add(time.Duration(in.Body.Seconds) * time.Second)
	return s.switchDispatch(ctx, in.ID, workflow.DispatchOff(in.ID, until), in.Body.Reason, in.IdempotencyKey)
}

// resume ends a pause. What was turned off without an end is an administrator's to turn on.
func (s *server) resume(ctx context.Context, in *resumeInput) (*systemsOutput, error) {
	if err := s.read(ctx, func(tx *store.Tx) error {
		offs, err := tx.DispatchOffs()
		i := slices.IndexFunc(offs, func(o store.DispatchOff) bool { return o.System == in.ID })
		if err == nil && i >= 0 && offs[i].Until.IsZero() && !may(callerOf(ctx).Roles, actDispatch) {
			err = problem.New(problem.RoleRefused, "%s turned dispatch to %s off without an end: it takes the role %s to turn it on",
				offs[i].Principal, in.ID, rolesFor(actDispatch))
		}
		return err
	}); err != nil {
		return nil, err
	}
	return s.switchDispatch(ctx, in.ID, workflow.DispatchOn(in.ID), in.Body.Reason, in.IdempotencyKey)
}

func (s *server) dispatch(ctx context.Context, in *dispatchInput) (*systemsOutput, error) {
	act := workflow.DispatchOff(in.Body.System, time.Time{})
	if in.Body.On {
		act = workflow.DispatchOn(in.Body.System)
	}
	return s.switchDispatch(ctx, in.Body.System, act, in.Body.Reason, in.IdempotencyKey)
}

// switchDispatch turns dispatch on or off, for one system or for all where none is named.
func (s *server) switchDispatch(ctx context.Context, system string, act *event.ActRecorded, reason, key string) (*systemsOutput, error) {
	if err := needReason(reason); err != nil {
		return nil, err
	}
	c := callerOf(ctx)
	if !c.seesAll() {
		s.record(ctx, c, "access.refused", act.About, "a system works for all plants")
		return nil, problem.New(problem.RoleRefused, "a system works for plants that the caller may not see")
	}
	if system != "" && s.cfg.Systems[system] == nil {
		return nil, problem.New(problem.ObjectHidden, "there is no system %.60s", system)
	}
	act.Principal, act.Reason = event.Name(c.Principal), reason
	repeated, err := s.act(ctx, s.newEvent(c, key, act), nil)
	if err != nil {
		return nil, err
	}
	list, err := s.systemList(ctx)
	return &systemsOutput{Repeated: repeated, Body: list}, err
}

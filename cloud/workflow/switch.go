package workflow

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Acts by which the dispatcher is kept from writing, and let write again. Make them by [DispatchOff] and [DispatchOn].
const (
	ActDispatchOff = "dispatch.off"
	ActDispatchOn  = "dispatch.on"
)

// Particulars of the acts.
const (
	detailSystem   = "system"
	detailUntil    = "until"
	detailRestored = "restored"
)

// AllSystems is the subject of acts and alerts about all systems at once.
const AllSystems = "all systems"

// timerDispatch lets the dispatcher write again where it was paused for a time; its object is the system.
const timerDispatch = "dispatch.until"

// DispatchOff returns the act that keeps the dispatcher from writing to a system, until a time, or until a person lets it
// where until is zero. An empty system means all. Effects wait as rows, those that restrict, too: an ERP does not enforce a
// hold that is placed meanwhile.
func DispatchOff(system string, until time.Time) *event.ActRecorded {
	d := switchAct(ActDispatchOff, system)
	if !until.IsZero() {
		d.Detail[detailUntil] = event.At(until).String()
	}
	return d
}

// DispatchOn returns the act that lets the dispatcher write again, as far as it was kept from it under the same name.
func DispatchOn(system string) *event.ActRecorded { return switchAct(ActDispatchOn, system) }

func switchAct(act event.Name, system string) *event.ActRecorded {
	return &event.ActRecorded{Act: act, About: switchSubject(system), Detail: map[string]string{detailSystem: system}}
}

func switchSubject(system string) string {
	if system == "" {
		return AllSystems
	}
	return system
}

// switchOff keeps the dispatcher from writing.
func (t *turn) switchOff(in *Input, e *event.Event, d *event.ActRecorded) error {
	off := store.DispatchOff{System: d.Detail[detailSystem], Since: t.now, Principal: principalOf(in, e), Reason: d.Reason}
	off.Restored = d.Detail[detailRestored] == "true"
	if text := d.Detail[detailUntil]; text != "" {
		until, err := event.ParseTime(text)
		if err != nil {
			return problem.New(problem.Usage, "end of a pause: %w", err)
		}
		off.Until = until.Time
	}
	was, err := t.off(off.System)
	if err != nil {
		return err
	}
	if was != nil && was.Restored {
		return problem.New(problem.RuleRefused, "dispatch is off since the database was restored, which only a person ends")
	}
	return t.putOff(&off)
}

func (t *turn) putOff(off *store.DispatchOff) error {
	if err := t.tx.PutDispatchOff(off); err != nil {
		return fmt.Errorf("turn dispatch off: %w", err)
	}
	if err := t.tx.CancelTimer(timerDispatch, switchSubject(off.System)); err != nil {
		return err
	}
	if !off.Until.IsZero() {
		t.wantsTimers = true
		if err := t.tx.PutTimer(quality.Timer{Name: timerDispatch, Object: switchSubject(off.System), Due: off.Until}); err != nil {
			return err
		}
	}
	waiting, err := t.tx.OpenEffects(off.System)
	if err != nil {
		return err
	}
	restrict := 0
	for i := range waiting {
		if waiting[i].Priority == 0 {
			restrict++
		}
	}
	until := "until a person turns dispatch on"
	if !off.Until.IsZero() {
		until = "until " + event.At(off.Until).String()
	}
	return t.raise(AlertDispatch, switchSubject(off.System), fmt.Sprintf(
		"effects on %s wait %s, holds among them: %d wait, %d of those restrict a lot; by %s: %s",
		switchSubject(off.System), until, len(waiting), restrict, off.Principal, off.Reason))
}

// switchOn lets the dispatcher write again. What was asked for in front of a restore is looked up first from then on.
func (t *turn) switchOn(d *event.ActRecorded) error {
	system := d.Detail[detailSystem]
	was, err := t.off(system)
	if err != nil {
		return err
	}
	if was == nil {
		return problem.New(problem.RuleRefused, "dispatch to %s is not off", switchSubject(system))
	}
	return t.dropOff(was)
}

func (t *turn) dropOff(was *store.DispatchOff) error {
	if was.Restored {
		if err := t.tx.SetDoubtful(t.now); err != nil {
			return err
		}
	}
	if _, err := t.tx.DropDispatchOff(was.System); err != nil {
		return err
	}
	if err := t.tx.CancelTimer(timerDispatch, switchSubject(was.System)); err != nil {
		return err
	}
	t.wantsEffects = true
	waiting, err := t.tx.OpenEffects(was.System)
	if err != nil {
		return err
	}
	woken := map[string]bool{}
	for i := range waiting {
		if system := waiting[i].System; !woken[system] {
			woken[system] = true
			if err := t.tx.WakeEffects(system, t.now); err != nil {
				return err
			}
		}
	}
	return t.clear(AlertDispatch, switchSubject(was.System))
}

// pauseOver lets the dispatcher write again where the time of its pause is over.
func (t *turn) pauseOver(d *event.TimerFired) error {
	offs, err := t.tx.DispatchOffs()
	i := slices.IndexFunc(offs, func(o store.DispatchOff) bool {
		return switchSubject(o.System) == d.Object && o.Until.Equal(d.Due.Time)
	})
	if err != nil || i < 0 {
		return err
	}
	return t.dropOff(&offs[i])
}

func (t *turn) off(system string) (*store.DispatchOff, error) {
	offs, err := t.tx.DispatchOffs()
	i := slices.IndexFunc(offs, func(o store.DispatchOff) bool { return o.System == system })
	if err != nil || i < 0 {
		return nil, err
	}
	return &offs[i], nil
}

// Restored turns dispatch off because the database is older than what is known of its life: it was restored, or rebuilt.
// Why says from what that is known. It stays off over restarts, until a person turns it on; said again, it changes nothing.
func (e *Engine) Restored(ctx context.Context, why string) error {
	off := false
	if err := e.store.View(ctx, func(tx *store.Tx) error {
		was, err := (&turn{engine: e, tx: tx}).off("")
		off = was != nil && was.Restored
		return err
	}); err != nil || off {
		return err
	}
	d := DispatchOff("", time.Time{})
	d.Principal, d.Reason = System, why
	d.Detail[detailRestored] = "true"
	results, err := e.Apply(ctx, []Input{{Event: e.own(d, ActDispatchOff, event.At(e.now()).String()), Principal: System, Reason: why}}, nil)
	if err == nil {
		err = results[0].Cause
	}
	return err
}

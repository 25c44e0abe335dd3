package source

import (
	"context"
	"time"
)

// lapse is the time in which a source is not observed, from when that is found until it is known what came of it.
type lapse struct {
	open   *Gap // recorded, without an end; nil = none
	stored *Gap // the same, as it is on disk

	reason string
	due    *time.Timer // while the connection may come back before a gap says that it was lost; nil = it is not lost
}

func (l *lapse) stop() {
	if l.due != nil {
		l.due.Stop()
		l.due = nil
	}
}

// Begin records that the source was not observed while the agent did not run, before anything is read or answered: what
// the plant told meanwhile waits where the agent has not been yet. It returns when that is on disk, an error if ctx has
// ended before. It does nothing for a source that never was observed.
//
// This is one case of a rule that is the same for all sources. A gap without an end is recorded as soon as a source is
// known not to be observed: at the start, and when a connection was lost for longer than [Rules.Grace]. It lasts, through
// any number of tries, losses and restarts, until one of two things is known: that nothing is missing ([Supervisor.Explain])
// or that something may be ([Supervisor.Bound]).
func (v *Supervisor) Begin(ctx context.Context, emit Emit) error {
	if v.deps.Cursor == nil {
		return nil
	}
	v.lapse.reason = GapAgentRestart
	return v.Record(ctx, emit)
}

// lost says that a life has ended, or that none began.
func (v *Supervisor) lost(ctx context.Context, emit Emit, reason string) error {
	if v.lapse.open != nil || v.lapse.due != nil {
		return nil
	}
	v.lapse.reason = reason
	if v.lapse.reason == "" {
		v.lapse.reason = GapDisconnect
	}
	if v.rules.Grace > 0 {
		v.lapse.due = time.NewTimer(v.rules.Grace)
		return nil
	}
	return v.Record(ctx, emit)
}

// Due returns the channel on which it is said that the gap of a lost connection is to be recorded.
func (v *Supervisor) Due() <-chan time.Time {
	if v.lapse.due == nil {
		return nil
	}
	return v.lapse.due.C
}

// Record records the gap that is due, unless one is open already. It returns when that is on disk, an error if ctx has
// ended before.
func (v *Supervisor) Record(ctx context.Context, emit Emit) error {
	v.lapse.stop()
	if v.lapse.open != nil {
		return nil
	}
	from, known := v.rules.From(v.lapse.reason)
	if !known {
		return nil
	}
	v.lapse.open = &Gap{Equipment: v.deps.Equipment, From: from, Found: v.deps.Now(), Reason: v.lapse.reason}
	return v.Emit(ctx, emit, Batch{Gaps: []Gap{*v.lapse.open}})
}

// Open returns the gap that is recorded and has no end yet; nil = there is none.
func (v *Supervisor) Open() *Gap { return v.lapse.open }

// Explain says that the source is observed, and that nothing of the time before is missing. A gap that is open is closed
// by the batch. How says by what it is known, filled how many values were read afterwards.
func (v *Supervisor) Explain(b *Batch, how string, filled int64) {
	v.lapse.stop()
	if v.lapse.open != nil {
		b.Closed = append(b.Closed, Closing{Gap: *v.lapse.open, Reason: how, Filled: filled})
		v.lapse.open = nil
	}
}

// ended is why a gap without an end is closed by one with an end.
const ended = "the source is observed again: another gap says up to when it was not"

// Bound says that the source is observed, and that something of the time before may be missing: the batch records g,
// whose time ends, in place of a gap that is open.
func (v *Supervisor) Bound(b *Batch, g Gap) {
	g.Equipment = v.deps.Equipment
	if v.lapse.open != nil && v.lapse.open.From.Before(g.From) {
		g.From = v.lapse.open.From
	}
	if g.To.Before(g.From) {
		g.To = g.From // the clock was set back
	}
	b.Gaps = append(b.Gaps, g) // before the other is closed: no lot may pass between the two
	v.Explain(b, ended, 0)
}

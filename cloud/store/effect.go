package store

import (
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// EffectState says what an effect waits for.
type EffectState string

// Effect states.
const (
	EffectDue       EffectState = "due"       // for its time and a free dispatcher
	EffectLeased    EffectState = "leased"    // for the dispatcher that has it
	EffectSettled   EffectState = "settled"   // for nothing
	EffectException EffectState = "exception" // for a person
)

// EffectRow is a wanted change in another system and how far it has come.
type EffectRow struct {
	ID          string
	Kind        quality.Kind
	System      string
	Object      string
	Lot         event.LotKey
	CommandID   string
	Generation  int64 // raised by each intent
	Settled     int64 // generation that was settled last
	State       EffectState
	Priority    int // 0 restricts and goes first
	Due         time.Time
	Asked       time.Time // of the newest intent
	Owner       string
	Lease       time.Time
	Attempts    int64 // writes, ever
	Tries       int64 // since it was last settled or asked for
	Wrote       bool  // a write may have left since it was last settled: look up first
	Outcome     quality.Outcome
	Code        string
	Message     string
	External    string // id of the record it made
	Cause       event.ID
	Correlation string
}

const effectColumns = `id, kind, system, object, lot, command_id, generation, settled, state, priority, due, asked, owner, lease,
	attempts, tries, wrote, outcome, code, message, external, cause, correlation`

func (t *Tx) effects(query string, args ...any) ([]EffectRow, error) {
	var all []EffectRow
	err := t.each(func(rows *sql.Rows) error {
		var r EffectRow
		var due, asked, lease string
		err := rows.Scan(&r.ID, &r.Kind, &r.System, &r.Object, &r.Lot, &r.CommandID, &r.Generation, &r.Settled, &r.State,
			&r.Priority, &due, &asked, &r.Owner, &lease, &r.Attempts, &r.Tries, &r.Wrote, &r.Outcome, &r.Code, &r.Message,
			&r.External, &r.Cause, &r.Correlation)
		for _, x := range []struct {
			from string
			into *time.Time
		}{{due, &r.Due}, {asked, &r.Asked}, {lease, &r.Lease}} {
			if err == nil {
				*x.into, err = parse(x.from)
			}
		}
		all = append(all, r)
		return err
	}, query, args...)
	return all, err
}

// WantEffect makes an effect due and returns its command. A state effect that exists gets a higher generation, and keeps its
// place in the queue if it is due already: what is asked for again and again must not wait for ever. A document effect that
// exists is left alone, since its fact asks once; one that was sent away may go now.
func (t *Tx) WantEffect(i quality.Intent, generation int64, cause *event.Event, now time.Time) (command string, err error) {
	id := i.CommandID
	if !i.Kind.Document() {
		id = strings.Join([]string{string(i.Kind), i.System, i.Object}, "|")
		var last int64
		err := t.row(`SELECT generation FROM effect WHERE id = ?`, id).Scan(&last)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return "", err
		}
		// What is wanted can change while the object's version stays: an attempt that is out must not settle this intent.
		if err == nil {
			generation = max(generation, last+1)
		}
	}
	command = i.Command(generation)
	priority := 1
	if i.Urgent {
		priority = 0
	}
	query := `INSERT INTO effect (` + effectColumns + `, serial) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 'due', ?, ?, ?, '', '', 0, 0, 0, '', '', '', '', ?, ?, ?)
		ON CONFLICT (id) DO `
	if i.Kind.Document() {
		query += `UPDATE SET due = CASE WHEN effect.state = 'due' AND effect.outcome = '` + string(event.RetryLater) + `' AND effect.due > excluded.due
			THEN excluded.due ELSE effect.due END`
	} else {
		query += `UPDATE SET generation = excluded.generation, command_id = excluded.command_id,
			state = CASE effect.state WHEN 'leased' THEN 'leased' ELSE 'due' END,
			priority = CASE WHEN effect.state = 'settled' OR excluded.priority < effect.priority THEN excluded.priority ELSE effect.priority END,
			due = CASE WHEN effect.state = 'due' AND effect.due < excluded.due THEN effect.due ELSE excluded.due END, tries = 0,
			asked = CASE effect.state WHEN 'settled' THEN excluded.asked ELSE effect.asked END,
			cause = excluded.cause, correlation = excluded.correlation`
	}
	at := text(now)
	return command, t.exec(query, id, i.Kind, i.System, i.Object, i.Lot, command, generation, priority, at, at, cause.ID, cause.Correlation,
		serial(i.Kind, i.System, i.Object, i.Lot))
}

// serial names what is done one after the other: all that changes a lot's usage, a lot's inspections in one QMS, which
// must not keep an ERP waiting, else what concerns an object of a system.
func serial(kind quality.Kind, system, object string, lot event.LotKey) string {
	switch kind {
	case quality.LotUsageSet, quality.StockTransfer, quality.UsageDecisionPost:
		return string(lot)
	case quality.InspectionSubmit:
		return system + "|" + string(lot)
	}
	return system + "|" + object
}

// ClaimEffects gives at most limit due effects of the systems to owner until the lease ends, urgent ones first. Of effects
// that must be done one after the other, one is out at a time. A lease that ran out is claimed again; whether its
// write happened is then unknown, which Wrote says.
func (t *Tx) ClaimEffects(owner string, systems []string, limit int, now time.Time, lease time.Duration) ([]EffectRow, error) {
	if len(systems) == 0 || limit <= 0 {
		return nil, nil
	}
	args := []any{text(now), text(now), text(now)}
	for _, s := range systems {
		args = append(args, s)
	}
	due, err := t.effects(`SELECT `+effectColumns+` FROM effect e WHERE (state = 'due' AND due <= ? OR state = 'leased' AND lease <= ?)
		AND NOT EXISTS (SELECT 1 FROM effect x WHERE x.serial = e.serial AND x.state = 'leased' AND x.lease > ? AND x.id <> e.id)
		AND system IN (?`+strings.Repeat(", ?", len(systems)-1)+`) ORDER BY priority, due,
		CASE kind WHEN 'erp.usage_decision.post' THEN 0 ELSE 1 END LIMIT ?`, append(args, 4*limit)...)
	if err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	var claimed []EffectRow
	for _, r := range due {
		line := serial(r.Kind, r.System, r.Object, r.Lot)
		if len(claimed) == limit || taken[line] {
			continue
		}
		taken[line] = true
		r.State, r.Owner, r.Lease = EffectLeased, owner, now.Add(lease)
		if err := t.exec(`UPDATE effect SET state = 'leased', owner = ?, lease = ? WHERE id = ?`, owner, text(r.Lease), r.ID); err != nil {
			return nil, err
		}
		// Whoever let the lease of another one in this line run out must not write any more.
		if err := t.exec(`UPDATE effect SET state = 'due', owner = '', lease = '' WHERE serial = ? AND state = 'leased' AND id <> ?`, line, r.ID); err != nil {
			return nil, err
		}
		claimed = append(claimed, r)
	}
	return claimed, nil
}

// StaleUsage returns the settled effects on the usage of lots whose release was granted and that a system has not been
// seen to free since before. Of one that someone else restricts there nobody says when that ends, unless the system does.
func (t *Tx) StaleUsage(systems []string, before time.Time) (ids []string, err error) {
	if len(systems) == 0 {
		return nil, nil
	}
	args := []any{quality.LotUsageSet, text(before)}
	for _, s := range systems {
		args = append(args, s)
	}
	err = t.each(func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT e.id FROM ask a CROSS JOIN effect e WHERE a.granted = 1 AND e.lot = a.lot AND e.kind = ? AND e.state = 'settled' AND e.due <= ?
		AND e.system IN (?`+strings.Repeat(", ?", len(systems)-1)+`) ORDER BY e.id`, args...)
	return ids, err
}

// LookAgain makes a settled effect due at a time, to see what the system shows by then. What is wanted is asked for as
// before.
func (t *Tx) LookAgain(id string, due time.Time) error {
	return t.exec(`UPDATE effect SET state = 'due', due = ?, asked = ? WHERE id = ? AND state = 'settled'`, text(due), text(due), id)
}

// NextEffect tells whether an effect of a system is due by now, or its lease has ended, and when the next one will be; zero
// = none waits.
func (t *Tx) NextEffect(system string, now time.Time) (due bool, next time.Time, err error) {
	at := text(now)
	var dueAt, lease sql.NullString
	if err := t.row(`SELECT EXISTS (SELECT 1 FROM effect WHERE system = ? AND state = 'due' AND due <= ?)
		OR EXISTS (SELECT 1 FROM effect WHERE system = ? AND state = 'leased' AND lease <= ?),
		(SELECT MIN(due) FROM effect WHERE system = ? AND state = 'due' AND due > ?),
		(SELECT MIN(lease) FROM effect WHERE system = ? AND state = 'leased' AND lease > ?)`,
		system, at, system, at, system, at, system, at).Scan(&due, &dueAt, &lease); err != nil {
		return false, time.Time{}, err
	}
	first := dueAt.String
	if first == "" || lease.String != "" && lease.String < first {
		first = lease.String
	}
	next, err = parse(first)
	return due, next, err
}

// WakeEffects makes the effects of a system due that it sent away or did not answer. One whose write may have landed keeps
// its time: it must not be looked for before the write had its chance.
func (t *Tx) WakeEffects(system string, now time.Time) error {
	return t.exec(`UPDATE effect SET due = ? WHERE system = ? AND state = 'due' AND due > ? AND outcome = ?`,
		text(now), system, text(now), event.RetryLater)
}

// WakeBehind makes due what waits in line behind an effect and was sent away: what it waited for may be done.
func (t *Tx) WakeBehind(r *EffectRow, now time.Time) error {
	return t.exec(`UPDATE effect SET due = ? WHERE serial = ? AND id <> ? AND state = 'due' AND due > ? AND outcome = ?`,
		text(now), serial(r.Kind, r.System, r.Object, r.Lot), r.ID, text(now), event.RetryLater)
}

// MarkWrite records, before a write leaves, that one may have happened, and keeps the lease until then. It returns false
// if the lease is gone.
func (t *Tx) MarkWrite(id, owner string, lease time.Time) (bool, error) {
	return t.changed(`UPDATE effect SET wrote = 1, attempts = attempts + 1, lease = ? WHERE id = ? AND owner = ? AND state = 'leased'`,
		text(lease), id, owner)
}

// DeferEffect gives a leased effect back until due.
func (t *Tx) DeferEffect(r *EffectRow, due time.Time, outcome quality.Outcome, code, message string) error {
	return t.exec(`UPDATE effect SET state = 'due', owner = '', lease = '', due = CASE WHEN generation > ? THEN due ELSE ? END,
		tries = tries + 1, wrote = ?, outcome = ?, code = ?, message = ? WHERE id = ? AND owner = ?`,
		r.Generation, text(due), flag(r.Wrote), outcome, code, message, r.ID, r.Owner)
}

// SettleEffect ends an attempt. Where the effect was asked for again meanwhile, it is due again at once. It returns
// false if the lease went to another owner.
func (t *Tx) SettleEffect(r *EffectRow, state EffectState, outcome quality.Outcome, code, message, external string, now time.Time) (bool, error) {
	return t.changed(`UPDATE effect SET state = CASE WHEN generation > ? THEN 'due' ELSE ? END, owner = '', lease = '', due = ?, tries = 0,
		wrote = 0, settled = ?, outcome = ?, code = ?, message = ?, external = CASE ? WHEN '' THEN external ELSE ? END
		WHERE id = ? AND owner = ? AND state = 'leased'`,
		r.Generation, state, text(now), r.Generation, outcome, code, message, external, external, r.ID, r.Owner)
}

// Effect returns one effect.
func (t *Tx) Effect(id string) (EffectRow, error) {
	rows, err := t.effects(`SELECT `+effectColumns+` FROM effect WHERE id = ?`, id)
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return EffectRow{}, err
	}
	return rows[0], nil
}

// EffectLot returns the lot that an effect is for; empty = there is no such effect, or it is for none.
func (t *Tx) EffectLot(id string) (lot event.LotKey, err error) {
	err = t.row(`SELECT lot FROM effect WHERE id = ?`, id).Scan(&lot)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return lot, err
}

// EffectsOf returns a lot's effects, oldest first.
func (t *Tx) EffectsOf(lot event.LotKey) ([]EffectRow, error) {
	return t.effects(`SELECT `+effectColumns+` FROM effect WHERE lot = ? ORDER BY asked, id`, lot)
}

// EffectCount says how many effects of a system are in a state.
type EffectCount struct {
	System string
	State  EffectState
	Count  int64
	Oldest time.Time // Asked of the oldest
}

// CountEffects counts effects by system and state.
func (t *Tx) CountEffects() ([]EffectCount, error) {
	var all []EffectCount
	err := t.each(func(rows *sql.Rows) error {
		var c EffectCount
		var oldest string
		err := rows.Scan(&c.System, &c.State, &c.Count, &oldest)
		if err == nil {
			c.Oldest, err = parse(oldest)
		}
		all = append(all, c)
		return err
	}, `SELECT system, state, COUNT(*), MIN(asked) FROM effect GROUP BY system, state ORDER BY system, state`)
	return all, err
}

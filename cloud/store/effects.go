package store

import (
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// EffectQuery says which effects of a system are looked for.
type EffectQuery struct {
	System  string
	States  []EffectState // at least one
	Unknown bool          // only those of which a write may have happened
	Limit   int
}

// FindEffects returns effects of a system, those that restrict a lot first, then the oldest first.
func (t *Tx) FindEffects(q EffectQuery) ([]EffectRow, error) {
	query := `SELECT ` + effectColumns + ` FROM effect WHERE system = ? AND state IN (?` + strings.Repeat(", ?", len(q.States)-1) + `)`
	args := []any{q.System}
	for _, s := range q.States {
		args = append(args, s)
	}
	if q.Unknown {
		query += ` AND outcome = ?`
		args = append(args, event.Unknown)
	}
	return t.effects(query+` ORDER BY priority, asked, id LIMIT ?`, append(args, q.Limit)...)
}

// WaitingCount says how many effects of a kind wait that were asked for within one span of time.
type WaitingCount struct {
	Kind     quality.Kind
	Restrict bool // they restrict a lot
	Unknown  bool // a write of theirs may have happened
	Span     int  // index of the first of the given times that they were asked for behind; the number of times = before all
	Count    int
	Oldest   time.Time
}

// CountWaiting counts the effects of a system that wait, by kind and by the times since which they were asked for, newest
// time first. There may be very many.
func (t *Tx) CountWaiting(system string, since []time.Time) ([]WaitingCount, error) {
	span, args := "0", []any{event.Unknown}
	if len(since) > 0 {
		var cases strings.Builder
		for i, at := range since {
			cases.WriteString(" WHEN asked > ? THEN " + strconv.Itoa(i))
			args = append(args, text(at))
		}
		span = "CASE" + cases.String() + " ELSE " + strconv.Itoa(len(since)) + " END"
	}
	var all []WaitingCount
	err := t.each(func(rows *sql.Rows) error {
		var c WaitingCount
		var priority, unknown int
		var oldest string
		err := rows.Scan(&c.Kind, &priority, &unknown, &c.Span, &c.Count, &oldest)
		if err == nil {
			c.Oldest, err = parse(oldest)
		}
		c.Restrict, c.Unknown = priority == 0, unknown == 1
		all = append(all, c)
		return err
	}, `SELECT kind, priority, CASE WHEN outcome = ? THEN 1 ELSE 0 END AS doubt, `+span+` AS span, COUNT(*), MIN(asked) FROM effect
		WHERE state IN ('due', 'leased') AND system = ? GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`, append(args, system)...)
	return all, err
}

// CountStuck counts the effects of a system that a person has to see to.
func (t *Tx) CountStuck(system string) (n int, err error) {
	err = t.row(`SELECT COUNT(*) FROM effect WHERE system = ? AND state = 'exception'`, system).Scan(&n)
	return n, err
}

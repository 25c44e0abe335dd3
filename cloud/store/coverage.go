package store

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// EpochRow is one run of one agent process, as the cloud knows it.
type EpochRow struct {
	Plant     event.PlantID
	Agent     string
	Epoch     event.Epoch
	Prev      event.Prev  // empty = only announced by its successor so far
	Successor event.Epoch // empty = the newest
	Closed    bool
	Quality   int64 // last seq per lane, once closed
	Telemetry int64
	// Superseded tells that another successor of the same epoch was accepted: what this one sends is quarantined.
	Superseded bool
	FirstSeen  time.Time
}

// Closing returns the last seq of a lane; it means something once the epoch is closed.
func (r *EpochRow) Closing(lane event.Lane) int64 {
	if lane == event.LaneTelemetry {
		return r.Telemetry
	}
	return r.Quality
}

// Epoch returns an epoch, nil if it is not known.
func (t *Tx) Epoch(plant event.PlantID, agent string, epoch event.Epoch) (*EpochRow, error) {
	r := EpochRow{Plant: plant, Agent: agent, Epoch: epoch}
	var seen string
	err := t.row(`SELECT prev, successor, closed, quality, telemetry, superseded, first_seen FROM epoch
		WHERE plant = ? AND agent = ? AND epoch = ?`, plant, agent, epoch).
		Scan(&r.Prev, &r.Successor, &r.Closed, &r.Quality, &r.Telemetry, &r.Superseded, &seen)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r.FirstSeen, err = parse(seen)
	return &r, err
}

// PutEpoch stores an epoch.
func (t *Tx) PutEpoch(r *EpochRow) error {
	return t.exec(`INSERT INTO epoch (plant, agent, epoch, prev, successor, closed, quality, telemetry, superseded, first_seen)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (plant, agent, epoch) DO UPDATE SET prev = excluded.prev, successor = excluded.successor, closed = excluded.closed, quality = excluded.quality,
		telemetry = excluded.telemetry, superseded = excluded.superseded,
		whole = CASE WHEN epoch.closed = excluded.closed AND epoch.quality = excluded.quality THEN epoch.whole ELSE 0 END`,
		r.Plant, r.Agent, r.Epoch, r.Prev, r.Successor, flag(r.Closed), r.Quality, r.Telemetry, flag(r.Superseded), text(r.FirstSeen))
}

// Epochs returns an agent's epochs, the first seen first. An empty plant means all agents.
func (t *Tx) Epochs(plant event.PlantID, agent string) ([]EpochRow, error) {
	if plant != "" && agent != "" {
		return t.epochsWhere(`plant = ? AND agent = ?`, plant, agent)
	}
	return t.epochsWhere(`? IN ('', plant) AND ? IN ('', agent)`, plant, agent)
}

func (t *Tx) epochsWhere(condition string, args ...any) ([]EpochRow, error) {
	var all []EpochRow
	err := t.each(func(rows *sql.Rows) error {
		var r EpochRow
		var seen string
		err := rows.Scan(&r.Plant, &r.Agent, &r.Epoch, &r.Prev, &r.Successor, &r.Closed, &r.Quality, &r.Telemetry, &r.Superseded, &seen)
		if err == nil {
			r.FirstSeen, err = parse(seen)
		}
		all = append(all, r)
		return err
	}, `SELECT plant, agent, epoch, prev, successor, closed, quality, telemetry, superseded, first_seen FROM epoch e
		WHERE `+condition+` ORDER BY plant, agent, first_seen, epoch`, args...)
	return all, err
}

// MarkWhole notes that records of an epoch came, and whether it is known now to lack nothing up to its closing. It returns
// false if the epoch is not closed, lacks something, or was noted as whole already.
func (t *Tx) MarkWhole(plant event.PlantID, agent string, epoch event.Epoch, now time.Time) (bool, error) {
	row, err := t.Epoch(plant, agent, epoch)
	if err != nil || row == nil || !row.Closed {
		return false, err
	}
	if err := t.exec(`UPDATE epoch SET tail = ? WHERE plant = ? AND agent = ? AND epoch = ?`, text(now), plant, agent, epoch); err != nil {
		return false, err
	}
	have, err := t.Coverage(plant, agent, epoch, event.LaneQuality)
	if err != nil || len(have.Missing(row.Quality)) > 0 {
		return false, err
	}
	return t.changed(`UPDATE epoch SET whole = 1 WHERE plant = ? AND agent = ? AND epoch = ? AND whole = 0`, plant, agent, epoch)
}

// Range is a closed interval of seqs.
type Range struct{ From, To int64 }

// Ranges is a sorted list of intervals that neither overlap nor touch.
type Ranges []Range

// Add puts an interval in.
func (r Ranges) Add(from, to int64) Ranges {
	i, _ := slices.BinarySearchFunc(r, from, func(x Range, from int64) int {
		if x.To+1 < from {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(r) && r[j].From <= to+1; j++ {
		from, to = min(from, r[j].From), max(to, r[j].To)
	}
	return slices.Replace(r, i, j, Range{from, to})
}

// Unite puts other intervals in.
func (r Ranges) Unite(other Ranges) Ranges {
	for _, x := range other {
		r = r.Add(x.From, x.To)
	}
	return r
}

// Max returns the largest seq, 0 if there is none.
func (r Ranges) Max() int64 {
	if len(r) == 0 {
		return 0
	}
	return r[len(r)-1].To
}

// Contain tells whether r has every seq from one to another.
func (r Ranges) Contain(from, to int64) bool {
	return slices.ContainsFunc(r, func(x Range) bool { return x.From <= from && to <= x.To })
}

// Meets tells whether r and other have a seq in common.
func (r Ranges) Meets(other Ranges) bool {
	return slices.ContainsFunc(r, func(x Range) bool {
		return slices.ContainsFunc(other, func(y Range) bool { return x.From <= y.To && y.From <= x.To })
	})
}

// Whole returns the last seq up to which none from 1 on is missing, 0 if the first is.
func (r Ranges) Whole() int64 {
	if len(r) == 0 || r[0].From > 1 {
		return 0
	}
	return r[0].To
}

// Missing returns the intervals of [1, last] that r lacks.
func (r Ranges) Missing(last int64) Ranges {
	var missing Ranges
	next := int64(1)
	for _, x := range r {
		if next > last {
			break
		}
		if x.From > next {
			missing = append(missing, Range{next, min(x.From-1, last)})
		}
		next = max(next, x.To+1)
	}
	if next <= last {
		missing = append(missing, Range{next, last})
	}
	return missing
}

// String writes r as 1-40,45-45.
func (r Ranges) String() string {
	var b strings.Builder
	for i, x := range r {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(x.From, 10) + "-" + strconv.FormatInt(x.To, 10))
	}
	return b.String()
}

// ParseRanges reads what String writes.
func ParseRanges(s string) (Ranges, error) {
	var r Ranges
	if s == "" {
		return r, nil
	}
	for item := range strings.SplitSeq(s, ",") {
		from, to, _ := strings.Cut(item, "-")
		f, err1 := strconv.ParseInt(from, 10, 64)
		t, err2 := strconv.ParseInt(to, 10, 64)
		if err := errors.Join(err1, err2); err != nil || f < 1 || t < f {
			return nil, fmt.Errorf("seq interval %q is none", item)
		}
		r = append(r, Range{f, t})
	}
	return r, nil
}

// CoverageKey says whose seqs are covered. Coverage is kept per partition and united when read.
type CoverageKey struct {
	Plant     event.PlantID
	Agent     string
	Epoch     event.Epoch
	Lane      event.Lane
	Partition int32
}

// AddCoverage unites new seqs with those stored.
func (t *Tx) AddCoverage(k CoverageKey, more Ranges) error {
	var s string
	err := t.row(`SELECT ranges FROM coverage WHERE plant = ? AND agent = ? AND epoch = ? AND lane = ? AND part = ?`,
		k.Plant, k.Agent, k.Epoch, k.Lane, k.Partition).Scan(&s)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	r, err := ParseRanges(s)
	if err != nil {
		return err
	}
	for _, x := range more {
		r = r.Add(x.From, x.To)
	}
	return t.exec(`INSERT INTO coverage (plant, agent, epoch, lane, part, ranges) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (plant, agent, epoch, lane, part) DO UPDATE SET ranges = excluded.ranges`,
		k.Plant, k.Agent, k.Epoch, k.Lane, k.Partition, r.String())
}

// Coverage returns the seqs of an epoch and lane that arrived, over all partitions.
func (t *Tx) Coverage(plant event.PlantID, agent string, epoch event.Epoch, lane event.Lane) (Ranges, error) {
	var all Ranges
	err := t.each(func(rows *sql.Rows) error {
		var s string
		if err := rows.Scan(&s); err != nil {
			return err
		}
		r, err := ParseRanges(s)
		for _, x := range r {
			all = all.Add(x.From, x.To)
		}
		return err
	}, `SELECT ranges FROM coverage WHERE plant = ? AND agent = ? AND epoch = ? AND lane = ?`, plant, agent, epoch, lane)
	return all, err
}

package store

import (
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// PutGap stores a gap.
func (t *Tx) PutGap(g *quality.Gap) error {
	return t.put("gap", []string{"id"}, []string{"plant", "lot", "kind", "agent", "epoch", "lane", "is_open", "until", "version"}, g,
		g.ID, g.Plant, g.Lot, g.Kind, g.Agent, g.Epoch, g.Lane, flag(g.Open()), text(g.To), g.Version)
}

// Gap returns a stored gap, nil if it is not known.
func (t *Tx) Gap(id event.ObjectID) (*quality.Gap, error) {
	return optional(scanDoc[quality.Gap](t.row(`SELECT doc FROM gap WHERE id = ?`, id)))
}

// GapsAt returns what is open at a plant: gaps that were recorded, records of closed epochs that did not come, second
// gateways that nobody decided about, and records of lane quality that the cloud keeps and that name no lot.
func (t *Tx) GapsAt(plant event.PlantID) ([]quality.Gap, error) {
	return t.gapsSince(plant, time.Time{})
}

// gapsSince leaves out what was over before since. A plant may have many gaps that nobody will ever close.
func (t *Tx) gapsSince(plant event.PlantID, since time.Time) ([]quality.Gap, error) {
	stored, err := docs[quality.Gap](t, `SELECT doc FROM gap WHERE plant = ? AND is_open = 1 AND (until = '' OR until >= ?) ORDER BY id`, plant, text(since))
	if err != nil {
		return nil, err
	}
	var all []quality.Gap
	for _, g := range stored {
		lost := true
		if g.Kind == quality.GapLoss {
			covered, err := t.Coverage(g.Plant, g.Agent, g.Epoch, g.Lane)
			if err != nil {
				return nil, err
			}
			lost = !covered.Contain(g.FromSeq, g.ToSeq) // they may have come after all
			if g.To, err = t.lossKnown(&g); err != nil {
				return nil, err
			}
		}
		if lost {
			all = append(all, g)
		}
	}
	missing, err := t.missingAt(plant)
	if err != nil {
		return nil, err
	}
	kept, err := t.keptAt(plant, since)
	return slices.Concat(all, missing, kept), err
}

// lossKnown returns since when the cloud knows that records are lost and, where their epoch is over, what else came of it.
func (t *Tx) lossKnown(g *quality.Gap) (time.Time, error) {
	r, err := t.Epoch(g.Plant, g.Agent, g.Epoch)
	if err != nil || r == nil {
		return g.UpdatedAt, err
	}
	end, err := t.endOf(r)
	if err == nil && end.Before(g.UpdatedAt) {
		end = g.UpdatedAt
	}
	return end, err
}

// LossesOf returns the seqs of an epoch's lane quality that its agent declared as gone.
func (t *Tx) LossesOf(plant event.PlantID, agent string, epoch event.Epoch) (Ranges, error) {
	return t.losses(plant, agent, epoch, event.LaneQuality)
}

func (t *Tx) losses(plant event.PlantID, agent string, epoch event.Epoch, lane event.Lane) (lost Ranges, err error) {
	gaps, err := docs[quality.Gap](t, `SELECT doc FROM gap WHERE epoch = ? AND lane = ? AND plant = ? AND agent = ? AND kind = 'loss'`,
		epoch, lane, plant, agent)
	for i := range gaps {
		lost = lost.Add(gaps[i].FromSeq, gaps[i].ToSeq)
	}
	return lost, err
}

// missingAt returns what closed epochs lack, and the epochs that nobody decided about.
func (t *Tx) missingAt(plant event.PlantID) (all []quality.Gap, err error) {
	// The first condition is that of the index epoch_lacking, word for word.
	epochs, err := t.epochsWhere(`plant = ? AND (closed = 1 AND whole = 0 OR superseded = 1) AND (closed = 1 AND whole = 0 OR
		NOT EXISTS (SELECT 1 FROM epoch_decision d WHERE d.plant = e.plant AND d.agent = e.agent AND d.epoch = e.epoch AND d.decision = ?))`,
		plant, event.EpochQuarantined)
	for i := range epochs {
		r := &epochs[i]
		g := quality.Gap{Plant: r.Plant, Agent: r.Agent, Epoch: r.Epoch, Lane: event.LaneQuality, From: r.FirstSeen, UpdatedAt: r.FirstSeen}
		if r.Superseded {
			g.ID, g.Kind, g.Reason = quality.ForkID(r.Plant, r.Agent, r.Epoch), quality.GapFork, "two gateways continue one queue"
			all = append(all, g)
			continue
		}
		if g.To, err = t.endOf(r); err != nil {
			return nil, err
		}
		if !g.To.IsZero() {
			g.UpdatedAt = g.To
		}
		have, err := t.accountedFor(r.Plant, r.Agent, r.Epoch, event.LaneQuality)
		if err != nil {
			return nil, err
		}
		for _, x := range have.Missing(r.Quality) {
			m := g
			m.ID, m.Kind, m.Reason = quality.MissingID(r.Plant, r.Agent, r.Epoch, x.From, x.To), quality.GapMissing, "their epoch is closed and they did not come"
			m.FromSeq, m.ToSeq = x.From, x.To
			all = append(all, m)
		}
	}
	return all, err
}

// endOf returns since when the cloud knows that an epoch is over and what of it came: its successor, a decision against it,
// or its last record since. Zero if neither successor nor decision is known.
func (t *Tx) endOf(r *EpochRow) (time.Time, error) {
	next, err := t.Epoch(r.Plant, r.Agent, r.Successor)
	if err != nil {
		return time.Time{}, err
	}
	end := seenAt(next)
	if next == nil {
		d, err := t.EpochDecisionOf(r.Plant, r.Agent, r.Epoch)
		if err != nil || d == nil {
			return time.Time{}, err
		}
		end = d.At
	}
	var s string
	if err := t.row(`SELECT tail FROM epoch WHERE plant = ? AND agent = ? AND epoch = ?`, r.Plant, r.Agent, r.Epoch).Scan(&s); err != nil {
		return time.Time{}, err
	}
	tail, err := parse(s)
	if tail.After(end) {
		end = tail
	}
	return end, err
}

func seenAt(r *EpochRow) time.Time {
	if r == nil {
		return time.Time{}
	}
	return r.FirstSeen
}

// accountedFor returns the seqs of an epoch and lane that came, or that its agent declared as gone; of lane quality those
// that persons signed for, too.
func (t *Tx) accountedFor(plant event.PlantID, agent string, epoch event.Epoch, lane event.Lane) (Ranges, error) {
	have, err := t.Coverage(plant, agent, epoch, lane)
	if err != nil {
		return nil, err
	}
	lost, err := t.losses(plant, agent, epoch, lane)
	if err != nil || lane != event.LaneQuality {
		return have.Unite(lost), err
	}
	signed, err := t.SignedFor(plant, agent, epoch)
	return have.Unite(lost).Unite(signed), err
}

// keptAt returns the plant's records that the cloud did not understand, or that failed, and that name no lot: each may be
// the one that forbids. What a second gateway sent is decided with its epoch. Telemetry changes no lot.
func (t *Tx) keptAt(plant event.PlantID, since time.Time) (all []quality.Gap, err error) {
	rows, err := t.deadletters(`SELECT `+deadletterColumns+` FROM deadletter WHERE lot = '' AND state IN ('quarantined', 'parked') AND plant = ?
		AND code <> ? AND topic NOT LIKE '%.telemetry.v1' AND at >= ? ORDER BY id`, plant, string(problem.EpochFork), text(since))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	agents := map[string]bool{}
	if err := t.each(func(rows *sql.Rows) error {
		var a string
		err := rows.Scan(&a)
		agents[a] = true
		return err
	}, `SELECT DISTINCT agent FROM epoch WHERE plant = ?`, plant); err != nil {
		return nil, err
	}
	for i := range rows {
		r := &rows[i]
		g := quality.Gap{
			ID: quality.DeadletterID(r.ID), Kind: quality.GapQuarantine, Plant: r.Plant, From: r.told(), To: r.At, Reason: r.Cause, UpdatedAt: r.At,
		}
		if !agents[r.Key] && !strings.Contains(r.Key, ":") && event.CheckAgent(r.Key) == nil {
			g.Equipment = event.EquipmentID(r.Key)
		}
		all = append(all, g)
	}
	return all, nil
}

// told returns the time from which a record that was kept may tell of something: its own, zero where it has none that can
// be right. Its arrival says nothing about that: an agent may have had it for days.
func (r *DeadletterRow) told() time.Time {
	at, err := event.ParseTime(r.Message.Header(event.HeaderTime))
	if err != nil || !at.Before(r.At) {
		return time.Time{}
	}
	return at.Time
}

// gapsOf returns the open gaps that touch a lot and that nobody accepted for it, sorted by id.
func (t *Tx) gapsOf(f *quality.Facts) (touching []quality.Gap, err error) {
	p := quality.Presence{Lot: &f.Lot, Plants: f.Plants}
	if p.Runs, err = t.RunsOf(f.Lot.Key); err != nil {
		return nil, err
	}
	for i := range p.Runs {
		r := &p.Runs[i]
		if !r.From.IsZero() {
			continue
		}
		before, err := t.RunBefore(r)
		if err != nil {
			return nil, err
		}
		if before != nil {
			r.From = before.To
		}
	}
	named, err := docs[quality.Gap](t, `SELECT doc FROM gap WHERE lot = ? AND is_open = 1`, f.Lot.Key)
	if err != nil {
		return nil, err
	}
	touching = named
	since := p.Begin()
	for _, plant := range f.Plants {
		gaps, err := t.gapsSince(plant, since)
		if err != nil {
			return nil, err
		}
		for _, g := range gaps {
			accepted := slices.ContainsFunc(f.Acceptances, func(a quality.Acceptance) bool { return a.Accepts(&g) })
			if !accepted && g.Lot == "" && g.Touches(&p) {
				touching = append(touching, g)
			}
		}
	}
	slices.SortFunc(touching, func(a, b quality.Gap) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return touching, nil
}

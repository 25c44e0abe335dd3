package workflow

import (
	"fmt"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

type epochKey struct {
	plant event.PlantID
	agent string
	epoch event.Epoch
}

// epoch returns an epoch as stored or changed in this turn, nil if it is not known.
func (t *turn) epoch(k epochKey) (*store.EpochRow, error) {
	if row, ok := t.epochs[k]; ok {
		return row, nil
	}
	row, err := t.tx.Epoch(k.plant, k.agent, k.epoch)
	if err == nil && row != nil {
		t.remember(row)
	}
	return row, err
}

func (t *turn) remember(row *store.EpochRow) {
	if t.epochs == nil {
		t.epochs = map[epochKey]*store.EpochRow{}
	}
	t.epochs[epochKey{row.Plant, row.Agent, row.Epoch}] = row
}

func (t *turn) putEpoch(row *store.EpochRow) error {
	t.remember(row)
	t.moveEpoch(epochKey{row.Plant, row.Agent, row.Epoch})
	t.move(row.Plant, "")
	t.hear(row.Plant, row.Agent)
	return t.tx.PutEpoch(row)
}

// register makes sure that the epoch of a record is known, and its predecessor announced and closed. It returns a
// problem where the record does not belong to the chain: another gateway continues the same queue.
func (t *turn) register(plant event.PlantID, o event.Origin) (fork error, err error) {
	row, err := t.epoch(epochKey{plant, o.Agent, o.Epoch})
	if err != nil {
		return nil, fmt.Errorf("read epoch %s of %s/%s: %w", o.Epoch, plant, o.Agent, err)
	}
	if row == nil || row.Prev == "" {
		if row, err = t.admitDecided(plant, o, row); err != nil {
			return nil, fmt.Errorf("register epoch %s of %s/%s: %w", o.Epoch, plant, o.Agent, err)
		}
	}
	switch {
	case row.Superseded:
		fork = problem.New(problem.EpochFork, "agent %s/%s: epoch %s is not the one that goes on", plant, o.Agent, o.Epoch)
	case row.Closed && int64(o.Seq) > row.Closing(o.Lane):
		fork = problem.New(problem.EpochFork, "agent %s/%s: epoch %s was closed at seq %d of lane %s, this is seq %d",
			plant, o.Agent, o.Epoch, row.Closing(o.Lane), o.Lane, o.Seq)
	default:
		return nil, nil
	}
	return fork, t.speaks(plant, o.Agent)
}

// admit stores an epoch that sends its first record; announced is its row if its successor came first.
func (t *turn) admit(plant event.PlantID, o event.Origin, announced *store.EpochRow) (*store.EpochRow, error) {
	row := &store.EpochRow{Plant: plant, Agent: o.Agent, Epoch: o.Epoch, Prev: o.Prev, FirstSeen: t.now}
	known, err := t.tx.Epochs(plant, o.Agent)
	if err != nil {
		return nil, err
	}
	if announced != nil {
		*row = *announced
		row.Prev = o.Prev
	}
	prev, last, ok := o.Prev.Parts()
	if !ok {
		return row, t.admitFirst(row, known)
	}
	before, err := t.epoch(epochKey{plant, o.Agent, prev})
	if err != nil {
		return nil, err
	}
	aside, err := t.aside(before)
	if err != nil {
		return nil, err
	}
	if lost := aside && !before.Superseded; !lost { // what was decided against stays closed where it is
		if err := t.closeEpoch(epochKey{plant, o.Agent, prev}, row, last); err != nil {
			return nil, err
		}
	}
	if err := t.putEpoch(row); err != nil || !aside {
		return row, err
	}
	// What follows a gateway that was set aside is set aside with it: a restart decides nothing.
	if err := t.supersede(epochKey{plant, o.Agent, o.Epoch}); err != nil {
		return nil, err
	}
	return row, t.inherit(before, row)
}

// admitFirst stores an epoch without predecessor. Where the agent has epochs that do not follow from it, it is a gateway
// without memory: a person says whether it replaces the other.
func (t *turn) admitFirst(row *store.EpochRow, known []store.EpochRow) error {
	line := map[event.Epoch]bool{row.Epoch: true}
	for next := row.Successor; next != "" && !line[next]; {
		line[next] = true
		follower, err := t.epoch(epochKey{row.Plant, row.Agent, next})
		if err != nil {
			return err
		}
		if next = ""; follower != nil {
			next = follower.Successor
		}
	}
	if err := t.putEpoch(row); err != nil {
		return err
	}
	for i := range known {
		if !line[known[i].Epoch] {
			return t.supersede(epochKey{row.Plant, row.Agent, row.Epoch})
		}
	}
	return nil
}

// closeEpoch closes the predecessor of next at the stated seqs, or further where more has arrived. Of two successors the
// newer is accepted.
func (t *turn) closeEpoch(k epochKey, next *store.EpochRow, last map[event.Lane]uint64) error {
	prev, err := t.epoch(k)
	if err != nil {
		return err
	}
	if prev == nil {
		prev = &store.EpochRow{Plant: k.plant, Agent: k.agent, Epoch: k.epoch, FirstSeen: t.now}
	}
	if loser := prev.Successor; loser != "" && loser != next.Epoch {
		if err := t.supersede(epochKey{k.plant, k.agent, loser}); err != nil {
			return err
		}
		t.engine.log.Error().Str("plant", string(k.plant)).Str("agent", k.agent).Str("epoch", string(next.Epoch)).
			Str("loser", string(loser)).Str("error_code", string(problem.EpochFork)).Msg("two gateways continue one queue")
	}
	prev.Successor, prev.Closed = next.Epoch, true
	quality, err := t.closing(k, event.LaneQuality, last)
	if err != nil {
		return err
	}
	telemetry, err := t.closing(k, event.LaneTelemetry, last)
	if err != nil {
		return err
	}
	// What one successor has stated stays missing, also where another one knows less.
	prev.Quality, prev.Telemetry = max(prev.Quality, quality), max(prev.Telemetry, telemetry)
	return t.putEpoch(prev)
}

func (t *turn) closing(k epochKey, lane event.Lane, last map[event.Lane]uint64) (int64, error) {
	covered, err := t.tx.Coverage(k.plant, k.agent, k.epoch, lane)
	if err != nil {
		return 0, err
	}
	closing := max(int64(last[lane]), covered.Max())
	heads, err := t.tx.HeadsOf(k.plant, k.agent)
	if err != nil {
		return 0, err
	}
	for i := range heads {
		closing = max(closing, heads[i].Last(k.epoch, lane))
	}
	for key, r := range t.coverage { // of this turn, not stored yet
		if key.Plant == k.plant && key.Agent == k.agent && key.Epoch == k.epoch && key.Lane == lane {
			closing = max(closing, r.Max())
		}
	}
	return closing, nil
}

// farthest bounds how far back along the chain of epochs an event is looked for.
const farthest = 1000

// before tells whether an event comes before a place of the same agent: of a lower seq, or of an epoch that the chain of
// the place's epoch leads back to. What the chain does not tell yet is taken as in order: within a partition it is.
func (t *turn) before(e *event.Event, epoch event.Epoch, seq int64) (bool, error) {
	if e.Origin.Epoch == epoch {
		return int64(e.Origin.Seq) < seq, nil
	}
	k := epochKey{e.Plant, e.Origin.Agent, epoch}
	for range farthest {
		row, err := t.epoch(k)
		if err != nil || row == nil {
			return false, err
		}
		prev, _, ok := row.Prev.Parts()
		if !ok {
			// A gateway without memory comes behind the one that it replaced.
			if prev, err = t.tx.EpochBefore(k.plant, k.agent, k.epoch); err != nil || prev == "" {
				return false, err
			}
		}
		if prev == e.Origin.Epoch {
			return true, nil
		}
		k.epoch = prev
	}
	return false, nil
}

// cover notes that a seq arrived.
func (t *turn) cover(plant event.PlantID, o event.Origin, partition int32) {
	if t.coverage == nil {
		t.coverage = map[store.CoverageKey]store.Ranges{}
	}
	k := store.CoverageKey{Plant: plant, Agent: o.Agent, Epoch: o.Epoch, Lane: o.Lane, Partition: partition}
	t.coverage[k] = t.coverage[k].Add(int64(o.Seq), int64(o.Seq))
	if o.Lane == event.LaneQuality {
		t.hear(plant, o.Agent)
		t.moveEpoch(epochKey{plant, o.Agent, o.Epoch})
	}
}

// moveEpoch has an epoch looked at, whether it is whole now.
func (t *turn) moveEpoch(k epochKey) {
	if t.epochsMoved == nil {
		t.epochsMoved = map[epochKey]bool{}
	}
	t.epochsMoved[k] = true
}

func (t *turn) flushCoverage() error {
	for k, r := range t.coverage {
		if err := t.tx.AddCoverage(k, r); err != nil {
			return fmt.Errorf("store coverage of %s/%s: %w", k.Plant, k.Agent, err)
		}
	}
	return nil
}

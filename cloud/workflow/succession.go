package workflow

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// ActEpochDecide is the act by which a person decides which of two gateways goes on. Make it by [DecideEpoch].
const ActEpochDecide = "epoch.decide"

// Particulars of the act.
const (
	detailPlant    = "plant"
	detailAgent    = "agent"
	detailEpoch    = "epoch"
	detailDecision = "decision"
)

// causeDiskLost is why records of an epoch that was decided against will not come.
const causeDiskLost = "disk_lost"

// DecideEpoch returns the act of a decision about an epoch; who decides and why is for the caller to add. Accepting one
// closes those that went on instead of it where they are, and applies what was kept of it in order; until all of that
// is applied, what arrives of it is kept, too.
func DecideEpoch(plant event.PlantID, agent string, epoch event.Epoch, decision event.EpochDecision) *event.ActRecorded {
	return &event.ActRecorded{
		Act: ActEpochDecide, About: fmt.Sprintf("%s/%s/%s", plant, agent, epoch),
		Detail: map[string]string{
			detailPlant: string(plant), detailAgent: agent, detailEpoch: string(epoch), detailDecision: string(decision),
		},
	}
}

// act does what an act means to the engine itself. An agent decides nothing: only the cloud's door has acts that do.
func (t *turn) act(in *Input, e *event.Event, d *event.ActRecorded) error {
	if in.Event == nil {
		return nil
	}
	s := t.succession(in, e, d)
	switch d.Act {
	case ActEpochDecide:
		return s.decide(event.Epoch(d.Detail[detailEpoch]), event.EpochDecision(d.Detail[detailDecision]))
	case ActAgentRetire:
		return s.retire(d)
	case ActDeadletterDrop:
		return t.dropLetter(in, e, d)
	case ActDispatchOff:
		return t.switchOff(in, e, d)
	case ActDispatchOn:
		return t.switchOn(d)
	}
	return nil
}

// succession is a person's decision about the epochs of one agent.
type succession struct {
	*turn
	in     *Input
	event  *event.Event
	reason string
	plant  event.PlantID
	agent  string
}

func (t *turn) succession(in *Input, e *event.Event, d *event.ActRecorded) *succession {
	return &succession{turn: t, in: in, event: e, reason: d.Reason, plant: event.PlantID(d.Detail[detailPlant]), agent: d.Detail[detailAgent]}
}

func (s *succession) of(epoch event.Epoch) (*store.EpochRow, error) {
	return s.epoch(epochKey{s.plant, s.agent, epoch})
}

func (s *succession) decide(epoch event.Epoch, decision event.EpochDecision) error {
	row, err := s.of(epoch)
	if err != nil {
		return err
	}
	if row == nil {
		return problem.New(problem.ObjectHidden, "agent %s/%s has no epoch %s", s.plant, s.agent, epoch)
	}
	was, err := s.tx.EpochDecisionOf(s.plant, s.agent, epoch)
	switch {
	case err != nil:
		return err
	case !row.Superseded && was != nil && was.Decision == event.EpochQuarantined:
		return problem.New(problem.RuleRefused, "%s decided against epoch %s at %s, which closed it: start its agent again, and accept the epoch that it then opens",
			was.Principal, epoch, event.At(was.At))
	case !row.Superseded:
		return problem.New(problem.RuleRefused, "epoch %s of %s/%s goes on already; to set it aside, accept the other one", epoch, s.plant, s.agent)
	case was != nil && was.Decision == event.EpochAccepted:
		return problem.New(problem.RuleRefused, "%s accepted epoch %s at %s; what was kept of it is being applied", was.Principal, epoch, event.At(was.At))
	}
	line, err := s.line(row)
	switch {
	case err != nil:
		return err
	case decision == event.EpochAccepted:
		return s.accept(line)
	case decision == event.EpochQuarantined:
		return s.note(line, event.EpochQuarantined)
	}
	return problem.New(problem.Usage, "decision %q about an epoch: want %s or %s", decision, event.EpochAccepted, event.EpochQuarantined)
}

// line returns the epochs that stand and fall together with one that was set aside: those before it in the chain that
// were set aside, too, and those behind it. The first comes first.
func (s *succession) line(row *store.EpochRow) ([]*store.EpochRow, error) {
	line := []*store.EpochRow{row}
	for range farthest {
		prev, _, ok := line[0].Prev.Parts()
		if !ok {
			break
		}
		before, err := s.of(prev)
		if err != nil {
			return nil, err
		}
		aside, err := s.aside(before)
		if err != nil {
			return nil, err
		}
		if !aside {
			break
		}
		line = slices.Insert(line, 0, before)
	}
	for range farthest {
		next, err := s.of(line[len(line)-1].Successor)
		if err != nil {
			return nil, err
		}
		if next == nil || !next.Superseded {
			break
		}
		line = append(line, next)
	}
	return line, nil
}

// note keeps the decision about each epoch of a line.
func (s *succession) note(line []*store.EpochRow, decision event.EpochDecision) error {
	for _, row := range line {
		if err := s.tx.PutEpochDecision(&store.EpochDecisionRow{
			Plant: s.plant, Agent: s.agent, Epoch: row.Epoch, Decision: decision, Principal: principalOf(s.in, s.event), Reason: s.reason, At: s.now,
		}); err != nil {
			return fmt.Errorf("store decision about epoch %s: %w", row.Epoch, err)
		}
	}
	s.decided(s.plant, s.agent)
	return nil
}

// accept puts a line in the place of those that went on instead of it.
func (s *succession) accept(line []*store.EpochRow) error {
	losers, err := s.losers(line)
	if err != nil {
		return err
	}
	for _, row := range losers {
		if err := s.lose(row); err != nil {
			return err
		}
	}
	if err := s.note(losers, event.EpochQuarantined); err != nil {
		return err
	}
	if err := s.link(line, losers); err != nil {
		return err
	}
	for _, row := range line {
		row.Superseded = true // until what was kept of them is applied
		if err := s.putEpoch(row); err != nil {
			return err
		}
	}
	if err := s.note(line, event.EpochAccepted); err != nil {
		return err
	}
	if err := s.back(); err != nil {
		return err
	}
	s.wantsTimers = true
	return s.tx.PutTimer(quality.Timer{Name: timerRedrive, Object: redriveObject(s.plant, s.agent, string(s.event.ID), 0), Due: s.now})
}

// losers returns the epochs that the line takes the place of: the open ones, and what led to them since the fork.
func (s *succession) losers(line []*store.EpochRow) ([]*store.EpochRow, error) {
	all, err := s.tx.Epochs(s.plant, s.agent)
	if err != nil {
		return nil, err
	}
	fork, _, _ := line[0].Prev.Parts()
	var losers []*store.EpochRow
	for i := range all {
		if all[i].Superseded || all[i].Closed || slices.ContainsFunc(line, func(r *store.EpochRow) bool { return r.Epoch == all[i].Epoch }) {
			continue
		}
		tip, err := s.of(all[i].Epoch)
		if err != nil {
			return nil, err
		}
		since, err := s.since(tip, fork)
		if err != nil {
			return nil, err
		}
		losers = append(losers, since...)
	}
	return losers, nil
}

// since returns the epochs from behind fork up to tip; tip alone, where it does not come from there.
func (s *succession) since(tip *store.EpochRow, fork event.Epoch) ([]*store.EpochRow, error) {
	way := []*store.EpochRow{tip}
	for range farthest {
		prev, _, ok := way[0].Prev.Parts()
		if !ok {
			break
		}
		if prev == fork {
			return way, nil
		}
		before, err := s.of(prev)
		if err != nil {
			return nil, err
		}
		if before == nil {
			break
		}
		way = slices.Insert(way, 0, before)
	}
	return []*store.EpochRow{tip}, nil
}

// lost is the ledger's record of an epoch that was decided against.
type lost struct {
	store.EpochRow
	Missing string `json:"missing,omitempty"` // seqs of lane quality that never came
	Cause   string `json:"cause,omitempty"`
}

// lose closes an epoch at what of it has arrived. What is missing below stays a gap.
func (s *succession) lose(row *store.EpochRow) error {
	was, k := *row, epochKey{s.plant, s.agent, row.Epoch}
	if !row.Closed {
		row.Closed = true
		for lane, last := range map[event.Lane]*int64{event.LaneQuality: &row.Quality, event.LaneTelemetry: &row.Telemetry} {
			closing, err := s.closing(k, lane, nil)
			if err != nil {
				return err
			}
			*last = max(*last, closing)
		}
		if err := s.putEpoch(row); err != nil {
			return err
		}
	}
	covered, err := s.tx.Coverage(s.plant, s.agent, row.Epoch, event.LaneQuality)
	if err != nil {
		return err
	}
	now := lost{EpochRow: *row, Missing: covered.Missing(row.Quality).String()}
	if now.Missing != "" {
		now.Cause = causeDiskLost
	}
	return s.enter(s.in, s.event, fmt.Sprintf("epoch:%s/%s/%s#%s", s.plant, s.agent, row.Epoch, s.event.ID), 1, "", was, now)
}

// link makes the line a part of the agent's chain.
func (s *succession) link(line, losers []*store.EpochRow) error {
	for _, row := range line {
		prev, last, ok := row.Prev.Parts()
		if !ok {
			// It replaces what went on: its epochs come behind that.
			if len(losers) == 0 {
				continue
			}
			before := losers[len(losers)-1]
			before.Successor = row.Epoch
			if err := s.putEpoch(before); err != nil {
				return err
			}
			continue
		}
		before, err := s.of(prev)
		if err != nil {
			return err
		}
		if before == nil {
			continue
		}
		before.Successor = "" // the one that it had is a loser
		if err := s.closeEpoch(epochKey{s.plant, s.agent, prev}, row, last); err != nil {
			return err
		}
	}
	return nil
}

// aside tells whether an epoch was set aside, or decided against; nil was not.
func (t *turn) aside(row *store.EpochRow) (bool, error) {
	if row == nil || row.Superseded {
		return row != nil, nil
	}
	d, err := t.tx.EpochDecisionOf(row.Plant, row.Agent, row.Epoch)
	return d != nil && d.Decision == event.EpochQuarantined, err
}

// supersede sets an epoch and all that follow it aside until a person decides.
func (t *turn) supersede(k epochKey) error {
	for range farthest {
		row, err := t.epoch(k)
		if err != nil || row == nil {
			return err
		}
		row.Superseded = true
		if err := t.putEpoch(row); err != nil {
			return err
		}
		if err := t.tx.DropEpochDecision(k.plant, k.agent, k.epoch); err != nil {
			return err
		}
		if k.epoch = row.Successor; k.epoch == "" {
			return nil
		}
	}
	return nil
}

// admitDecided admits an epoch that sends its first record. Where persons decided about it before that, as they have where
// the database was rebuilt and what was kept of it is gone, their decisions stand: an epoch that they accepted goes on.
func (t *turn) admitDecided(plant event.PlantID, o event.Origin, announced *store.EpochRow) (*store.EpochRow, error) {
	if announced == nil {
		return t.admit(plant, o, nil)
	}
	stand, err := t.tx.EpochDecisions(plant, o.Agent)
	if err != nil {
		return nil, err
	}
	_, decided := stand[o.Epoch]
	waits := announced.Superseded // for what was kept of it to be applied
	row, err := t.admit(plant, o, announced)
	if err != nil || !decided {
		return row, err
	}
	for _, epoch := range slices.Sorted(maps.Keys(stand)) {
		d := stand[epoch]
		if err := t.tx.PutEpochDecision(&d); err != nil {
			return nil, err
		}
	}
	row.Superseded = waits
	return row, t.putEpoch(row)
}

// decided has the agent told, and the lots of its plant looked at: what a second gateway sent is a gap until then.
func (t *turn) decided(plant event.PlantID, agent string) {
	t.hear(plant, agent)
	t.move(plant, "")
}

// inherit passes a decision against an epoch on to the one that follows it: the matter is decided, for its gateway.
func (t *turn) inherit(from, to *store.EpochRow) error {
	d, err := t.tx.EpochDecisionOf(from.Plant, from.Agent, from.Epoch)
	if err != nil || d == nil || d.Decision != event.EpochQuarantined {
		return err
	}
	d.Epoch = to.Epoch
	t.decided(to.Plant, to.Agent)
	return t.tx.PutEpochDecision(d)
}

// timerRedrive works through the records that were kept of accepted epochs, one page at a time.
const (
	timerRedrive = "epoch.redrive"
	redrivePage  = 200
)

// redriveObject names one page of one decision's redrive.
func redriveObject(plant event.PlantID, agent, decision string, after int64) string {
	return fmt.Sprintf("%s#%s#%s#%d", plant, agent, decision, after)
}

// redriveEpochs applies one page of what was kept of an agent's accepted epochs, in the order in which it came, and goes
// on behind it. Behind the last one the epochs are like any others.
func (t *turn) redriveEpochs(d *event.TimerFired) error {
	parts := strings.SplitN(d.Object, "#", 4)
	if len(parts) != 4 {
		return fmt.Errorf("timer of a redrive names %q", d.Object)
	}
	plant, agent := event.PlantID(parts[0]), parts[1]
	after, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil {
		return fmt.Errorf("timer of a redrive names %q: %w", d.Object, err)
	}
	decisions, err := t.accepted(plant, agent)
	if err != nil {
		return err
	}
	rows, err := t.tx.QuarantinedOf(plant, string(problem.EpochFork), after, redrivePage)
	if err != nil {
		return err
	}
	for i := range rows {
		decision, ours := decisions[event.Epoch(rows[i].Message.Header(event.HeaderEpoch))]
		if !ours || rows[i].Message.Header(event.HeaderAgent) != agent {
			continue
		}
		if err := t.redriveOne(&rows[i], &decision); err != nil {
			return err
		}
	}
	if len(rows) == redrivePage {
		t.wantsTimers = true
		return t.tx.PutTimer(quality.Timer{Name: timerRedrive, Object: redriveObject(plant, agent, parts[2], rows[len(rows)-1].ID), Due: t.now})
	}
	for epoch := range decisions {
		row, err := t.epoch(epochKey{plant, agent, epoch})
		if err != nil {
			return err
		}
		row.Superseded = false
		if err := t.putEpoch(row); err != nil {
			return err
		}
	}
	return nil
}

// accepted returns the decisions of accepted epochs whose records are still kept.
func (t *turn) accepted(plant event.PlantID, agent string) (map[event.Epoch]store.EpochDecisionRow, error) {
	decisions, err := t.tx.EpochDecisions(plant, agent)
	if err != nil {
		return nil, err
	}
	for epoch, d := range decisions {
		row, err := t.epoch(epochKey{plant, agent, epoch})
		if err != nil {
			return nil, err
		}
		if d.Decision != event.EpochAccepted || row == nil || !row.Superseded {
			delete(decisions, epoch)
		}
	}
	return decisions, nil
}

// redriveOne applies a kept record, or parks it behind one of its key that failed.
func (t *turn) redriveOne(row *store.DeadletterRow, d *store.EpochDecisionRow) error {
	if t.parked == nil {
		var err error
		if t.parked, err = t.tx.ParkedKeys(); err != nil {
			return err
		}
	}
	if t.parked[row.Key] {
		_, err := t.stay(row, problem.New(problem.EventParked, waitsBehind, row.EventID), store.Parked)
		return err
	}
	r, err := t.again(row, d.Principal, d.Reason)
	if r.Outcome == Parked {
		t.parked[row.Key] = true
	}
	return err
}

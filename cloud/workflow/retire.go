package workflow

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// ActAgentRetire is the act by which an agent goes out of service. Make it by [RetireAgent].
const ActAgentRetire = "agent.retire"

// Particulars of the act, besides plant and agent.
const (
	detailAnswered = "answered"
	detailMissing  = "missing"
)

// Rest is what is not known of an agent that is to be retired. Nothing is wanting of the zero Rest but its answer.
type Rest struct {
	Answered bool   // the question that was put to it at its retirement: all that it then had on disk is here
	Missing  string // seqs of lane quality that it stated or that its chain tells of, and that never came; empty = none
}

// Whole tells whether the agent goes without leaving anything open.
func (r Rest) Whole() bool { return r.Answered && r.Missing == "" }

// Words says what persons answer for who retire the agent all the same.
func (r Rest) Words() string {
	var words []string
	if !r.Answered {
		words = append(words, "it has not answered: what is on its disk and was never stated is not known")
	}
	if r.Missing != "" {
		words = append(words, "records that never came: "+r.Missing)
	}
	return strings.Join(words, "; ")
}

// RetireAgent returns the act of retiring an agent; who retires it and why is for the caller to add, with the signatures of
// those who answer for the rest. Its epochs are closed where they are. It is no longer in question for releases; what it
// sends later is kept, urgent records apply, and if it starts again its epochs wait until a person accepts them.
func RetireAgent(plant event.PlantID, agent string, rest Rest) *event.ActRecorded {
	return &event.ActRecorded{
		Act: ActAgentRetire, About: string(plant) + "/" + agent,
		Detail: map[string]string{
			detailPlant: string(plant), detailAgent: agent, detailAnswered: fmt.Sprint(rest.Answered), detailMissing: rest.Missing,
		},
	}
}

// RestOf returns what was not known of an agent when it was retired.
func RestOf(d *event.ActRecorded) Rest {
	return Rest{Answered: d.Detail[detailAnswered] == "true", Missing: d.Detail[detailMissing]}
}

// Question asks an agent by a new barrier, for whoever wants to know that all that it has on disk is here.
func (e *Engine) Question(ctx context.Context, plant event.PlantID, agent string) (barrier int64, err error) {
	t := &turn{}
	err = e.commit(ctx, t, func() error {
		if _, err := t.inService(plant, agent); err != nil {
			return err
		}
		if barrier, err = t.barrier(); err != nil {
			return err
		}
		return t.question(plant, agent, barrier)
	})
	return barrier, err
}

// Missing returns the seqs that would be missing for good if an agent were retired now, as [Rest.Missing] has them.
func (e *Engine) Missing(ctx context.Context, plant event.PlantID, agent string) (missing string, err error) {
	err = e.store.View(ctx, func(tx *store.Tx) error {
		t := &turn{engine: e, tx: tx, now: e.now()}
		epochs, err := t.inService(plant, agent)
		if err != nil {
			return err
		}
		rest, err := t.missing(epochs)
		missing = missingText(rest)
		return err
	})
	return missing, err
}

// inService returns the epochs that count of an agent that can be retired.
func (t *turn) inService(plant event.PlantID, agent string) ([]store.EpochRow, error) {
	all, err := t.tx.Epochs(plant, agent)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, problem.New(problem.ObjectHidden, "there is no agent %.60s/%.60s", plant, agent)
	}
	retired, err := t.tx.Retired(plant, agent)
	if err != nil {
		return nil, err
	}
	if retired != nil {
		return nil, problem.New(problem.RuleRefused, "agent %s/%s was retired by %s at %s", plant, agent, retired.Principal, event.At(retired.At))
	}
	decisions, err := t.tx.EpochDecisions(plant, agent)
	if err != nil {
		return nil, err
	}
	var counting []store.EpochRow
	for i := range all {
		d, decided := decisions[all[i].Epoch]
		switch {
		case all[i].Superseded && !decided:
			return nil, problem.New(problem.RuleRefused, "two gateways claim to be %s/%s: say first which one goes on, by agents epoch decide", plant, agent)
		case all[i].Superseded && d.Decision == event.EpochAccepted:
			return nil, problem.New(problem.RuleRefused, "what was kept of epoch %s of %s/%s is being applied: retire it when that is done", all[i].Epoch, plant, agent)
		case !all[i].Superseded:
			counting = append(counting, all[i])
		}
	}
	return counting, nil
}

// lacking is what an epoch lacks.
type lacking struct {
	epoch  event.Epoch
	ranges store.Ranges
}

// missing returns what epochs lack up to their end, or up to what is known to exist of those that are open.
func (t *turn) missing(epochs []store.EpochRow) (all []lacking, err error) {
	for i := range epochs {
		r := &epochs[i]
		last := r.Quality
		if !r.Closed {
			if last, err = t.closing(epochKey{r.Plant, r.Agent, r.Epoch}, event.LaneQuality, nil); err != nil {
				return nil, err
			}
		}
		have, err := t.tx.AccountFor(r.Plant, r.Agent, r.Epoch)
		if err != nil {
			return nil, err
		}
		if lack := have.Missing(last); len(lack) > 0 {
			all = append(all, lacking{r.Epoch, lack})
		}
	}
	return all, nil
}

func missingText(rest []lacking) string {
	words := make([]string, len(rest))
	for i, l := range rest {
		words[i] = fmt.Sprintf("%s of epoch %s", l.ranges, l.epoch)
	}
	return strings.Join(words, "; ")
}

// retire takes the agent out of service. Without signatures it has to have answered, and nothing may be missing.
func (s *succession) retire(d *event.ActRecorded) error {
	epochs, err := s.inService(s.plant, s.agent)
	if s.fold && problem.CodeOf(err) == problem.ObjectHidden {
		err = nil // of an agent none of whose records are in the inbox nothing is left
	}
	if err != nil {
		return err
	}
	lacks, err := s.missing(epochs)
	if err != nil {
		return err
	}
	rest := RestOf(d)
	switch now := missingText(lacks); {
	case s.fold: // what was wanting then was answered for
	case rest.Missing != now:
		return problem.New(problem.StateMoved, "agent %s/%s lacks %q by now, the request is about %q", s.plant, s.agent, now, rest.Missing)
	case !rest.Whole() && len(SignersOf(d)) == 0:
		return RestRefused(s.plant, s.agent, rest)
	}
	for _, l := range lacks {
		if err := s.tx.PutSignedFor(s.plant, s.agent, l.epoch, l.ranges); err != nil {
			return fmt.Errorf("store what was signed for of epoch %s: %w", l.epoch, err)
		}
	}
	var last []*store.EpochRow
	for i := range epochs {
		if epochs[i].Closed && epochs[i].Successor != "" {
			continue
		}
		row, err := s.of(epochs[i].Epoch)
		if err != nil {
			return err
		}
		if err := s.lose(row); err != nil {
			return err
		}
		last = append(last, row)
	}
	if err := s.tx.PutRetired(&store.RetiredRow{
		Plant: s.plant, Agent: s.agent, Principal: principalOf(s.in, s.event), Reason: s.reason, At: s.now,
	}); err != nil {
		return fmt.Errorf("store retirement of %s/%s: %w", s.plant, s.agent, err)
	}
	if err := s.note(last, event.EpochQuarantined); err != nil {
		return err
	}
	row, err := s.tx.AgentRow(s.plant, s.agent)
	if err != nil {
		return err
	}
	row.Asked = 0 // nobody waits for its answer any more
	return s.inform(&row)
}

// RestRefused says why an agent is not retired without signatures, and how it can be.
func RestRefused(plant event.PlantID, agent string, rest Rest) error {
	return problem.New(problem.RuleRefused, "agent %s/%s is not known whole: %s; let it run until all has come, or have two persons sign for the rest",
		plant, agent, rest.Words())
}

// back puts an agent into service again.
func (s *succession) back() error {
	if err := s.tx.DropRetired(s.plant, s.agent); err != nil {
		return err
	}
	return s.clear(AlertRetired, string(s.plant)+"/"+s.agent)
}

// speaks raises an alert where an agent that was retired sends.
func (t *turn) speaks(plant event.PlantID, agent string) error {
	retired, err := t.tx.Retired(plant, agent)
	if err != nil || retired == nil {
		return err
	}
	return t.raise(AlertRetired, string(plant)+"/"+agent,
		fmt.Sprintf("%s retired it at %s, and it sends: its records are kept and not applied, but for what forbids", retired.Principal, event.At(retired.At)))
}

// detailSignature begins the names of particulars that are signatures, each as JSON.
const detailSignature = "signature."

// SignersOf returns who signed an act, sorted.
func SignersOf(d *event.ActRecorded) (names []string) {
	for key := range d.Detail {
		if name, ok := strings.CutPrefix(key, detailSignature); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// AddSignature adds a signature to an act, as JSON. What it covers is for the caller to see to.
func AddSignature(d *event.ActRecorded, by string, signature []byte) {
	d.Detail[detailSignature+by] = string(signature)
}

var retiredDesc = prometheus.NewDesc("holdfast_cloud_agents_retired", "Agents that are out of service.", []string{"plant"}, nil)

// retired shows the agents out of service when it is asked.
type retired struct {
	store  *store.Store
	plants []event.PlantID // configured ones, which show 0
}

// Describe implements prometheus.Collector.
func (r *retired) Describe(ch chan<- *prometheus.Desc) { ch <- retiredDesc }

// Collect implements prometheus.Collector.
func (r *retired) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	counts := map[event.PlantID]int64{}
	if err := r.store.View(ctx, func(tx *store.Tx) (err error) {
		counts, err = tx.CountRetired()
		return err
	}); err != nil {
		return
	}
	for _, plant := range r.plants {
		counts[plant] += 0
	}
	for plant, n := range counts {
		ch <- prometheus.MustNewConstMetric(retiredDesc, prometheus.GaugeValue, float64(n), string(plant))
	}
}

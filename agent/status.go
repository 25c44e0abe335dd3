package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/mapping"
	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// operator is what a person sees and does at the agent by its local socket.
type operator struct {
	agent     *Agent
	replaying sync.Mutex // held while a replay runs: two would share the link and the blame
}

var _ localapi.Agent = (*operator)(nil)

// Status implements [localapi.Agent].
func (o *operator) Status() localapi.Status {
	a := o.agent
	f := a.inForce()
	s := localapi.Status{
		Format: localapi.Format, Plant: a.cfg.Plant, Agent: a.cfg.Agent, Build: cli.BuildVersion().Version, Epoch: string(a.epoch),
		Config: f.hash, ConfigSince: f.since, ConfigRefused: a.refused.Load().shown(), UpSince: a.started, AsOf: a.now(), Uplink: localapi.NewUplink(a.uplink.Status()),
		Downlink: localapi.NewDownlink(a.downlink.Status(), a.superseded()), Lanes: o.Queue().Lanes,
		Sources: []localapi.Source{}, Ending: []localapi.Certificate{}, Arrival: append([]string{}, f.mapper.Arrival()...), Mixed: f.cfg.mixed(),
		Quarantine: localapi.Quarantine{Count: total(a.pipeline.metrics.quarantined), Newest: []localapi.Quarantined{}},
	}
	for _, src := range f.sources {
		s.Sources = append(s.Sources, localapi.NewSource(src.Status()))
	}
	if all, err := a.certificates(s.AsOf); err == nil { // else their sources are refused and say why
		s.Ending = ending(all, s.AsOf)
	}
	for _, q := range a.pipeline.quarantined() {
		s.Quarantine.Newest = append(s.Quarantine.Newest, localapi.Quarantined(q))
	}
	return s
}

// Queue implements [localapi.Agent].
func (o *operator) Queue() localapi.Queue {
	a := o.agent
	q := localapi.Queue{Format: localapi.Format, Plant: a.cfg.Plant, Agent: a.cfg.Agent, AsOf: a.now()}
	for _, x := range a.lanes() {
		q.Lanes = append(q.Lanes, localapi.NewLane(x.lane.Stat()))
	}
	return q
}

// total sums the counters of a collector over their labels.
func total(c prometheus.Collector) uint64 {
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		return 0 // impossible for one collector of counters
	}
	var sum float64
	for _, f := range families {
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
	}
	return uint64(sum)
}

// hash tells configurations apart: by what is in force, defaults, environment and tables included, not by how it is written.
func (c *Config) hash() string {
	text, err := json.Marshal(c)
	if err != nil {
		return "" // a configuration that came from YAML can be written as JSON
	}
	if len(c.tables) > 0 {
		tables, _ := json.Marshal(c.tables) // texts by name
		text = append(text, tables...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// mixed returns the sources that read topics of urgent events beside others.
func (c *Config) mixed() []localapi.Mixed {
	mixed := []localapi.Mixed{}
	for _, s := range c.Sources {
		m := localapi.Mixed{Source: s.ID}
		for topic, urgent := range c.topics(s) {
			if urgent {
				m.Urgent = append(m.Urgent, topic)
			} else {
				m.Others = append(m.Others, topic)
			}
		}
		if len(m.Urgent) > 0 && len(m.Others) > 0 {
			slices.Sort(m.Urgent)
			slices.Sort(m.Others)
			mixed = append(mixed, m)
		}
	}
	return mixed
}

// topics returns the topic patterns that mappings take from a source, and whether one of them can yield an urgent event.
func (c *Config) topics(s Source) map[string]bool {
	all := map[string]bool{}
	for _, m := range c.Mappings {
		spec, _ := event.Lookup(event.Type(m.Event.Type))
		if m.From.Source == s.ID || m.From.Source == "" && s.reads(m.From) {
			all[m.From.Topic] = all[m.From.Topic] || spec.Urgent
		}
	}
	return all
}

// reads tells whether a subscription of the source may bring a topic that the mapping takes.
func (s *Source) reads(from mapping.From) bool {
	return s.MQTT != nil && slices.ContainsFunc(s.MQTT.Subscribe, func(filter string) bool {
		return meet(strings.Split(filter, "/"), strings.Split(from.Topic, "/"))
	})
}

// meet tells whether a topic exists that a filter and a pattern both take, level by level.
func meet(filter, pattern []string) bool {
	for i := range max(len(filter), len(pattern)) {
		switch {
		case i < len(filter) && filter[i] == "#", i < len(pattern) && pattern[i] == "#":
			return true
		case i >= len(filter) || i >= len(pattern):
			return false
		case filter[i] != "+" && !strings.HasPrefix(pattern[i], "{") && pattern[i] != "+" && filter[i] != pattern[i]:
			return false
		}
	}
	return true
}

// Inspect returns how the queue of a stopped agent stands, from its files, which are not changed. Where the agent runs
// after all, its error has the code [problem.QueueLocked].
func Inspect(ctx context.Context, cfg Config) (localapi.Queue, error) {
	a := New(cfg, nil, zerolog.Nop())
	q := localapi.Queue{Format: localapi.Format, Plant: cfg.Plant, Agent: cfg.Agent, AsOf: a.now()}
	for _, lane := range []event.Lane{event.LaneQuality, event.LaneTelemetry} {
		stat, damages, err := queue.Inspect(ctx, a.laneConfig(lane))
		if errors.Is(err, fs.ErrNotExist) {
			return q, problem.New(problem.ConfigFile, "there is no queue in %s: the agent has not run yet", cfg.laneDir(lane))
		}
		if err != nil {
			return q, fmt.Errorf("inspect lane %s: %w", lane, err)
		}
		shown := localapi.NewLane(stat)
		for _, d := range damages {
			shown.Damages = append(shown.Damages, fmt.Sprintf("%s: %s", d.File, d.Reason))
		}
		q.Lanes = append(q.Lanes, shown)
	}
	return q, nil
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/mapping"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

const (
	// actReload names the act in the ledger.
	actReload = "reload"
	// hangup is who asks, and why, where a signal does: it does not tell its sender.
	hangup = "signal HUP"
	// noReason is what is recorded of a person who gave none.
	noReason = "none given"
	// holdLimit is how long a reload waits for batches on their way to disk. They take milliseconds: after it the queue is
	// full, or its disk hangs.
	holdLimit = 5 * time.Second
	// mostChanges is how many changes the record of a reload names; more are counted.
	mostChanges = 100
)

// force is a configuration with what was made of it. It is replaced as a whole.
type force struct {
	cfg     Config
	mapper  *mapping.Mapper
	sources []source.Source // in the order of the configuration
	hash    string
	since   time.Time
}

// inForce returns the configuration that the agent works by. The caller does not change it.
func (a *Agent) inForce() *force { return a.force.Load() }

// certificates returns those of the configuration in force.
func (a *Agent) certificates(now time.Time) ([]localapi.Certificate, error) {
	return a.inForce().cfg.Certificates(now)
}

// refusal is why the newest reload changed nothing.
type refusal struct {
	at  time.Time
	err error
}

func (r *refusal) shown() *localapi.Refusal {
	if r == nil {
		return nil
	}
	return &localapi.Refusal{At: r.at, Problem: r.err.Error()}
}

// order asks for a reload.
type order struct {
	principal string
	localapi.Reload
	done chan<- reloaded // buffered
}

type reloaded struct {
	result localapi.Reloaded
	err    error
}

// Reload implements [localapi.Agent].
func (o *operator) Reload(ctx context.Context, principal string, what localapi.Reload) (localapi.Reloaded, error) {
	select {
	case <-o.agent.begun:
	default:
		return localapi.Reloaded{}, problem.New(problem.RuleRefused, "the agent is still starting: it records first what its sources may have missed; try again")
	}
	done := make(chan reloaded, 1)
	select {
	case o.agent.orders <- order{principal, what, done}:
	case <-ctx.Done():
		return localapi.Reloaded{}, ctx.Err()
	}
	select {
	case r := <-done:
		return r.result, r.err
	case <-ctx.Done():
		return localapi.Reloaded{}, ctx.Err()
	}
}

// obey reloads the configuration as often as it is asked to, until the context of the readers ends.
func (rs *readers) obey() {
	for {
		select {
		case <-rs.ctx.Done():
			return
		case <-rs.agent.Hangups:
			rs.reload(order{principal: hangup, Reload: localapi.Reload{Reason: hangup}, done: make(chan reloaded, 1)})
		case o := <-rs.agent.orders:
			rs.reload(o)
		}
	}
}

// reload obeys one order, and tells everybody who should know: its caller, the log, the status and the service manager.
func (rs *readers) reload(o order) {
	if o.DryRun {
		result, err := rs.replace(o)
		o.done <- reloaded{result, err}
		return
	}
	a := rs.agent
	a.notifyReloading()
	result, err := rs.replace(o)
	log, outcome := a.log.Info(), outcomeUnchanged
	a.refused.Store(nil)
	switch {
	case err != nil:
		log, outcome = a.log.Error().AnErr(telemetry.KeyError, err).Str(telemetry.KeyErrorCode, string(problem.CodeOf(err))), outcomeRefused
		a.refused.Store(&refusal{a.now(), err})
	case result.Applied:
		outcome = outcomeApplied
	}
	a.reloads.WithLabelValues(outcome).Inc()
	log.Str("principal", o.principal).Str("outcome", outcome).Str("config", a.inForce().hash).Int("changes", len(result.Changes)).
		Strs("started", result.Started).Strs("renewed", result.Renewed).Strs("stopped", result.Stopped).Msg("configuration reload")
	a.notifyReloaded()
	o.done <- reloaded{result, err}
}

// replace reads the configuration, and puts it in the place of the one in force: whole, or not at all. Until the act is on
// disk nothing has been touched, and from then on nothing can refuse it any more.
func (rs *readers) replace(o order) (result localapi.Reloaded, err error) {
	a := rs.agent
	before := a.inForce()
	result = localapi.Reloaded{
		Format: localapi.Format, Before: before.hash, Config: before.hash, Since: before.since, Changes: []config.Change{},
		Started: []string{}, Renewed: []string{}, Stopped: []string{}, Kept: []string{},
	}
	next, err := rs.reread()
	if err != nil {
		return result, err
	}
	kept, gone := rs.sort(next, &result)
	result.Config, result.Changes = next.hash, append(result.Changes, differences(&before.cfg, &next.cfg)...)
	if o.DryRun || len(result.Changes) == 0 {
		return result, nil
	}
	// A batch that a source holds is stored by the mappings by which it began. The sources that stay wait meanwhile.
	if err := hold(rs.ctx, kept); err != nil {
		return result, err
	}
	defer func() { release(kept) }()
	if err := a.recordReload(rs.ctx, o, &result); err != nil {
		return result, fmt.Errorf("record reload: %w", err)
	}
	for _, r := range gone {
		r.stop()
	}
	wait(gone)
	if rs.ctx.Err() != nil {
		return result, rs.ctx.Err() // the next start reads the same file
	}
	next.since = a.now()
	result.Applied, result.Since = true, next.since
	if err := rs.enforce(next); err != nil {
		rs.fail(fmt.Errorf("reload: %w", err)) // half of it must not stand: the next start has all of it
		return result, err
	}
	return result, nil
}

// enforce lets the agent work by a configuration whose sources are stopped, or wait.
func (rs *readers) enforce(next *force) error {
	a := rs.agent
	m, err := a.newMaker()
	if err != nil {
		return err
	}
	kept := make([]*reader, len(next.cfg.Sources))
	for i := range next.cfg.Sources {
		cfg := &next.cfg.Sources[i]
		if r := rs.of(cfg.ID); r != nil && reflect.DeepEqual(r.cfg, *cfg) {
			kept[i] = r
			next.sources = append(next.sources, r.source)
			continue
		}
		s, err := m.source(cfg)
		if err != nil {
			return fmt.Errorf("source %s: %w", cfg.ID, err)
		}
		next.sources = append(next.sources, s)
	}
	a.pipeline.mapper = next.mapper // no batch is on its way
	a.force.Store(next)
	for i, s := range next.sources {
		if kept[i] == nil {
			kept[i] = rs.start(next.cfg.Sources[i], s)
		}
	}
	rs.all = kept
	return a.pipeline.endRemoved(rs.ctx, m.open, next.sources)
}

// reread reads and checks the configuration as it stands in its files now. It makes each new source once, to see whether
// that can be done.
func (rs *readers) reread() (*force, error) {
	a := rs.agent
	if a.File == "" {
		return nil, problem.New(problem.RuleRefused, "this agent was started without a configuration file")
	}
	l := load(a.File, a.LookupEnv)
	l.cfg.checkFiles(l.doc)
	l.cfg.checkFixed(l.doc, &a.cfg)
	m, err := a.newMaker()
	if err != nil {
		return nil, err
	}
	for i := range l.cfg.Sources {
		path := config.Index("sources", i)
		if cfg := &l.cfg.Sources[i]; cfg.MQTT != nil || cfg.OPCUA != nil { // else that is found already
			if _, err := m.source(cfg); err != nil {
				l.doc.Add(path, err)
			}
		}
	}
	if found, ok := errors.AsType[config.Errors](l.doc.Err()); ok {
		if l.cfg.Plant != a.cfg.Plant { // then each sample of this plant fails, too
			found = slices.DeleteFunc(found, func(e *config.Error) bool { return e.Problem.Code == problem.MappingSample })
		}
		return nil, found
	}
	return &force{cfg: l.cfg, mapper: l.mapper, hash: l.cfg.hash()}, nil
}

// checkFixed refuses what cannot change while the agent runs: what it is called, where it keeps its data, how much, and its
// link to Kafka.
func (c *Config) checkFixed(doc *config.Document, running *Config) {
	for _, x := range config.Diff(*running, *c) {
		switch key, _, _ := strings.Cut(strings.ReplaceAll(x.Path, "[", "."), "."); key {
		case "shared_systems", "standby", "tables", "include", "sources", "mappings":
		default:
			doc.Errorf(problem.ConfigFixed, x.Path, "%s cannot change while the agent runs: restart it (%s)", x.Path, x)
		}
	}
}

// differences returns what a reload changes. A table of which only the file has changed is one, too.
func differences(before, after *Config) []config.Change {
	changes := config.Diff(*before, *after)
	for name, table := range after.tables {
		if old, known := before.tables[name]; known && before.Tables[name] == after.Tables[name] && !reflect.DeepEqual(old, table) {
			changes = append(changes, config.Change{
				Path: config.Key("tables", name), Kind: config.Changed, Old: fmt.Sprintf("%d rows", len(old)), New: fmt.Sprintf("%d rows", len(table)),
			})
		}
	}
	return changes
}

// sort tells readers whose source stays as it is from those that are to be stopped, and names what becomes of each source.
func (rs *readers) sort(next *force, result *localapi.Reloaded) (kept, gone []*reader) {
	wanted := map[string]*Source{}
	for i := range next.cfg.Sources {
		cfg := &next.cfg.Sources[i]
		wanted[cfg.ID] = cfg
		if rs.of(cfg.ID) == nil {
			result.Started = append(result.Started, cfg.ID)
		}
	}
	for _, r := range rs.all {
		switch cfg := wanted[r.cfg.ID]; {
		case cfg == nil:
			result.Stopped = append(result.Stopped, r.cfg.ID)
		case !reflect.DeepEqual(*cfg, r.cfg):
			result.Renewed = append(result.Renewed, r.cfg.ID)
		default:
			result.Kept = append(result.Kept, r.cfg.ID)
			kept = append(kept, r)
			continue
		}
		gone = append(gone, r)
	}
	return kept, gone
}

// hold takes the turn of each reader, so that no batch is on its way; where that takes too long, of none.
func hold(ctx context.Context, all []*reader) error {
	ctx, cancel := context.WithTimeout(ctx, holdLimit)
	defer cancel()
	for i, r := range all {
		if err := r.take(ctx); err != nil {
			release(all[:i])
			return problem.New(problem.RuleRefused, "what source %s has read cannot be stored for %s, so that its mappings cannot be replaced: make room, see holdfast-agent status, and try again", r.cfg.ID, holdLimit)
		}
	}
	return nil
}

func release(all []*reader) {
	for _, r := range all {
		r.give()
	}
}

// recordReload makes durable who changed what.
func (a *Agent) recordReload(ctx context.Context, o order, result *localapi.Reloaded) error {
	detail := map[string]string{"config_before": result.Before, "config_after": result.Config, "changes": strconv.Itoa(len(result.Changes))}
	for _, x := range result.Changes[:min(len(result.Changes), mostChanges)] {
		words := x.Words()
		if before := detail[x.Path]; before != "" {
			words = before + "; " + words
		}
		detail[x.Path] = words
	}
	reason := o.Reason
	if reason == "" {
		reason = noReason
	}
	return a.pipeline.act(ctx, actReload, o.principal, "configuration "+a.File, reason, detail)
}

// Package cloud wires holdfast-cloud together: intake -> workflow -> dispatch, with ledger, outbox and API around one
// store, and stops them in an order that leaves nothing half done.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/rest"
	"github.com/holdfast-mesh/holdfast/cloud/connector/sap"
	"github.com/holdfast-mesh/holdfast/cloud/console"
	"github.com/holdfast-mesh/holdfast/cloud/dispatch"
	"github.com/holdfast-mesh/holdfast/cloud/intake"
	"github.com/holdfast-mesh/holdfast/cloud/ledger"
	"github.com/holdfast-mesh/holdfast/cloud/outbox"
	"github.com/holdfast-mesh/holdfast/cloud/reconcile"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// Cloud is one process of holdfast-cloud.
type Cloud struct {
	// Notifier speaks to the service manager that started the process; zero = there is none.
	Notifier telemetry.Notifier

	cfg      Config
	log      zerolog.Logger
	registry *prometheus.Registry
	listener net.Listener
	missing  func() []string // what keeps the cloud from being ready, a sentence each; nil = not known yet
}

// New checks nothing that Load has not checked, and does no I/O.
func New(cfg Config, log zerolog.Logger) *Cloud {
	return &Cloud{cfg: cfg, log: log, registry: telemetry.NewRegistry()}
}

// Run opens the store, makes what is missing in Kafka where the configuration says so, and works until ctx ends. It
// logs "ready" with its address once it works and all of its topics are there.
func (c *Cloud) Run(ctx context.Context) (err error) {
	s, err := c.cfg.Database.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if c.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", c.cfg.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { _ = c.listener.Close() }() // the server closes it first on the usual way
	if err := c.ensureTopics(ctx); err != nil {
		return err
	}
	parts, err := c.build(ctx, s)
	if err != nil {
		return err
	}
	return c.runAll(ctx, parts)
}

// part is something that runs. Parts stop in the order of their list, each after the one before has ended.
type part struct {
	name string
	run  func(context.Context) error
}

// build makes the parts, in the order in which they stop: first nothing new comes in, then what is in hand is ended, then
// what that left to say is said, and the ledger closes behind it all.
func (c *Cloud) build(ctx context.Context, s *store.Store) ([]part, error) {
	engine := workflow.New(s, workflow.Config{
		Plants: c.cfg.plants(), Materials: c.cfg.materials(), CoverageMaxAge: c.cfg.Coverage.MaxAge,
	}, failpoint.Now, c.log, c.registry)
	systems, err := c.systems()
	if err != nil {
		return nil, err
	}
	offsets := func(ctx context.Context, topic string, partition int32) (next int64, err error) {
		err = s.View(ctx, func(tx *store.Tx) (err error) {
			next, err = tx.Offset(topic, partition)
			return err
		})
		return next, err
	}
	instance, err := c.instance()
	if err != nil {
		return nil, err
	}
	in, err := intake.New(intake.Config{Kafka: c.cfg.Kafka, Group: "holdfast-cloud-" + s.ID(), Instance: instance, Topics: c.topics()}, engine, offsets, c.log, c.registry)
	if err != nil {
		return nil, err
	}
	c.missing = in.Missing
	feeds, err := c.feeds(s, engine, systems)
	if err != nil {
		return nil, err
	}
	cfg := dispatch.DefaultConfig
	cfg.Owner, cfg.Now, cfg.ERP, cfg.Plant = s.Owner(), failpoint.Now, c.erpOf, c.plantOf
	d := dispatch.New(cfg, s, engine, systems, c.log, c.registry)
	out, err := outbox.New(outbox.Config{
		Kafka: c.cfg.Kafka, Owner: s.Owner(), ERP: c.erpOf, Now: failpoint.Now, Changed: engine.Outgoing(), Alarm: engine,
	}, s, c.log, c.registry)
	if err != nil {
		return nil, err
	}
	sealer, err := ledger.New(c.cfg.Ledger, s.Owner(), s, failpoint.Now, c.log, c.registry)
	if err != nil {
		return nil, err
	}
	if err := c.remember(ctx, engine, sealer); err != nil {
		return nil, err
	}
	handler, pages, err := c.handler(s, engine, sealer, systems)
	if err != nil {
		return nil, err
	}
	server := telemetry.NewServer(handler, c.log)
	return []part{
		{"service manager", func(ctx context.Context) error { return c.inform(ctx, s) }}, // hears first that the end has begun
		{"ready", func(ctx context.Context) error { return c.sayReady(ctx, in.Found()) }},
		{"console", pages.Run}, // before the API, so that no open stream keeps the server from stopping
		{"api", func(ctx context.Context) error { return telemetry.Serve(ctx, c.listener, server) }},
		{"intake", in.Run},
		{"feeds", feeds.Run},
		{"copies", func(ctx context.Context) error { return s.Run(ctx, failpoint.Now, c.log) }},
		{"timers", engine.Run},
		{"dispatch", d.Run},
		{"ledger", sealer.Run},
		{"outbox", out.Run},
	}, nil
}

// remember turns dispatch off where the database has forgotten what is known outside of it: what it asks for now may have
// been done before, and what was done since it does not know. A person looks first.
func (c *Cloud) remember(ctx context.Context, engine *workflow.Engine, sealer *ledger.Sealer) error {
	loss, err := sealer.Loss(ctx)
	if err != nil || loss.Lost == 0 {
		return err
	}
	c.log.Error().Int64("kept", loss.Kept).Int64("lost", loss.Lost).Msg("the database was restored: dispatch is off until a person turns it on")
	if err := engine.Restored(ctx, loss.Words()); err != nil {
		return fmt.Errorf("turn dispatch off after a restore: %w", err)
	}
	return sealer.Acknowledge(loss)
}

// instance names this copy among all that share the database.
func (c *Cloud) instance() (string, error) {
	if c.cfg.Instance != "" {
		return c.cfg.Instance, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", problem.New(problem.ConfigMissing, "instance is not set, and the host has no name: %w", err)
	}
	return host, nil
}

// handler serves API and pages.
func (c *Cloud) handler(s *store.Store, engine *workflow.Engine, sealer *ledger.Sealer, systems map[string]connector.System) (http.Handler, *console.Console, error) {
	callers, err := c.cfg.callers()
	if err != nil {
		return nil, nil, err
	}
	mux := telemetry.NewMux(c.registry, func() []string {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Ping(ctx); err != nil {
			return []string{"the database does not answer: " + err.Error()}
		}
		return c.missing()
	})
	zones, oneSigner := map[event.PlantID]string{}, map[event.PlantID]bool{}
	for _, p := range c.cfg.Plants {
		zones[event.PlantID(p.ID)], oneSigner[event.PlantID(p.ID)] = p.TZ, p.Policies.OneSigner
	}
	desk := api.Register(mux, api.Config{
		Callers: callers, Zones: zones, ERP: c.erpOf, LedgerKey: sealer.PublicKey(), AnchorFile: string(c.cfg.Ledger.AnchorFile),
		Systems: answering(systems), Now: failpoint.Now, OneSigner: func(p event.PlantID) bool { return oneSigner[p] },
	}, s, engine, c.log)
	pages, err := console.New(c.cfg.Console, console.Deps{Desk: desk, Store: s, Now: failpoint.Now, Log: c.log, First: c.sayFirst})
	if err != nil {
		return nil, nil, err
	}
	pages.Register(mux)
	return mux, pages, nil
}

// sayFirst prints the link that makes the first administrator. It stands in the log of a program that has no user yet, works
// once, and for a day.
func (c *Cloud) sayFirst(path string) {
	c.log.Warn().Str(telemetry.KeyAddress, "http://"+c.listener.Addr().String()+path).Msg("there is no user yet: this link makes the first administrator")
}

func (c *Cloud) erpOf(plant event.PlantID) string {
	plants := c.cfg.plants()
	if p, ok := plants[plant]; ok {
		return p.ERP
	}
	return plants[""].ERP
}

// plantOf returns the plant that a system knows by a code of its own, empty if none is.
func (c *Cloud) plantOf(system, code string) event.PlantID {
	for _, p := range c.cfg.Plants {
		if p.ERP == system && p.ERPPlant == code && code != "" {
			return event.PlantID(p.ID)
		}
	}
	return ""
}

// feeds follows what the systems list as changed.
func (c *Cloud) feeds(s *store.Store, engine *workflow.Engine, systems map[string]connector.System) (*reconcile.Reconciler, error) {
	var feeds []reconcile.Feed
	for i := range c.cfg.Systems {
		id := c.cfg.Systems[i].ID
		feeds = append(feeds, reconcile.Feed{ID: id, System: systems[id], Config: c.cfg.Systems[i].Feed})
	}
	return reconcile.New(feeds, reconcile.Deps{Owner: s.Owner(), Store: s, Engine: engine, Now: failpoint.Now, Log: c.log, Reg: c.registry})
}

// systems makes the connectors, each behind a guard with one breaker and one token bucket for its credential.
func (c *Cloud) systems() (map[string]connector.System, error) {
	all := map[string]connector.System{}
	for i := range c.cfg.Systems {
		system, err := c.system(&c.cfg.Systems[i])
		if err != nil {
			return nil, fmt.Errorf("system %s: %w", c.cfg.Systems[i].ID, err)
		}
		all[c.cfg.Systems[i].ID] = system
		c.registry.MustRegister(breakerGauge(c.cfg.Systems[i].ID, system))
	}
	return all, nil
}

func (c *Cloud) system(cfg *System) (*connector.Guard, error) {
	var system connector.System
	var err error
	guard := connector.GuardConfig{Now: failpoint.Now}
	if cfg.SAP != nil {
		sapConfig := cfg.SAP.WithDefaults()
		guard.Rate, guard.Burst = sapConfig.Rate, sapConfig.Burst
		system, err = sap.New(sapConfig, sap.Deps{System: cfg.ID, Log: c.log})
	} else {
		restConfig := cfg.REST.WithDefaults()
		guard.Rate, guard.Burst = restConfig.Rate, restConfig.Burst
		system, err = rest.New(restConfig, rest.Deps{System: cfg.ID, Log: c.log})
	}
	if err != nil {
		return nil, err
	}
	return connector.NewGuard(system, guard), nil
}

// answering returns what tells of each system how it answers.
func answering(systems map[string]connector.System) map[string]func() api.Health {
	all := map[string]func() api.Health{}
	for id, system := range systems {
		all[id] = func() api.Health {
			g, guarded := system.(*connector.Guard)
			if !guarded {
				return api.Health{}
			}
			h := g.Health()
			return api.Health{
				Link: string(h.Link), Since: h.Since, Until: h.Until, Calls: h.Calls, Failed: h.Failed, Median: h.Median.Seconds(), P95: h.P95.Seconds(),
				LastAt: h.Last,
			}
		}
	}
	return all
}

// breakerGauge shows whether a system is asked at all.
func breakerGauge(id string, g *connector.Guard) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_cloud_breaker_open", Help: "1 while a system is not asked.", ConstLabels: prometheus.Labels{"system": id},
	}, func() float64 {
		if g.Open() {
			return 1
		}
		return 0
	})
}

// topics are all that the cloud reads and writes.
func (c *Cloud) topics() []kafka.Spec {
	specs := c.cfg.Kafka.CloudSpecs()
	for _, p := range c.cfg.Plants {
		specs = append(specs, c.cfg.Kafka.PlantSpecs(p.ID)...)
	}
	return specs
}

// ensureTopics checks the topics against their specification, and makes missing ones where the configuration says so. One that
// a person has to make stops nothing: what belongs to it waits, and until it is there the cloud is not ready.
func (c *Cloud) ensureTopics(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := c.cfg.Kafka.Ensure(ctx, c.topics(), c.log)
	var each interface{ Unwrap() []error }
	if c.cfg.Kafka.CreateTopics || !errors.As(err, &each) {
		return err
	}
	var errs []error
	for _, err := range each.Unwrap() {
		if errors.Is(err, kafka.ErrMissing) {
			c.log.Warn().Err(err).Msg("topic is missing, what belongs to it waits")
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sayReady logs that the cloud is ready once all topics are there.
func (c *Cloud) sayReady(ctx context.Context, found <-chan struct{}) error {
	select {
	case <-found:
		c.log.Info().Str(telemetry.KeyAddress, c.listener.Addr().String()).Msg("ready")
	case <-ctx.Done():
	}
	<-ctx.Done()
	return nil
}

// stopLimit bounds how long one part may take to stop.
const stopLimit = 10 * time.Second

// runAll runs the parts until ctx ends or one of them fails, then stops them in order.
func (c *Cloud) runAll(ctx context.Context, parts []part) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type running struct {
		stop context.CancelFunc
		done chan struct{}
	}
	var mu sync.Mutex // guards errs
	var errs []error
	all := make([]running, len(parts))
	for i, p := range parts {
		// A part's context outlives ctx: it ends when its turn to stop comes.
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		all[i] = running{stop, make(chan struct{})}
		go func() {
			defer close(all[i].done)
			err := p.run(own)
			if err == nil && own.Err() == nil {
				err = errors.New("it ended unasked")
			}
			if err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
				mu.Unlock()
			}
			cancel() // one part that ends ends all
		}()
	}
	<-ctx.Done()
	for i, p := range parts {
		all[i].stop()
		select {
		case <-all[i].done:
		case <-time.After(stopLimit):
			c.log.Error().Str("part", p.name).Msg("part did not stop in time")
		}
	}
	mu.Lock()
	defer mu.Unlock()
	return errors.Join(errs...)
}

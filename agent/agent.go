// Package agent wires holdfast-agent together: sources -> mapping -> queue -> uplink, and back from the cloud the
// downlink, which answers whether a lot may move.
//
// Guarantee: what a source acknowledges is synced to disk, in one commit with the source's position. At its quota lane
// quality is not acknowledged; lane telemetry sheds its oldest records, and each shed interval is itself an event,
// committed first. A failed commit stops the program, since what is stored is then unknown.
package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/downlink"
	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/mapping"
	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/agent/uplink"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// Agent is one process of holdfast-agent.
type Agent struct {
	// Notifier speaks to the service manager that started the process; zero = there is none.
	Notifier telemetry.Notifier
	// File and LookupEnv are what a reload reads the configuration by; without a File there is none.
	File      string
	LookupEnv func(string) (string, bool)
	// Hangups asks for a reload; nil = only the local socket does.
	Hangups <-chan os.Signal

	cfg      Config // as of the start, as mapper: what a reload may change of them is in force
	mapper   *mapping.Mapper
	log      zerolog.Logger
	registry *prometheus.Registry
	now      func() time.Time
	epoch    event.Epoch
	clock    clock
	started  time.Time     // of Run
	begun    chan struct{} // closed when what the sources may have missed meanwhile is on disk
	manager  telemetry.Quiet

	quality  *queue.Lane
	signals  *queue.Lane
	seeds    *uplink.Seeds
	uplink   *uplink.Uplink
	downlink *downlink.Downlink
	open     map[string]*openGap // gaps that went on when the run before ended, by source
	pipeline *pipeline
	servers  *opcua.Servers // shared by the sources of OPC UA, as values
	values   *opcua.Metrics

	force   atomic.Pointer[force]
	refused atomic.Pointer[refusal] // of the newest reload; nil = it was not refused
	orders  chan order              // reloads, for the goroutine that has the sources
	reloads *prometheus.CounterVec
}

// New returns an agent. It does no I/O.
func New(cfg Config, mapper *mapping.Mapper, log zerolog.Logger) *Agent {
	var epoch [16]byte
	_, _ = rand.Read(epoch[:]) // it ends the program rather than fail
	a := &Agent{
		cfg: cfg, mapper: mapper, registry: telemetry.NewRegistry(), now: failpoint.Now, epoch: event.Epoch(hex.EncodeToString(epoch[:])),
		begun: make(chan struct{}), orders: make(chan order),
		log: log.With().Str(telemetry.KeyPlant, cfg.Plant).Str(telemetry.KeyAgent, cfg.Agent).Logger(),
	}
	a.manager.Log, a.manager.Now = a.log, a.now
	a.force.Store(&force{cfg: cfg, mapper: mapper})
	return a
}

// Run opens the queue, starts its epoch, and works until ctx ends or the queue fails. It logs "ready" with its addresses
// once sources may be read.
func (a *Agent) Run(ctx context.Context) (err error) {
	a.started = a.now()
	if err := a.openQueue(ctx); err != nil {
		return errors.Join(err, a.closeQueue())
	}
	defer func() { err = errors.Join(err, a.closeQueue()) }()
	a.seeds = uplink.OpenSeeds(filepath.Join(string(a.cfg.Data), "brokers.json"), a.cfg.Kafka.Brokers)
	if err := a.openDownlink(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.downlink.Close()) }()
	if err := a.build(); err != nil {
		return err
	}
	if err := a.beginEpoch(ctx); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", a.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	socket, err := localapi.Listen(a.cfg.Socket())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	a.log.Info().Str(telemetry.KeyAddress, listener.Addr().String()).Str("socket", a.cfg.Socket()).
		Str(telemetry.KeyEpoch, string(a.epoch)).Msg("ready")
	return a.runAll(ctx, listener, socket)
}

// openQueue opens both lanes; their files are checked in a child process first, since a damaged one can end a process.
func (a *Agent) openQueue(ctx context.Context) (err error) {
	if a.quality, err = a.openLane(ctx, event.LaneQuality); err != nil {
		return err
	}
	a.signals, err = a.openLane(ctx, event.LaneTelemetry)
	return err
}

func (a *Agent) openLane(ctx context.Context, lane event.Lane) (*queue.Lane, error) {
	cfg := a.laneConfig(lane)
	if err := os.MkdirAll(filepath.Dir(cfg.Dir), 0o700); err != nil {
		return nil, problem.New(problem.DiskWrite, "make queue directory: %w", err)
	}
	return queue.Open(ctx, cfg)
}

func (a *Agent) laneConfig(lane event.Lane) queue.Config {
	q := a.cfg.Queue
	cfg := queue.Config{
		Dir: a.cfg.laneDir(lane), Name: string(lane), Quota: int64(q.Telemetry.Of(q.Disk)), KeepSent: q.KeepSent, Clock: a.now,
		Check: checkSegment, OnDamage: func(d queue.Damage) { a.pipeline.damaged(lane, d) },
		AllowTmpfs: q.Tmpfs, Metrics: a.registry, Log: a.log,
	}
	if lane == event.LaneQuality {
		cfg.Quota, cfg.Reserve = int64(q.Quality.Of(q.Disk)), int64(q.Reserve.Of(q.Disk))
	}
	return cfg
}

// checkLimit bounds the check of one file.
const checkLimit = 30 * time.Second

// Commands of this binary that check a file. A damaged one can end the process that reads it.
const (
	CommandCheckSegment  = "check-segment"
	CommandCheckDownlink = "check-downlink"
)

func checkSegment(ctx context.Context, path string) error {
	return checkInChild(ctx, CommandCheckSegment, path)
}

// checkInChild runs one of this binary's check commands on a file: a fault there ends the child, not the agent.
func checkInChild(ctx context.Context, command, path string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("%w: %w", queue.ErrNotChecked, err)
	}
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, command, path)
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=256MiB", "GOTRACEBACK=none")
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return fmt.Errorf("check of %s: %w: %.300s", filepath.Base(path), exit, output)
	}
	return fmt.Errorf("%w: %w", queue.ErrNotChecked, err)
}

func (a *Agent) closeQueue() error {
	var errs []error
	for _, l := range []*queue.Lane{a.signals, a.quality} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// openDownlink opens the copy of what the cloud said, in the data folder that the queue has locked.
func (a *Agent) openDownlink(ctx context.Context) (err error) {
	cluster := a.cfg.Kafka
	cluster.Brokers = a.seeds.All()
	a.downlink, err = downlink.Open(downlink.Config{
		Kafka: cluster, Plant: a.cfg.Plant, Agent: a.cfg.Agent, Dir: string(a.cfg.Data), MaxAge: a.cfg.Offline.MaxAge, Now: a.now,
		Check: func(path string) error {
			err := checkInChild(ctx, CommandCheckDownlink, path)
			if errors.Is(err, queue.ErrNotChecked) {
				a.log.Warn().Err(err).Str(telemetry.KeyFile, filepath.Base(path)).Msg("the copy of lot status could not be checked")
				return nil
			}
			return err
		},
	}, a.log, a.registry)
	return err
}

// build makes uplink, pipeline and sources.
func (a *Agent) build() (err error) {
	cfg := uplink.Config{
		Kafka: a.cfg.Kafka, Plant: a.cfg.Plant, Agent: a.cfg.Agent, Now: a.now, Control: a.downlink.Control, Begun: a.begun, Standing: a.standing, Seeds: a.seeds,
	}
	a.uplink, err = uplink.New(cfg, a.quality, a.signals, a.log, a.registry)
	if err != nil {
		return err
	}
	a.pipeline = newPipeline(a)
	if err := a.pipeline.rebuild(); err != nil {
		return err
	}
	a.servers, a.values, a.reloads = opcua.NewServers(), opcua.NewMetrics(a.registry), newReloadMetrics(a.registry)
	m, err := a.newMaker()
	if err != nil {
		return err
	}
	a.open = m.open
	f := &force{cfg: a.cfg, mapper: a.mapper, hash: a.cfg.hash(), since: a.started}
	for i := range f.cfg.Sources {
		s, err := m.source(&f.cfg.Sources[i])
		if err != nil {
			return fmt.Errorf("source %s: %w", f.cfg.Sources[i].ID, err)
		}
		f.sources = append(f.sources, s)
	}
	a.force.Store(f)
	a.registry.MustRegister(sourceMetrics{func() []source.Source { return a.inForce().sources }}, clockMetrics{&a.clock}, certificateMetrics{a.certificates, a.now})
	return nil
}

// beginEpoch starts this run's epoch in both lanes. Its first record goes before any other, so that no epoch is empty
// and the chain has no hole.
func (a *Agent) beginEpoch(ctx context.Context) error {
	prev := event.NoPrev
	if epoch, seq := a.quality.Last(); epoch != "" {
		prev = event.NewPrev(event.Epoch(epoch), seq, a.signals.LastOf(epoch))
	}
	for _, l := range []*queue.Lane{a.quality, a.signals} {
		if err := l.Begin(string(a.epoch), string(prev)); err != nil {
			return fmt.Errorf("begin epoch: %w", err)
		}
	}
	opened := &event.EpochOpened{Epoch: a.epoch, Prev: prev, Reason: "start", Salvage: a.salvage()}
	if err := a.pipeline.own(ctx, opened, string(a.epoch)); err != nil {
		return fmt.Errorf("record epoch: %w", err)
	}
	return a.declare(ctx)
}

func (a *Agent) salvage() []event.Salvage {
	all := []event.Salvage{}
	for _, x := range a.lanes() {
		for _, d := range x.lane.Recovered() {
			if event.Epoch(d.Epoch).Valid() && d.FromSeq > 0 {
				all = append(all, event.Salvage{
					Epoch: event.Epoch(d.Epoch), Lane: x.name, FromSeq: int64(d.FromSeq), ToSeq: int64(max(d.ToSeq, d.FromSeq)), Salvaged: int64(d.Salvaged),
				})
			}
		}
	}
	return all
}

type namedLane struct {
	name event.Lane
	lane *queue.Lane
}

func (a *Agent) lanes() []namedLane {
	return []namedLane{{event.LaneQuality, a.quality}, {event.LaneTelemetry, a.signals}}
}

// declare records what the check at start found missing, and tells the lane that it is recorded.
func (a *Agent) declare(ctx context.Context) error {
	for _, x := range a.lanes() {
		for _, d := range x.lane.Recovered() {
			if err := a.pipeline.declare(ctx, x.name, d); err != nil {
				return fmt.Errorf("declare damage of %s: %w", d.File, err)
			}
			if err := x.lane.Declared(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// runAll runs until ctx ends or a lane fails, then stops: sources first, then the uplink, whose last acknowledgements
// the queue still takes.
func (a *Agent) runAll(ctx context.Context, listener, socket net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	sending, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReading()
	defer stopSending()

	var sources, rest sync.WaitGroup
	sources.Go(func() { a.read(reading, cancel) })
	sources.Go(func() { a.pipeline.run(reading) })
	sources.Go(func() { a.inform(reading) })
	rest.Go(func() {
		if err := a.uplink.Run(sending); err != nil {
			cancel(fmt.Errorf("uplink: %w", err))
		}
	})
	rest.Go(func() {
		if err := a.downlink.Run(sending); err != nil {
			cancel(fmt.Errorf("downlink: %w", err))
		}
	})
	mux := telemetry.NewMux(a.registry, a.notReady)
	localapi.Page(mux, (&operator{agent: a}).Status, a.log)
	rest.Go(func() { a.serve(sending, listener, mux, cancel) })
	rest.Go(func() { a.serveSocket(sending, socket, cancel) })

	select {
	case <-ctx.Done():
	case <-a.quality.Failed():
		cancel(a.quality.Err())
	case <-a.signals.Failed():
		cancel(a.signals.Err())
	}
	stopReading()
	sources.Wait()
	stopSending()
	rest.Wait()
	a.log.Info().Uint64("queued", a.quality.Stat().Depth+a.signals.Stat().Depth).Msg("stopped")
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// notReady says why the agent can't make data durable. A cloud that is down is no reason: that is what the queue is for.
func (a *Agent) notReady() []string {
	var reasons []string
	for _, x := range a.lanes() {
		if err := x.lane.Err(); err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	return reasons
}

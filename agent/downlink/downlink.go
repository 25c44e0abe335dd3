package downlink

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// Config of the downlink. Kafka, Plant, Agent, Dir and MaxAge are required.
type Config struct {
	Kafka  kafka.Config
	Plant  string
	Agent  string
	Dir    string        // data folder, in which the store is made
	MaxAge time.Duration // after which an answer for moving expires

	Now     func() time.Time // for times that are shown; nil = time.Now
	Instant func() Instant   // for ages; nil = the host's time since boot

	// Check tells whether a store file is sound, before it is used; nil = [CheckFile], in this process.
	Check func(path string) error
}

// Downlink is an open downlink. Its methods may be called from several goroutines.
type Downlink struct {
	cfg   Config
	log   zerolog.Logger
	opts  []kgo.Opt
	store *store
	quiet telemetry.Quiet // about the link
	odd   telemetry.Quiet // about records that are not understood
	every time.Duration   // askEvery; tests shorten it

	refused prometheus.Counter

	mu      sync.Mutex        // guards what follows; held over no I/O
	control *event.ControlSet // newest; nil = none yet
	changed chan struct{}     // closed when control is replaced
	fresh   Instant
	lots    int
	status  Status
}

// Status is a snapshot of the link.
type Status struct {
	Up        bool      // the broker answered the last time it was asked
	Since     time.Time // of Up
	LastError string    // newest; stays after it is over
	Barrier   uint64    // newest number read; 0 = none
	Version   uint64    // of the control record; 0 = none
	Heard     time.Time // arrival of the newest control record in this run; zero = none
	Lots      int       // lots whose status is kept
	Age       time.Duration
	AgeKnown  bool // false: Age is not known, and nothing is free
	MaxAge    time.Duration
}

// Open opens the store in cfg.Dir. Nothing is read from Kafka before [Downlink.Run]; what was read before is answered
// from at once. reg may be nil.
func Open(cfg Config, log zerolog.Logger, reg prometheus.Registerer) (*Downlink, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Instant == nil {
		cfg.Instant = hostClock()
	}
	if cfg.Check == nil {
		cfg.Check = CheckFile
	}
	opts, err := cfg.Kafka.Options("downlink", log, nil)
	if err != nil {
		return nil, err
	}
	s, damaged, err := openStore(cfg.Dir, cfg.Check)
	if err != nil {
		return nil, err
	}
	if damaged != nil {
		log.Error().Err(damaged).Str(telemetry.KeyFile, fileName).Msg("the copy of lot status is damaged and set aside; it is read anew")
	}
	d := &Downlink{
		cfg: cfg, log: log, store: s, changed: make(chan struct{}), every: askEvery,
		quiet: telemetry.Quiet{Log: log, Now: cfg.Now}, odd: telemetry.Quiet{Log: log, Now: cfg.Now},
	}
	d.opts = append(opts,
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // their offsets count: without them the end of a topic could not be told
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxBytes(4<<20), kgo.BrokerMaxReadBytes(64<<20),
	)
	if d.control, d.fresh, d.lots, err = s.load(); err != nil {
		return nil, fmt.Errorf("read %s: %w", fileName, errors.Join(err, s.db.Close()))
	}
	d.status.Since = cfg.Now()
	d.register(reg)
	return d, nil
}

// Close closes the store. Run has ended before.
func (d *Downlink) Close() error { return d.store.db.Close() }

// Control returns the newest control record, nil before the first, and a channel that is closed when a newer one is
// read. The caller does not change the record.
func (d *Downlink) Control() (*event.ControlSet, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.control, d.changed
}

// Status returns a snapshot.
func (d *Downlink) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.status
	s.Lots, s.MaxAge = d.lots, d.cfg.MaxAge
	if d.control != nil {
		s.Barrier, s.Version = uint64(d.control.Barrier), uint64(d.control.Version)
	}
	s.Age, s.AgeKnown = d.cfg.Instant().since(d.fresh)
	return s
}

// Run reads until ctx ends.
func (d *Downlink) Run(ctx context.Context) error {
	pause := firstPause
	for ctx.Err() == nil {
		began := d.cfg.Now()
		err := d.read(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if d.cfg.Now().Sub(began) > longestPause {
			pause = firstPause // it worked for a while
		}
		d.failed(err)
		sleep(ctx, pause)
		pause = min(2*pause, longestPause)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (d *Downlink) failed(err error) {
	d.quiet.Failed(err, "what the cloud says is not read; answers go on from what is known")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status.LastError = err.Error()
	if d.status.Up {
		d.status.Up, d.status.Since = false, d.cfg.Now()
	}
}

func (d *Downlink) worked() {
	d.quiet.Recovered("downlink is up again")
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.status.Up {
		d.status.Up, d.status.Since = true, d.cfg.Now()
	}
}

// register makes the metrics:
//
//	holdfast_agent_downlink_up                      1 while the broker answers
//	holdfast_agent_downlink_age_seconds             age of what answers rest on; +Inf = not known
//	holdfast_agent_downlink_barrier                 newest barrier read
//	holdfast_agent_downlink_lots                    lots whose status is kept
//	holdfast_agent_downlink_refused_records_total   records that were not understood
func (d *Downlink) register(reg prometheus.Registerer) {
	d.refused = prometheus.NewCounter(prometheus.CounterOpts{Name: "holdfast_agent_downlink_refused_records_total", Help: "Records of the cloud that were not understood."})
	if reg == nil {
		return
	}
	gauge := func(name, help string, value func(Status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "holdfast_agent_downlink_" + name, Help: help}, func() float64 { return value(d.Status()) })
	}
	reg.MustRegister(d.refused,
		gauge("up", "1 while the broker answers.", func(s Status) float64 {
			if s.Up {
				return 1
			}
			return 0
		}),
		gauge("age_seconds", "Age of what offline answers rest on, +Inf where it is not known.", func(s Status) float64 {
			if !s.AgeKnown {
				return math.Inf(1)
			}
			return s.Age.Seconds()
		}),
		gauge("barrier", "Newest barrier read.", func(s Status) float64 { return float64(s.Barrier) }),
		gauge("lots", "Lots whose status is kept.", func(s Status) float64 { return float64(s.Lots) }),
	)
}

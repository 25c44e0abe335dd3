package opcua

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

var _ source.Source = (*Source)(nil)

// Deps is what a source needs besides its configuration: what every source does, see [source.Deps], and what follows PKI.
// ID, Plant, Agent and PKI are required.
type Deps struct {
	ID        string // of the source
	System    string // of record; "" = ID
	Equipment string
	Plant     string
	Agent     string
	Cursor    []byte
	Open      *source.Gap

	Log   zerolog.Logger
	Now   func() time.Time
	Clock func() source.ClockState
	Rand  func() float64

	PKI string // trust folder, unless the configuration names one; our own certificate stands in it, too

	// Audit records what concerns security; nil = it is only logged.
	Audit func(ctx context.Context, act, subject, reason string, detail map[string]string) error

	Servers *Servers // shared by the sources of an agent; nil = none but this
	Metrics *Metrics // shared by the sources of an agent; nil = none are kept
}

// pace is how long things take here, besides what all sources do. Tests shorten it.
type pace struct {
	refused time.Duration // between tries that a person must make possible
	login   time.Duration // after a refused password: servers lock users out
	long    time.Duration // a life as long as this starts the back-off anew
	silence time.Duration // of a subscription, before it counts as dead; three publishing intervals at least
	settle  time.Duration // for first values after a connection, before what is missing is recorded
	missing time.Duration // between tries of an item that is not there
	keep    time.Duration // between reads that keep the session
	setup   time.Duration // for one step of a connection's beginning
	budget  time.Duration // for history before live
	tick    time.Duration // between looks at what is due
}

func defaultPace() pace {
	return pace{
		refused: 5 * time.Second, login: 30 * time.Second, long: 10 * time.Second, silence: 4 * time.Second, settle: 3 * time.Second,
		missing: time.Minute, keep: 20 * time.Second, setup: time.Minute, budget: lifetime / 2, tick: 100 * time.Millisecond,
	}
}

// Source reads one server. It implements [source.Source].
type Source struct {
	cfg      Config
	deps     Deps
	security security
	trust    trust
	pace     pace
	super    *source.Supervisor

	// Used by Run's goroutine only.
	own      identity
	at       position
	stored   []byte        // the newest cursor that is on disk
	tracks   []*track      // in the order of the configuration
	lastSkew time.Duration // server's clock minus ours, of the newest life
	server   abilities     // what the server has shown that it cannot do
	noted    string        // newest refusal in the audit
	told     string        // newest certificate that the audit knows as refused
	allowed  bool          // the exception in use is in the audit
}

// New checks the configuration. It does no I/O.
func New(cfg Config, deps Deps) (*Source, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if deps.PKI == "" && cfg.Trust == "" {
		return nil, problem.New(problem.ConfigMissing, "opcua source needs a trust folder")
	}
	shared, err := deps.fill()
	if err != nil {
		return nil, err
	}
	s := &Source{cfg: cfg, deps: deps, pace: defaultPace(), stored: deps.Cursor}
	s.security, _ = parseSecurity(cfg.Security)
	s.trust = trust{deps.PKI}
	if cfg.Trust != "" {
		s.trust = trust{string(cfg.Trust)}
	}
	if s.at, err = load(deps.Cursor); err != nil {
		return nil, fmt.Errorf("source %s: %w", deps.ID, err)
	}
	// A server keeps nothing for a client whose connection is lost: what came since is missing until it is explained.
	s.super = source.NewSupervisor(shared, source.Rules{
		Transport: "opcua", Address: cfg.Endpoint, Waits: "values wait in the server's queue, since ours takes none",
		From: s.unseen, Cursor: s.position, Stored: s.storedOnce, Restore: s.goBack,
	})
	s.super.Update(func(st *source.Status) { st.Items, st.OpenGaps = len(cfg.Items)+len(cfg.Events), s.at.Open })
	s.makeTracks()
	s.prune()
	s.restore()
	return s, nil
}

// fill sets what may be left out, and returns what all sources need.
func (d *Deps) fill() (source.Deps, error) {
	if d.Servers == nil {
		d.Servers = NewServers()
	}
	if d.Metrics == nil {
		d.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	shared := source.Deps{
		ID: d.ID, System: d.System, Equipment: d.Equipment, Plant: d.Plant, Agent: d.Agent, Cursor: d.Cursor, Open: d.Open, Log: d.Log,
		Now: d.Now, Clock: d.Clock, Rand: d.Rand,
	}
	err := shared.Fill()
	d.System, d.Log, d.Now, d.Clock, d.Rand = shared.System, shared.Log, shared.Now, shared.Clock, shared.Rand
	return shared, err
}

// makeTracks makes one track for each item, in the order of the configuration.
func (s *Source) makeTracks() {
	for i := range s.cfg.Items {
		item := &s.cfg.Items[i]
		s.tracks = append(s.tracks, &track{name: nodeText(item.Node), item: item, modulus: item.Modulus})
	}
	for i := range s.cfg.Events {
		e := &s.cfg.Events[i]
		s.tracks = append(s.tracks, &track{name: "events " + nodeText(e.Notifier), events: e, modulus: e.Modulus})
	}
}

// prune forgets what the configuration names no longer. Gaps of it stay open.
func (s *Source) prune() {
	configured := func(name string) bool {
		return slices.ContainsFunc(s.tracks, func(t *track) bool { return t.name == name })
	}
	maps.DeleteFunc(s.at.Items, func(name string, _ mark) bool { return !configured(name) })
	s.at.Outages = slices.DeleteFunc(s.at.Outages, func(o outage) bool { return o.Item != "" && !configured(o.Item) })
}

// restore sets the tracks as the cursor left them.
func (s *Source) restore() {
	for _, t := range s.tracks {
		m, ok := s.at.Items[t.name]
		if !ok && t.item != nil && t.item.Pattern == PatternSample {
			m.Time, t.near = s.at.Samples, !s.at.Samples.IsZero()
		}
		t.last, t.seq, t.print = m.Time, m.Seq, m.Print
	}
}

// goBack forgets what was read and not stored: it is read again.
func (s *Source) goBack() {
	if at, err := load(s.stored); err == nil {
		s.at = at
		s.restore()
	}
}

// position returns the cursor as it is kept with a batch, whose gaps count in it.
func (s *Source) position(b *source.Batch) []byte {
	s.at.Open = max(0, s.at.Open+len(b.Gaps)-len(b.Closed))
	return s.at.bytes()
}

// storedOnce takes note of a batch that is on disk.
func (s *Source) storedOnce(b *source.Batch) {
	s.stored = b.Cursor
	for i := range b.Gaps {
		s.deps.Metrics.gaps.WithLabelValues(s.deps.ID, b.Gaps[i].Reason).Inc()
	}
	s.deps.Metrics.closed.WithLabelValues(s.deps.ID).Add(float64(len(b.Closed)))
}

// nodeText returns a configured node in the one form that it has everywhere.
func nodeText(text string) string {
	n, err := parseNode(text)
	if err != nil {
		return text // cannot be: the configuration was checked
	}
	return n.String()
}

// ID implements [source.Source].
func (s *Source) ID() string { return s.deps.ID }

// Status implements [source.Source].
func (s *Source) Status() source.Status { return s.super.Status() }

// Begin implements [source.Source].
func (s *Source) Begin(ctx context.Context, emit source.Emit) error { return s.super.Begin(ctx, emit) }

// Run implements [source.Source].
func (s *Source) Run(ctx context.Context, emit source.Emit) error {
	defer s.deps.Servers.release(s.deps.ID)
	s.super.Run(ctx, emit, func(ctx context.Context) source.Ending { return s.ending(s.live(ctx, emit)) })
	return nil
}

// ending judges how a life ended. Lived is how long it was live.
func (s *Source) ending(lived time.Duration, err error) source.Ending {
	e := source.Ending{Err: err, Reason: reasonOf(err), Steady: lived >= s.pace.long, Refused: refusal(err)}
	switch {
	case errors.Is(err, errLogin):
		e.Refused, e.Wait = true, s.pace.login
	case e.Refused:
		e.Wait = s.pace.refused
	}
	return e
}

// refusal tells whether a person must act before the server is read.
func refusal(err error) bool {
	switch problem.CodeOf(err) {
	case problem.ConfigFile, problem.ConfigSecret, problem.ConfigMissing, problem.SourceRefused, problem.ServerTrust, problem.ClientTrust,
		problem.LinkInsecure, problem.NodeMissing, problem.ServerTwice:
		return true
	}
	return false
}

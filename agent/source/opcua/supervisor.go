package opcua

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

var _ source.Source = (*Source)(nil)

// Deps is what a source needs besides its configuration. ID, Plant, Agent and PKI are required.
type Deps struct {
	ID        string // of the source
	System    string // of record; "" = ID
	Equipment string
	Plant     string
	Agent     string
	PKI       string // trust folder, unless the configuration names one; our own certificate stands in it, too

	// Cursor is the newest [source.Batch.Cursor] of this source that is on disk; nil before the first.
	Cursor []byte

	// Audit records what concerns security; nil = it is only logged.
	Audit func(ctx context.Context, act, subject, reason string, detail map[string]string) error

	Servers *Servers // shared by the sources of an agent; nil = none but this
	Metrics *Metrics // shared by the sources of an agent; nil = none are kept

	Log   zerolog.Logger
	Now   func() time.Time         // nil = time.Now
	Clock func() source.ClockState // nil = never synchronised
	Rand  func() float64           // from 0 to 1, for back-off; nil = math/rand
}

// pace is how long things take. Tests shorten it.
type pace struct {
	first, longest time.Duration // back-off after a loss, doubling
	refused        time.Duration // between tries that a person must make possible
	login          time.Duration // after a refused password: servers lock users out
	long           time.Duration // a life as long as this starts the back-off anew
	full           time.Duration // an emit that takes longer means that the queue is full
	finish         time.Duration // for what is in hand when the source is to end
	silence        time.Duration // of a subscription, before it counts as dead; three publishing intervals at least
	settle         time.Duration // for first values after a connection, before what is missing is recorded
	missing        time.Duration // between tries of an item that is not there
	keep           time.Duration // between reads that keep the session
	setup          time.Duration // for one step of a connection's beginning
	budget         time.Duration // for history before live
	tick           time.Duration // between looks at what is due
}

func defaultPace() pace {
	return pace{
		first: 500 * time.Millisecond, longest: 5 * time.Second, refused: 5 * time.Second, login: 30 * time.Second, long: 10 * time.Second,
		full: 2 * time.Second, finish: 5 * time.Second, silence: 4 * time.Second, settle: 3 * time.Second, missing: time.Minute,
		keep: 20 * time.Second, setup: time.Minute, budget: lifetime / 2, tick: 100 * time.Millisecond,
	}
}

// Source reads one server. It implements [source.Source].
type Source struct {
	cfg      Config
	deps     Deps
	security security
	trust    trust
	pace     pace
	quiet    telemetry.Quiet // about the connection
	unkept   telemetry.Quiet // about batches that the queue does not take

	// Used by Run's goroutine only.
	own      identity
	at       position
	stored   []byte        // the newest cursor that is on disk
	tracks   []*track      // in the order of the configuration
	lastSkew time.Duration // server's clock minus ours, of the newest life
	server   abilities     // what the server has shown that it cannot do
	fails    int           // failed lives in a row
	logged   problem.Code
	noted    string // newest refusal in the audit
	told     string // newest certificate that the audit knows as refused
	allowed  bool   // the exception in use is in the audit

	mu           sync.Mutex // guards what follows; held over no I/O
	status       source.Status
	before       source.State // while full: the state before
	fullUntil    time.Time    // when the queue last began to take values again
	standing     string       // what is wrong while the source is live, if anything
	standingNext string
}

// New checks the configuration. It does no I/O.
func New(cfg Config, deps Deps) (*Source, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if deps.ID == "" || deps.Plant == "" || deps.Agent == "" || deps.PKI == "" && cfg.Trust == "" {
		return nil, problem.New(problem.ConfigMissing, "opcua source needs id, plant, agent and trust folder")
	}
	deps.fill()
	s := &Source{cfg: cfg, deps: deps, pace: defaultPace(), quiet: telemetry.Quiet{Log: deps.Log}, unkept: telemetry.Quiet{Log: deps.Log}}
	s.security, _ = parseSecurity(cfg.Security)
	s.trust = trust{deps.PKI}
	if cfg.Trust != "" {
		s.trust = trust{string(cfg.Trust)}
	}
	s.status = source.Status{
		ID: deps.ID, Transport: "opcua", State: source.Connecting, Since: deps.Now(), Address: cfg.Endpoint, Items: len(cfg.Items) + len(cfg.Events),
	}
	var err error
	if s.at, err = load(deps.Cursor); err != nil {
		return nil, fmt.Errorf("source %s: %w", deps.ID, err)
	}
	s.status.OpenGaps, s.stored = s.at.Open, deps.Cursor
	s.makeTracks()
	s.prune()
	s.restore()
	return s, nil
}

func (d *Deps) fill() {
	if d.System == "" {
		d.System = d.ID
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Clock == nil {
		d.Clock = func() source.ClockState { return source.ClockState{} }
	}
	if d.Rand == nil {
		d.Rand = rand.Float64
	}
	if d.Servers == nil {
		d.Servers = NewServers()
	}
	if d.Metrics == nil {
		d.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	d.Log = d.Log.With().Str(telemetry.KeySource, d.ID).Logger()
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

// errPanicked says that a panic was caught.
var errPanicked = errors.New("panicked")

// guarded catches what a fault of the library or our own does to a goroutine of ours; those of the library end the
// process. What was read and not stored is read again: the source goes back to where its cursor on disk is.
func (s *Source) guarded(do func() error) (err error) {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		err = problem.New(problem.Internal, "reading server %s %w: %v", s.cfg.Endpoint, errPanicked, fault)
		s.deps.Log.Error().Str("stack", string(debug.Stack())).AnErr(telemetry.KeyError, err).Msg("opcua source panicked")
		if at, failed := load(s.stored); failed == nil {
			s.at = at
			s.restore()
		}
	}()
	return do()
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

// Run implements [source.Source].
func (s *Source) Run(ctx context.Context, emit source.Emit) error {
	defer s.deps.Servers.release(s.deps.ID)
	begun := s.deps.Cursor == nil || s.lost(ctx, emit, source.GapAgentRestart) == nil
	for begun && ctx.Err() == nil { // else ctx ended before the gap of the start could be stored: it is found again
		s.pause(ctx, s.judge(s.live(ctx, emit)))
	}
	return nil
}

// pause waits unless ctx ends.
func (s *Source) pause(ctx context.Context, d time.Duration) {
	if ctx.Err() != nil || d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// judge takes in how a life ended and returns how long to wait before the next. Lived is how long it was live.
func (s *Source) judge(lived time.Duration, err error) time.Duration {
	if err == nil {
		return 0
	}
	if lived >= s.pace.long {
		s.fails = 0
	}
	s.fails++
	state, wait := source.BackingOff, s.backoff()
	switch {
	case errors.Is(err, errLogin):
		state, wait = source.Refused, s.pace.login
	case refusal(err):
		state, wait = source.Refused, s.pace.refused
	}
	s.set(state, err)
	code := problem.CodeOf(err)
	if !s.quiet.Failed(err, "opcua connection lost") && code != s.logged {
		s.deps.Log.Warn().AnErr(telemetry.KeyError, err).Str(telemetry.KeyErrorCode, string(code)).Msg("opcua connection lost")
	}
	s.logged = code
	return wait
}

// backoff doubles from the first wait to the longest, less up to half at random, so that the sources of a plant do not
// come back as one.
func (s *Source) backoff() time.Duration {
	d := min(s.pace.first<<min(s.fails-1, 16), s.pace.longest)
	return d - time.Duration(s.deps.Rand()*float64(d)/2)
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

// emit stores a batch. It tries the same batch again until it is stored or ctx ends; then the attempt under way has some
// time more. An error means that ctx has ended.
func (s *Source) emit(ctx context.Context, emit source.Emit, b source.Batch) error {
	b.Source, b.Cursor = s.deps.ID, s.at.bytes()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the batch in hand is finished when ctx ends
	defer cancel()
	defer context.AfterFunc(ctx, func() { s.pause(work, s.pace.finish); cancel() })()
	full := time.AfterFunc(s.pace.full, s.isFull)
	defer full.Stop()
	for wait := s.pace.first / 5; ; wait = min(2*wait, s.pace.longest) {
		err := emit(work, b)
		if err == nil {
			s.stored = b.Cursor
			s.notFull()
			s.unkept.Recovered("values are stored again")
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("store values: %w", err)
		}
		s.unkept.Failed(err, "values not stored")
		s.pause(work, wait)
	}
}

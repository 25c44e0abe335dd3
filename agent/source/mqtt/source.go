package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

var _ source.Source = (*Source)(nil)

// Deps is what a source needs besides its configuration. ID, Plant and Agent are required.
type Deps struct {
	ID        string // of the source
	System    string // of record; "" = ID
	Equipment string
	Plant     string
	Agent     string

	// Cursor is the newest [source.Batch.Cursor] of this source that is on disk; nil before the first.
	Cursor []byte

	Log   zerolog.Logger
	Now   func() time.Time         // nil = time.Now
	Clock func() source.ClockState // nil = never synchronised
	Rand  func() float64           // from 0 to 1, for back-off; nil = math/rand
}

// pace is how long things take. Tests shorten it.
type pace struct {
	first, longest time.Duration // back-off after a loss, doubling
	refused        time.Duration // after a refusal, and between tries of a refused subscription
	takeover       time.Duration // while another client uses our id
	short          time.Duration // a connection lost sooner after CONNACK counts towards a takeover
	full           time.Duration // an emit that takes longer means that the queue is full
	finish         time.Duration // for the batch in hand when the source is to end
	tick           time.Duration // between cursors while nothing arrives
	answer         time.Duration // for CONNACK and SUBACK
}

func defaultPace() pace {
	return pace{
		first: 500 * time.Millisecond, longest: 5 * time.Second, refused: 30 * time.Second, takeover: time.Minute,
		short: 5 * time.Second, full: 2 * time.Second, finish: 5 * time.Second, tick: time.Minute, answer: 10 * time.Second,
	}
}

// shortLives is after how many short connections in a row another client with our id is the likely reason.
const shortLives = 3

// Source reads one broker. It implements [source.Source].
type Source struct {
	cfg     Config
	deps    Deps
	address *url.URL
	client  string // our id at the broker
	pace    pace
	quiet   telemetry.Quiet // about the connection
	unkept  telemetry.Quiet // about batches that the queue does not take

	// Used by Run's goroutine only.
	cursor cursor
	begun  bool      // there is a cursor, so that the broker should know our session
	left   time.Time // where the agent's run before ended reading; zero once that time is accounted for
	short  int       // short connections since the last long one
	fails  int       // failed connections in a row
	logged problem.Code

	mu        sync.Mutex // guards what follows; held over no I/O
	status    source.Status
	connected bool   // there was a connection before
	warned    bool   // about QoS 0
	standing  string // what is wrong while the source is live, if anything
}

// cursor says up to when the session is known to have been whole. It is kept with the batches.
type cursor struct {
	Until   time.Time `json:"until"`
	Filters []string  `json:"filters"`        // subscribed to, so that those no longer wanted can be ended
	Lost    bool      `json:"lost,omitempty"` // the session was found lost, the gap from Until on is not recorded yet
}

// New checks the configuration. It does no I/O.
func New(cfg Config, deps Deps) (*Source, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if deps.ID == "" || deps.Plant == "" || deps.Agent == "" {
		return nil, problem.New(problem.ConfigMissing, "mqtt source needs id, plant and agent")
	}
	if deps.System == "" {
		deps.System = deps.ID
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Clock == nil {
		deps.Clock = func() source.ClockState { return source.ClockState{} }
	}
	if deps.Rand == nil {
		deps.Rand = rand.Float64
	}
	deps.Log = deps.Log.With().Str(telemetry.KeySource, deps.ID).Logger()
	s := &Source{cfg: cfg, deps: deps, pace: defaultPace(), quiet: telemetry.Quiet{Log: deps.Log}, unkept: telemetry.Quiet{Log: deps.Log}}
	s.address, _ = cfg.address()
	s.client = "holdfast-" + deps.Plant + "-" + deps.Agent + "-" + deps.ID
	s.status = source.Status{
		ID: deps.ID, Transport: "mqtt", State: source.Connecting, Since: deps.Now(), Address: s.address.Redacted(),
	}
	if deps.Cursor != nil {
		if err := json.Unmarshal(deps.Cursor, &s.cursor); err != nil {
			return nil, problem.New(problem.QueueVersion, "cursor of source %s: %w", deps.ID, err)
		}
		s.begun, s.left = true, s.cursor.Until
	}
	return s, nil
}

// ID implements [source.Source].
func (s *Source) ID() string { return s.deps.ID }

// Status implements [source.Source].
func (s *Source) Status() source.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.AtMostOnce = slices.Clone(st.AtMostOnce)
	return st
}

// Run implements [source.Source].
func (s *Source) Run(ctx context.Context, emit source.Emit) error {
	for ctx.Err() == nil {
		s.pause(ctx, s.judge(s.connection(ctx, emit)))
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

// judge takes in how a connection ended and returns how long to wait before the next. Life is how long it stood after
// CONNACK, 0 if it never did.
func (s *Source) judge(life time.Duration, err error) time.Duration {
	if err == nil {
		return 0
	}
	own := problem.CodeOf(err) == problem.SourceBlocked || errors.Is(err, errPacket)
	switch {
	case life >= s.pace.short:
		s.fails, s.short = 0, 0
	case life > 0 && !own:
		s.short++ // a failure before CONNACK changes nothing: some brokers make a client that is thrown out wait
	}
	s.fails++
	state, wait := source.BackingOff, s.backoff()
	switch {
	case s.short >= shortLives:
		wait = s.pace.takeover
		err = problem.New(problem.SourceTakeover, "most likely another client uses the id %s: %d connections were lost within %s: %w", s.client, s.short, s.pace.short, err)
	case own && s.fails >= shortLives:
		wait = s.pace.refused
	case !own && refusal(err):
		state, wait = source.Refused, s.pace.refused
	}
	s.set(state, err)
	s.report(err, "mqtt connection lost")
	return wait
}

// report logs a failure quietly, but another kind of failure than the last at once.
func (s *Source) report(err error, message string) {
	code := problem.CodeOf(err)
	if !s.quiet.Failed(err, message) && code != s.logged {
		s.deps.Log.Warn().AnErr(telemetry.KeyError, err).Str(telemetry.KeyErrorCode, string(code)).Msg(message)
	}
	s.logged = code
}

// backoff doubles from the first wait to the longest, less up to half at random, so that the agents of a plant do not
// come back as one.
func (s *Source) backoff() time.Duration {
	d := s.pace.first << min(s.fails-1, 16)
	d = min(d, s.pace.longest)
	return d - time.Duration(s.deps.Rand()*float64(d)/2)
}

// refusal tells whether a person must act before the broker takes us.
func refusal(err error) bool {
	for _, refused := range []error{
		packets.ErrorRefusedBadProtocolVersion, packets.ErrorRefusedIDRejected, packets.ErrorRefusedBadUsernameOrPassword,
		packets.ErrorRefusedNotAuthorised,
	} {
		if errors.Is(err, refused) {
			return true
		}
	}
	switch problem.CodeOf(err) {
	case problem.ConfigFile, problem.ConfigSecret, problem.ConfigMissing, problem.TLSFailed, problem.SourceRefused:
		return true
	}
	return false
}

// explain says in a sentence why no connection came about.
func (s *Source) explain(err error) error {
	var p *problem.Problem
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var alert tls.AlertError
	where := s.address.Host
	switch {
	case errors.As(err, &p):
		return err
	case refusal(err):
		return problem.New(problem.SourceRefused, "broker %s refuses client %s: %w", where, s.client, err)
	case errors.As(err, &unknown):
		return problem.New(problem.TLSFailed, "certificate of broker %s is signed by an authority that tls ca does not name: %w", where, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return problem.New(problem.TLSFailed, "certificate of broker %s is not valid at this host's time; check the clock first: %w", where, err)
	case errors.As(err, &invalid), errors.As(err, &host):
		return problem.New(problem.TLSFailed, "certificate of broker %s is not for it: %w", where, err)
	case errors.As(err, &alert) || strings.Contains(err.Error(), "tls: "):
		return problem.New(problem.TLSFailed, "broker %s refuses the TLS connection, perhaps for want of our certificate: %w", where, err)
	}
	return problem.New(problem.SourceDown, "connect to broker %s: %w", where, err)
}

// set changes the state. A nil err clears the problem.
func (s *Source) set(state source.State, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.State != state {
		s.status.State, s.status.Since = state, s.deps.Now()
	}
	s.status.Problem, s.status.Next = "", ""
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		s.status.Problem, s.status.Next = p.Error(), p.Next
	} else if err != nil {
		s.status.Problem = err.Error()
	}
	s.standing = s.status.Problem
}

// count changes counters of the status.
func (s *Source) count(change func(*source.Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
}

// countConnection counts a connection and tells whether it is not the first.
func (s *Source) countConnection() (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	again = s.connected
	if again {
		s.status.Reconnects++
	}
	s.connected = true
	return again
}

// atMostOnce notes a topic outside the promise, and warns about the first.
func (s *Source) atMostOnce(topic string) {
	s.mu.Lock()
	first := !s.warned
	s.warned = true
	if len(s.status.AtMostOnce) < 10 && !slices.Contains(s.status.AtMostOnce, topic) {
		s.status.AtMostOnce = append(s.status.AtMostOnce, topic)
	}
	s.mu.Unlock()
	if first && s.cfg.MinQoS > 0 {
		s.deps.Log.Warn().Str(telemetry.KeyTopic, topic).Msg("messages with qos 0 are outside the promise")
	}
}

// emit stores a batch. It tries the same batch again until it is stored or ctx ends; then the attempt under way has some
// time more. An error means that ctx has ended; nothing of the batch may be acknowledged.
func (s *Source) emit(ctx context.Context, emit source.Emit, b source.Batch) error {
	b.Source = s.deps.ID
	if b.Cursor == nil {
		b.Cursor = s.position()
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the batch in hand is finished when ctx ends
	defer cancel()
	defer context.AfterFunc(ctx, func() { s.pause(work, s.pace.finish); cancel() })()
	full := time.AfterFunc(s.pace.full, s.isFull)
	defer full.Stop()
	for wait := s.pace.first / 5; ; wait = min(2*wait, s.pace.longest) {
		err := emit(work, b)
		if err == nil {
			s.notFull()
			s.unkept.Recovered("messages are stored again")
			s.begun = true
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("store messages: %w", err)
		}
		s.unkept.Failed(err, "messages not stored")
		s.pause(work, wait)
	}
}

func (s *Source) isFull() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.State == source.Live {
		s.status.State, s.status.Since = source.Full, s.deps.Now()
		p := problem.New(problem.QueueFull, "messages wait at the broker, since the queue takes none")
		s.status.Problem, s.status.Next = p.Error(), p.Next
	}
}

func (s *Source) notFull() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.State == source.Full {
		s.status.State, s.status.Since, s.status.Problem, s.status.Next = source.Live, s.deps.Now(), s.standing, ""
	}
}

// position returns the cursor as it is kept.
func (s *Source) position() []byte {
	b, err := json.Marshal(s.cursor)
	if err != nil {
		panic(fmt.Sprintf("cursor: %v", err)) // times and texts always encode
	}
	return b
}

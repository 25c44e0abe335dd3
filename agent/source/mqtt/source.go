package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

var _ source.Source = (*Source)(nil)

// Deps is what a source needs besides its configuration.
type Deps = source.Deps

// pace is how long things take here, besides what all sources do. Tests shorten it.
type pace struct {
	refused  time.Duration // after a refusal, and between tries of a refused subscription
	takeover time.Duration // while another client uses our id
	short    time.Duration // a connection lost sooner after CONNACK counts towards a takeover
	tick     time.Duration // between cursors while nothing arrives
	answer   time.Duration // for CONNACK, SUBACK and UNSUBACK
	settle   time.Duration // without a message, after which what waited at the broker may have come
	busy     time.Duration // after which no such time is asked of a source that is never silent
}

// defaultPace: brokers begin to send what waits within some 150 ms of CONNACK, and a gap that nothing is behind should
// keep a release for less than a second.
func defaultPace() pace {
	return pace{
		refused: 30 * time.Second, takeover: time.Minute, short: 5 * time.Second, tick: time.Minute, answer: 10 * time.Second,
		settle: 250 * time.Millisecond, busy: 10 * time.Second,
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
	super   *source.Supervisor

	// Used by Run's goroutine only.
	cursor cursor
	kept   cursor // the newest that is on disk
	begun  bool   // there is one, so that the broker should know our session
	short  int    // short connections since the last long one
	own    int    // connections in a row that we ended ourselves

	mu        sync.Mutex // guards what follows; held over no I/O
	connected bool       // there was a connection before
	warned    bool       // about QoS 0
}

// cursor says up to when the session is known to have been whole. It is kept with the batches.
type cursor struct {
	Until   time.Time `json:"until"`
	Filters []string  `json:"filters"`        // subscribed to, so that those no longer wanted can be ended
	Lost    bool      `json:"lost,omitempty"` // the session was found lost, the end of the gap from Until on is not recorded yet
}

// New checks the configuration. It does no I/O.
func New(cfg Config, deps Deps) (*Source, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if err := deps.Fill(); err != nil {
		return nil, err
	}
	s := &Source{cfg: cfg, deps: deps, pace: defaultPace()}
	s.address, _ = cfg.address()
	s.client = "holdfast-" + deps.Plant + "-" + deps.Agent + "-" + deps.ID
	if deps.Cursor != nil {
		if err := json.Unmarshal(deps.Cursor, &s.cursor); err != nil {
			return nil, problem.New(problem.QueueVersion, "cursor of source %s: %w", deps.ID, err)
		}
		s.begun, s.kept = true, s.cursor
	}
	s.super = source.NewSupervisor(deps, source.Rules{
		Transport: "mqtt", Address: s.address.Redacted(), Waits: "messages wait at the broker, since the queue takes none",
		Grace: cfg.DisconnectGap, From: s.unseen, Cursor: func(*source.Batch) []byte { return s.position() },
		Stored:  func(*source.Batch) { s.begun, s.kept = true, s.cursor },
		Restore: func() { s.cursor = s.kept },
	})
	return s, nil
}

// ID implements [source.Source].
func (s *Source) ID() string { return s.deps.ID }

// Status implements [source.Source].
func (s *Source) Status() source.Status { return s.super.Status() }

// Begin implements [source.Source].
func (s *Source) Begin(ctx context.Context, emit source.Emit) error { return s.super.Begin(ctx, emit) }

// Run implements [source.Source].
func (s *Source) Run(ctx context.Context, emit source.Emit) error {
	s.super.Run(ctx, emit, func(ctx context.Context) source.Ending { return s.ending(s.connection(ctx, emit)) })
	return nil
}

// unseen returns since when the session is not known to be whole.
func (s *Source) unseen(string) (from time.Time, known bool) { return s.cursor.Until, s.begun }

// ending judges how a connection ended. Life is how long it stood after CONNACK, 0 if it never did.
func (s *Source) ending(life time.Duration, err error) source.Ending {
	e := source.Ending{Err: err, Steady: life >= s.pace.short}
	own := errors.Is(err, errPacket)
	switch {
	case e.Steady:
		s.short, s.own = 0, 0
	case life > 0 && !own:
		s.short++ // a failure before CONNACK changes nothing: some brokers make a client that is thrown out wait
	}
	if own {
		s.own++
	}
	switch {
	case s.short >= shortLives:
		e.Wait = s.pace.takeover
		e.Err = problem.New(problem.SourceTakeover, "most likely another client uses the id %s: %d connections were lost within %s: %w", s.client, s.short, s.pace.short, err)
	case own && s.own >= shortLives:
		e.Wait = s.pace.refused
	case !own && refusal(err):
		e.Refused, e.Wait = true, s.pace.refused
	}
	return e
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

// countConnection counts a connection and tells whether it is not the first.
func (s *Source) countConnection() (again bool) {
	s.mu.Lock()
	again, s.connected = s.connected, true
	s.mu.Unlock()
	if again {
		s.super.Update(func(st *source.Status) { st.Reconnects++ })
	}
	return again
}

// atMostOnce notes a topic outside the promise, and warns about the first.
func (s *Source) atMostOnce(topic string) {
	s.mu.Lock()
	first := !s.warned
	s.warned = true
	s.mu.Unlock()
	s.super.Update(func(st *source.Status) {
		if len(st.AtMostOnce) < 10 && !slices.Contains(st.AtMostOnce, topic) {
			st.AtMostOnce = append(st.AtMostOnce, topic)
		}
	})
	if first && s.cfg.MinQoS > 0 {
		s.deps.Log.Warn().Str(telemetry.KeyTopic, topic).Msg("messages with qos 0 are outside the promise")
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

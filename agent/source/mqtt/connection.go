package mqtt

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

const (
	maxBatch      = 500     // signals
	maxBatchBytes = 1 << 20 // of payload

	// minRoom is the least room between link and committer, in messages. When it is full the link is read no further: the
	// handler never waits, since a handler that does keeps the library from answering pings. No broker may send more than
	// its in-flight limit without an acknowledgement, but Mosquitto up to 2.0.11 sends as many anew at each of them.
	minRoom = 2000
	// maxInHand bounds the payloads in that room, in bytes.
	maxInHand = 64 << 20

	keepAlive      = 15 * time.Second
	pingTimeout    = 5 * time.Second
	connectTimeout = 5 * time.Second
	writeTimeout   = 10 * time.Second
	goodbye        = 250 // ms for the library to send DISCONNECT

	// blindness is how long a dead link can pass for a living one.
	blindness = keepAlive + pingTimeout

	// closedBySession is why a restart of the agent left nothing out.
	closedBySession = "the broker kept the session, and with it what came meanwhile"
)

// delivery is one message from its arrival to its acknowledgement.
type delivery struct {
	signal  source.Signal
	store   bool // false: only to be acknowledged
	message paho.Message
	row     *row // nil: not in the table
}

// connection is one connection, with a client of its own: the library is not let reconnect by itself, so that what
// holds within a connection (packet ids, cut payloads) ends with it.
type connection struct {
	*Source
	client paho.Client
	guard  *guard
	table  *table
	gate   *gate
	in     chan delivery
	lost   chan error // buffered
	up     time.Time  // of CONNACK
	calm   calm

	arrived atomic.Uint64 // PUBLISH packets that the handler has seen
	stored  int           // messages stored and acknowledged
}

// connection runs one connection until it is lost or ctx ends. It returns how long it stood after CONNACK, and why it
// ended; nil means that ctx ended.
func (s *Source) connection(ctx context.Context, emit source.Emit) (life time.Duration, err error) {
	room := max(2*s.cfg.InFlight, minRoom)
	c := &connection{Source: s, table: newTable(room), gate: newGate(max(maxInHand, 2*int64(s.cfg.MaxPayload)), room), in: make(chan delivery, room), lost: make(chan error, 1)}
	s.super.Set(source.Connecting, nil)
	var present bool
	if ended := s.super.Reach(ctx, emit, func() { present, err = c.open(ctx) }); ended != nil || ctx.Err() != nil {
		c.hangUp()
		return 0, nil
	}
	if err != nil {
		return 0, s.explain(err)
	}
	defer c.hangUp()
	c.up = s.deps.Now()
	err = c.read(ctx, emit, present)
	if life = max(s.deps.Now().Sub(c.up), 1); ctx.Err() != nil {
		return life, nil
	}
	return life, c.why(err)
}

// hangUp ends the connection where there is one.
func (c *connection) hangUp() {
	if c.client != nil {
		c.client.Disconnect(goodbye)
	}
}

// why names our own reason for a loss, where there is one.
func (c *connection) why(err error) error {
	if own := c.guard.why(); own != nil {
		return problem.New(problem.SourceRefused, "link to broker %s was closed: %w", c.address.Host, own)
	}
	if _, ok := errors.AsType[*problem.Problem](err); ok {
		return err
	}
	return problem.New(problem.SourceDown, "connection to broker %s was lost: %w", c.address.Host, err)
}

// open connects, and tells whether the broker knew our session.
func (c *connection) open(ctx context.Context) (present bool, err error) {
	password, err := c.cfg.PasswordFile.Read()
	if err != nil {
		return false, err
	}
	var opened error
	o := paho.NewClientOptions()
	o.AddBroker(c.address.String()).SetProtocolVersion(4).SetCleanSession(false).SetClientID(c.Source.client)
	o.SetUsername(c.cfg.User).SetPassword(password.Reveal())
	o.SetAutoAckDisabled(true).SetOrderMatters(true)
	o.SetDefaultPublishHandler(c.receive) // before Connect: a resumed session sends at once
	o.SetAutoReconnect(false).SetConnectRetry(false)
	o.SetKeepAlive(keepAlive).SetPingTimeout(pingTimeout).SetConnectTimeout(connectTimeout).SetWriteTimeout(writeTimeout)
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { c.end(cmp.Or(err, io.EOF)) })
	o.SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) {
		conn, err := c.dial(ctx, u)
		if err != nil {
			opened = err
			return nil, err
		}
		c.guard = newGuard(conn, int(c.cfg.MaxPayload), len(c.cfg.Subscribe), c.gate)
		return c.guard, nil
	})
	c.client = paho.NewClient(o)
	token := c.client.Connect().(*paho.ConnectToken)
	<-token.Done() // bounded by connectTimeout
	switch {
	case opened != nil:
		return false, opened
	case token.Error() != nil && c.guard.why() != nil:
		return false, c.guard.why()
	case token.Error() != nil:
		return false, token.Error()
	}
	return token.SessionPresent(), nil
}

// dial opens the link. Certificates are read anew each time, so that new ones need no restart.
func (c *connection) dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var secure *tls.Config
	if u.Scheme == "ssl" || u.Scheme == "wss" {
		var err error
		if secure, err = c.cfg.TLS.Config(); err != nil {
			return nil, err
		}
		secure.ServerName = u.Hostname()
	}
	switch u.Scheme {
	case "ws", "wss":
		return paho.NewWebsocket(u.String(), secure, connectTimeout, nil, nil)
	case "ssl":
		return (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", u.Host)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
}

// receive is called by the library for one message after another. It never waits.
func (c *connection) receive(_ paho.Client, m paho.Message) {
	cut := c.guard.cut(c.arrived.Add(1))
	d := delivery{message: m, store: true}
	if m.Qos() > 0 {
		var kind arrival
		kind, d.row = c.table.arrive(m, digest(m, cut))
		if kind != fresh {
			c.super.Update(func(st *source.Status) { st.Duplicates++ })
		}
		if kind == inHand {
			c.gate.release(0)
			return
		}
		d.store = kind == fresh
	}
	if d.store && c.discarded(m.Topic()) {
		d.store = false
		c.super.Update(func(st *source.Status) { st.Discarded++ })
	}
	if d.store {
		d.signal = c.signal(m, cut)
	}
	c.gate.take(len(d.signal.Raw))
	c.in <- d // there is room for all that the gate lets in
}

// end says once that the connection is lost. It never waits.
func (c *connection) end(reason error) {
	select {
	case c.lost <- reason:
	default:
	}
}

// digest tells two messages apart.
func digest(m paho.Message, cut *source.Cut) (sum [sha256.Size]byte) {
	h := sha256.New()
	_, _ = io.WriteString(h, m.Topic())
	h.Write([]byte{0})
	h.Write(m.Payload())
	if cut != nil {
		_, _ = io.WriteString(h, cut.SHA256)
	}
	h.Sum(sum[:0])
	return sum
}

func (c *connection) discarded(topic string) bool {
	return slices.ContainsFunc(c.cfg.Discard, func(f string) bool { return matches(f, topic) })
}

func (c *connection) signal(m paho.Message, cut *source.Cut) source.Signal {
	s := source.Signal{
		Source: c.deps.ID, System: c.deps.System, Equipment: c.deps.Equipment, Transport: "mqtt", Ref: m.Topic(),
		Kind: source.KindMessage, Raw: m.Payload(), Cut: cut, Quality: source.Uncertain, Arrived: c.deps.Now(), Clock: c.deps.Clock(),
	}
	for _, f := range []struct {
		name string
		is   bool
	}{
		{source.FlagRetained, m.Retained()},
		{source.FlagRedelivered, m.Duplicate()},
		{source.FlagCut, cut != nil},
		{source.FlagAtMostOnce, m.Qos() == 0},
		{source.FlagUnsubscribed, !slices.ContainsFunc(c.cfg.Subscribe, func(f string) bool { return matches(f, m.Topic()) })},
	} {
		if f.is {
			s.Flags = append(s.Flags, f.name)
		}
	}
	if m.Qos() == 0 {
		c.atMostOnce(m.Topic())
	}
	c.super.Update(func(st *source.Status) { st.Received++; st.LastSignal = s.Arrived })
	return s
}

// read subscribes and stores what arrives, until the connection is lost or ctx ends. Messages of a resumed session
// arrive while the subscription is still under way.
func (c *connection) read(ctx context.Context, emit source.Emit, present bool) error {
	if err := c.resume(ctx, emit, present); err != nil {
		return err
	}
	tick := time.NewTicker(c.pace.tick)
	defer tick.Stop()
	sub := c.subscribe()
	answer := time.NewTimer(c.pace.answer)
	defer answer.Stop()
	var retry, silent <-chan time.Time
	broken := c.guard.broken
	for {
		select {
		case <-ctx.Done():
			return c.rest(ctx, emit, nil)
		case <-broken: // what was read before still comes, and the library says so then, but not of one that broke right after CONNACK
			broken, silent = nil, time.After(time.Second)
		case <-silent:
			return c.rest(ctx, emit, io.EOF)
		case err := <-c.lost:
			return c.rest(ctx, emit, err)
		case d := <-c.in:
			batch := c.gather(d)
			if err := c.commit(ctx, emit, batch); err != nil {
				return err
			}
			c.stored += len(batch)
			c.calm.heard = time.Now()
		case <-c.super.Due():
			if err := c.super.Record(ctx, emit); err != nil {
				return err
			}
		case <-c.calm.beat():
			if err := c.ask(); err != nil {
				return err
			}
		case <-c.calm.answer():
			if err := c.settle(ctx, emit); err != nil {
				return err
			}
		case <-done(sub):
			refused, err := c.subscribed(ctx, emit, sub)
			if err != nil {
				return err
			}
			sub = nil
			answer.Stop()
			if refused {
				retry = time.After(c.pace.refused)
			}
		case <-retry:
			retry, sub = nil, c.subscribe()
			answer.Reset(c.pace.answer)
		case <-answer.C:
			if len(c.in) > 0 || time.Since(c.calm.heard) < c.pace.answer { // it may wait behind what we read no faster
				answer.Reset(c.pace.answer)
				continue
			}
			return problem.New(problem.SourceDown, "broker %s does not answer the subscription", c.address.Host)
		case <-tick.C:
			if err := c.idle(ctx, emit, sub == nil); err != nil {
				return err
			}
		}
	}
}

// done returns the channel of a token; nil for none.
func done(t *paho.SubscribeToken) <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.Done()
}

// resume notes a lost session before it is made whole again: a crash from here to the gap's record must not hide it.
func (c *connection) resume(ctx context.Context, emit source.Emit, present bool) error {
	if c.begun && !present && !c.cursor.Lost {
		c.cursor.Lost = true
		if err := c.super.Emit(ctx, emit, source.Batch{}); err != nil {
			return err
		}
	}
	if c.countConnection() {
		c.deps.Log.Info().Bool("session_present", present).Msg("mqtt connection is up again")
	}
	c.unsubscribe()
	return nil
}

// unsubscribe ends subscriptions of an earlier configuration, which the session still holds.
func (c *connection) unsubscribe() {
	old := slices.DeleteFunc(slices.Clone(c.cursor.Filters), func(f string) bool { return slices.Contains(c.cfg.Subscribe, f) })
	if len(old) > 0 {
		c.client.Unsubscribe(old...)
	}
}

// subscribe asks for all filters in one packet.
func (c *connection) subscribe() *paho.SubscribeToken {
	filters := make(map[string]byte, len(c.cfg.Subscribe))
	for _, f := range c.cfg.Subscribe {
		filters[f] = 1
	}
	return c.client.SubscribeMultiple(filters, nil).(*paho.SubscribeToken)
}

// subscribed takes the broker's answer in. With a filter refused the source is not live, but what others bring is read.
func (c *connection) subscribed(ctx context.Context, emit source.Emit, token *paho.SubscribeToken) (refused bool, err error) {
	if err := token.Error(); err != nil {
		return false, problem.New(problem.SourceDown, "subscribe at broker %s: %w", c.address.Host, err)
	}
	no, weak := granted(token.Result())
	if len(no) > 0 { // a gap goes on as long as something of the source is not observed
		err := problem.New(problem.SourceRefused, "broker %s refuses the subscription to %s", c.address.Host, strings.Join(no, ", "))
		c.super.Set(source.Refused, err)
		c.super.Report(err, "mqtt subscription refused")
		return true, nil
	}
	if err := c.whole(ctx, emit, len(weak) == 0); err != nil {
		return false, err
	}
	var standing error
	if len(weak) > 0 {
		standing = problem.New(problem.SourceRefused, "broker %s grants only QoS 0 to %s: a message while the agent is away is lost", c.address.Host, strings.Join(weak, ", "))
	}
	c.super.Live(standing)
	return false, nil
}

// granted sorts out filters that were refused and those that got QoS 0 only.
func granted(answers map[string]byte) (refused, weak []string) {
	for filter, qos := range answers {
		switch {
		case qos > 2:
			refused = append(refused, filter)
		case qos == 0:
			weak = append(weak, filter)
		}
	}
	slices.Sort(refused)
	slices.Sort(weak)
	return refused, weak
}

// whole takes in that the broker keeps messages for us again. What a lost session has lost is recorded, and so is what
// came where the broker grants QoS 0 only; a session that was kept has what came meanwhile, and is asked for it.
func (c *connection) whole(ctx context.Context, emit source.Emit, kept bool) error {
	now := c.deps.Now()
	missing := c.super.Open() != nil || c.super.Due() != nil
	g := source.Gap{From: c.cursor.Until, To: now, Reason: source.GapDisconnect}
	if open := c.super.Open(); open != nil {
		g.Reason = open.Reason
	}
	var b source.Batch
	switch {
	case c.cursor.Lost:
		g.Reason = source.GapSessionLost
		c.super.Bound(&b, g)
	case c.begun && missing && !kept:
		c.super.Bound(&b, g)
	case missing:
		c.calm = newCalm(c.pace)
	}
	if c.begun && len(b.Gaps) == 0 && slices.Equal(c.cursor.Filters, c.cfg.Subscribe) {
		return nil
	}
	c.cursor = cursor{Until: now, Filters: c.cfg.Subscribe}
	if err := c.super.Emit(ctx, emit, b); err != nil {
		return err
	}
	c.warn(&b)
	return nil
}

// warn says that a gap stays open: a person has to answer for it.
func (c *connection) warn(b *source.Batch) {
	if len(b.Gaps) == 0 {
		return
	}
	p := problem.New(problem.SessionLost, "broker %s kept nothing for client %s from %s on", c.address.Host, c.Source.client, b.Gaps[0].From.UTC().Format(time.RFC3339Nano))
	c.deps.Log.Warn().AnErr(telemetry.KeyError, p).Str(telemetry.KeyErrorCode, string(p.Code)).Str("reason", b.Gaps[0].Reason).Msg("mqtt gap recorded")
}

// idle moves the cursor on while nothing arrives, so that a lost session is a short gap.
func (c *connection) idle(ctx context.Context, emit source.Emit, subscribed bool) error {
	until := c.deps.Now().Add(-blindness)
	if !subscribed || c.cursor.Lost || len(c.in) > 0 || !until.After(c.cursor.Until) {
		return nil
	}
	c.cursor.Until = until
	return c.super.Emit(ctx, emit, source.Batch{})
}

// gather takes what waits, up to a batch.
func (c *connection) gather(first delivery) []delivery {
	batch, size := []delivery{first}, len(first.signal.Raw)
	for len(batch) < maxBatch && size < maxBatchBytes {
		select {
		case d := <-c.in:
			batch = append(batch, d)
			size += len(d.signal.Raw)
		default:
			return batch
		}
	}
	return batch
}

// commit stores a batch and then acknowledges it in the order of arrival.
func (c *connection) commit(ctx context.Context, emit source.Emit, batch []delivery) error {
	var b source.Batch
	for i := range batch {
		if batch[i].store {
			b.Signals = append(b.Signals, batch[i].signal)
		}
	}
	if n := len(b.Signals); n > 0 {
		if last := b.Signals[n-1].Arrived; !c.cursor.Lost && last.After(c.cursor.Until) {
			c.cursor.Until = last
		}
		if err := c.super.Emit(ctx, emit, b); err != nil {
			return err
		}
	}
	if err := failpoint.Hit("mqtt.before_ack"); err != nil {
		return err
	}
	for i := range batch {
		m := batch[i].message
		if batch[i].row != nil {
			m = c.table.acknowledge(batch[i].row)
		}
		m.Ack() // on a lost connection it does nothing: the broker sends the message again
		c.gate.release(len(batch[i].signal.Raw))
	}
	return nil
}

// rest stores what no broker holds for us before the connection is given up. Everything else comes again.
func (c *connection) rest(ctx context.Context, emit source.Emit, reason error) error {
	var batch []delivery
	for len(c.in) > 0 {
		if d := <-c.in; d.message.Qos() == 0 {
			batch = append(batch, d)
		}
	}
	if len(batch) > 0 {
		if err := c.commit(ctx, emit, batch); err != nil {
			return err
		}
	}
	return reason
}

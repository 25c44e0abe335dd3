package mqtt

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Probed is what a broker was seen to do. A setting that no one can read over MQTT shows in it.
type Probed struct {
	InFlight int // messages that it sends without an acknowledgement; Sent means that many or more
	Sent     int // small messages that it acknowledged while the session that wants them was away
	Kept     int // of these, the ones that it had when the session came back

	// Large says what became of a message above max_payload.
	Large Fate
	// Dropped is how many messages it says that it has dropped since its start; -1 = it does not say.
	Dropped int64

	// Open says that our user may write where nothing of it belongs: the broker has no list of rights, or one with a hole.
	// False proves less: what nobody may read comes back to nobody.
	Open bool
	// Will says that the broker publishes what a client has left for the case that its connection dies.
	Will bool

	// Refused are filters of the source that it refuses. Those that it grants it may still keep for itself: Mosquitto looks at
	// its list of rights when it delivers, and not before.
	Refused []string
	Weak    []string // filters that it grants with QoS 0 only
}

// Fate is what became of a message.
type Fate string

// Fates.
const (
	Delivered Fate = "delivered"
	Denied    Fate = "refused" // and its publisher knows it
	Lost      Fate = "lost"    // acknowledged to its publisher, and gone
)

// probePace is how long a probe waits.
type probePace struct {
	quiet  time.Duration // without a message: no more comes
	resend time.Duration // for messages that were not acknowledged: some brokers send them again only after a while
	step   time.Duration // for anything else
}

// defaultProbe: brokers begin to send what waits within some 150 ms, and one sends again after 30 s by default.
func defaultProbe() probePace {
	return probePace{quiet: time.Second, resend: 40 * time.Second, step: 10 * time.Second}
}

const (
	// probeMessages is above what brokers keep by default for a session that is away: 1,000 in Mosquitto.
	probeMessages = 1500
	// probeTopics is where a probe publishes; the agent needs the right to publish and subscribe below it.
	probeTopics = "holdfast/doctor/"
	// foreignTopics is where no one is to have a right. A topic of the plant would tell more, and others would read it.
	foreignTopics = "holdfast/nobody/"
	droppedOnes   = "$SYS/broker/publish/messages/dropped"
)

// prober proves what a broker does, by sessions of its own that it deletes.
type prober struct {
	*Source
	pace     probePace
	id       string
	topic    string
	messages chan paho.Message
}

// Probe tries what a source needs of its broker: that it keeps and delivers what it acknowledges. It subscribes to the
// source's own filters only to see whether it may, and publishes below holdfast/doctor alone.
func Probe(ctx context.Context, cfg Config, deps Deps) (Probed, error) {
	return probe(ctx, cfg, deps, defaultProbe())
}

// ProbeFilters sees only whether the broker lets the source read its topics.
func ProbeFilters(ctx context.Context, cfg Config, deps Deps) (p Probed, err error) {
	x, err := newProber(cfg, deps, defaultProbe())
	if err != nil {
		return p, err
	}
	client, err := x.connect(ctx, x.id, true)
	if err != nil {
		return p, err
	}
	defer client.Disconnect(goodbye)
	return p, x.filters(client, &p)
}

func newProber(cfg Config, deps Deps, pace probePace) (*prober, error) {
	s, err := New(cfg, deps)
	if err != nil {
		return nil, err
	}
	var random [6]byte
	_, _ = rand.Read(random[:]) // it ends the program rather than fail
	name := hex.EncodeToString(random[:])
	return &prober{Source: s, pace: pace, id: "holdfast-doctor-" + name, topic: probeTopics + name, messages: make(chan paho.Message, 2*probeMessages)}, nil
}

func probe(ctx context.Context, cfg Config, deps Deps, pace probePace) (p Probed, err error) {
	x, err := newProber(cfg, deps, pace)
	if err != nil {
		return p, err
	}
	if err := x.session(ctx, &p); err != nil {
		return p, errors.Join(err, x.forget(context.WithoutCancel(ctx)))
	}
	if err := x.forget(ctx); err != nil {
		return p, err
	}
	return p, x.others(ctx, &p)
}

// session sees how many messages are kept for a session that is away, and how many come without an acknowledgement.
func (x *prober) session(ctx context.Context, p *Probed) error {
	client, err := x.connect(ctx, x.id, false)
	if err != nil {
		return err
	}
	err = x.subscribe(client, x.topic)
	client.Disconnect(goodbye)
	if err != nil {
		return err
	}
	if p.Sent, err = x.publishAll(ctx); err != nil {
		return err
	}
	if client, err = x.connect(ctx, x.id, false); err != nil {
		return err
	}
	inHand := map[string]bool{}
	err = x.receive(ctx, x.pace.quiet, func(m paho.Message) bool { inHand[string(m.Payload())] = true; return false })
	client.Disconnect(goodbye)
	p.InFlight = len(inHand)
	if err != nil {
		return err
	}
	x.messages = make(chan paho.Message, 2*probeMessages)
	if client, err = x.connect(ctx, x.id, false); err != nil {
		return err
	}
	defer client.Disconnect(goodbye)
	kept := map[string]bool{}
	take := func(m paho.Message) bool {
		m.Ack()
		kept[string(m.Payload())] = true
		delete(inHand, string(m.Payload()))
		return len(kept) == p.Sent
	}
	if err := x.receive(ctx, x.pace.quiet, take); err != nil {
		return err
	}
	if len(inHand) > 0 { // what was in hand comes again; nothing else is known to
		if err := x.receive(ctx, x.pace.resend, func(m paho.Message) bool { return take(m) || len(inHand) == 0 }); err != nil {
			return err
		}
		if err := x.receive(ctx, x.pace.quiet, take); err != nil {
			return err
		}
	}
	p.Kept = len(kept)
	return nil
}

// forget deletes the session at the broker.
func (x *prober) forget(ctx context.Context) error {
	client, err := x.connect(ctx, x.id, true)
	if err == nil {
		client.Disconnect(goodbye)
	}
	return err
}

// others sees what else there is to see, by one more session.
func (x *prober) others(ctx context.Context, p *Probed) error {
	x.messages = make(chan paho.Message, 2*probeMessages)
	client, err := x.connect(ctx, x.id, true)
	if err != nil {
		return err
	}
	defer client.Disconnect(goodbye)
	p.Dropped = -1
	if x.subscribe(client, droppedOnes) == nil { // else it is not for us to know
		err := x.receive(ctx, x.pace.quiet, func(m paho.Message) bool {
			m.Ack()
			n, err := strconv.ParseInt(string(m.Payload()), 10, 64)
			if err == nil && m.Topic() == droppedOnes {
				p.Dropped = n
			}
			return true
		})
		client.Unsubscribe(droppedOnes)
		if err != nil {
			return err
		}
	}
	if err := x.foreign(ctx, p); err != nil {
		return err
	}
	if err := x.will(ctx, client, p); err != nil {
		return err
	}
	if err := x.large(ctx, client, p); err != nil {
		return err
	}
	return x.filters(client, p)
}

// foreign publishes where our user has no business, over a connection of its own: a broker may refuse it by hanging up.
// Others acknowledge it all the same, so that only what comes back tells.
func (x *prober) foreign(ctx context.Context, p *Probed) error {
	client, err := x.connect(ctx, x.id+"-foreign", true)
	if err != nil {
		return err
	}
	defer client.Disconnect(goodbye)
	topic := foreignTopics + x.id
	if x.subscribe(client, topic) != nil {
		return nil // it is shut, at least for readers
	}
	if token := client.Publish(topic, 1, false, "doctor"); !token.WaitTimeout(x.pace.step) || token.Error() != nil {
		return nil
	}
	return x.receive(ctx, x.pace.quiet, func(m paho.Message) bool {
		m.Ack()
		p.Open = p.Open || m.Topic() == topic
		return p.Open
	})
}

// will lets a client die that has left a will, by cutting its connection, and sees whether the will is published.
func (x *prober) will(ctx context.Context, client paho.Client, p *Probed) error {
	topic := x.topic + "/will"
	if err := x.subscribe(client, topic); err != nil {
		return err
	}
	var link net.Conn
	dying, err := x.connectBy(ctx, x.id+"-will", true, func(o *paho.ClientOptions) {
		o.SetBinaryWill(topic, []byte("doctor"), 1, false)
		open := o.CustomOpenConnectionFn
		o.SetCustomOpenConnectionFn(func(u *url.URL, by paho.ClientOptions) (conn net.Conn, err error) {
			link, err = open(u, by)
			return link, err
		})
	})
	if err != nil {
		return nil //nolint:nilerr // a broker that lets no client with a will in publishes none
	}
	_ = link.Close() // without a DISCONNECT, as a cable that is pulled
	dying.Disconnect(0)
	return x.receive(ctx, x.pace.step/2, func(m paho.Message) bool {
		m.Ack()
		p.Will = p.Will || m.Topic() == topic
		return p.Will
	})
}

// large publishes a message above the limit of the source. Whoever sends one must learn that it is refused, or it must
// arrive: the source keeps its head and hash.
func (x *prober) large(ctx context.Context, client paho.Client, p *Probed) error {
	if err := x.subscribe(client, x.topic); err != nil {
		return err
	}
	publisher, err := x.connect(ctx, x.id+"-pub", true)
	if err != nil {
		return err
	}
	defer publisher.Disconnect(goodbye)
	payload := make([]byte, int(x.cfg.MaxPayload)+1024)
	token := publisher.Publish(x.topic, 1, false, payload)
	if !token.WaitTimeout(x.pace.step) || token.Error() != nil || !publisher.IsConnectionOpen() {
		p.Large = Denied
		return nil
	}
	p.Large = Lost
	return x.receive(ctx, x.pace.step/2, func(m paho.Message) bool {
		m.Ack()
		if len(m.Payload()) == len(payload) {
			p.Large = Delivered
		}
		return p.Large == Delivered
	})
}

// filters subscribes to what the source does. What comes is not looked at: the session ends with the connection.
func (x *prober) filters(client paho.Client, p *Probed) error {
	all := map[string]byte{}
	for _, f := range x.cfg.Subscribe {
		all[f] = 1
	}
	token := client.SubscribeMultiple(all, func(_ paho.Client, m paho.Message) { m.Ack() }).(*paho.SubscribeToken)
	if !token.WaitTimeout(x.pace.step) {
		return problem.New(problem.SourceDown, "broker %s does not answer a subscription", x.address.Host)
	}
	p.Refused, p.Weak = granted(token.Result())
	if len(p.Refused) == 0 && token.Error() != nil {
		return x.explain(token.Error())
	}
	slices.Sort(p.Refused)
	return nil
}

// connect opens a connection of its own; clean ends the session of that name.
func (x *prober) connect(ctx context.Context, id string, clean bool) (paho.Client, error) {
	return x.connectBy(ctx, id, clean, func(*paho.ClientOptions) {})
}

// connectBy is like connect, with further options.
func (x *prober) connectBy(ctx context.Context, id string, clean bool, further func(*paho.ClientOptions)) (paho.Client, error) {
	password, err := x.cfg.PasswordFile.Read()
	if err != nil {
		return nil, err
	}
	messages := x.messages
	var opened error
	o := paho.NewClientOptions()
	o.AddBroker(x.address.String()).SetProtocolVersion(4).SetCleanSession(clean).SetClientID(id)
	o.SetUsername(x.cfg.User).SetPassword(password.Reveal())
	o.SetAutoAckDisabled(true).SetOrderMatters(true).SetAutoReconnect(false).SetConnectRetry(false)
	o.SetKeepAlive(keepAlive).SetPingTimeout(pingTimeout).SetConnectTimeout(connectTimeout).SetWriteTimeout(writeTimeout)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		select {
		case messages <- m:
		default: // more than were published: another's, which is not ours to count
		}
	})
	o.SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) {
		conn, err := (&connection{Source: x.Source}).dial(ctx, u)
		if err != nil {
			opened = err
		}
		return conn, err
	})
	further(o)
	client := paho.NewClient(o)
	token := client.Connect()
	<-token.Done() // bounded by connectTimeout
	switch {
	case opened != nil:
		return nil, x.explain(opened)
	case token.Error() != nil:
		return nil, x.explain(token.Error())
	}
	return client, nil
}

func (x *prober) subscribe(client paho.Client, topic string) error {
	token := client.Subscribe(topic, 1, nil).(*paho.SubscribeToken)
	if !token.WaitTimeout(x.pace.step) {
		return problem.New(problem.SourceDown, "broker %s does not answer a subscription", x.address.Host)
	}
	refused, weak := granted(token.Result())
	if len(refused) > 0 || token.Error() != nil {
		return problem.New(problem.SourceRefused, "broker %s refuses to let the probe read %s, so that nothing is proven", x.address.Host, topic)
	}
	if len(weak) > 0 {
		return problem.New(problem.SourceRefused, "broker %s grants only QoS 0 to %s, so that it keeps nothing for us", x.address.Host, topic)
	}
	return nil
}

// publishAll publishes small messages, and returns how many were acknowledged.
func (x *prober) publishAll(ctx context.Context) (acknowledged int, err error) {
	client, err := x.connect(ctx, x.id+"-pub", true)
	if err != nil {
		return 0, err
	}
	defer client.Disconnect(goodbye)
	tokens := make([]paho.Token, probeMessages)
	for i := range tokens {
		tokens[i] = client.Publish(x.topic, 1, false, fmt.Sprintf("%06d", i))
	}
	limit := time.NewTimer(3 * x.pace.step)
	defer limit.Stop()
	for _, token := range tokens {
		select {
		case <-token.Done():
			if token.Error() == nil {
				acknowledged++
			}
		case <-limit.C:
			return acknowledged, problem.New(problem.SourceDown, "broker %s acknowledged %d of %d messages only", x.address.Host, acknowledged, probeMessages)
		case <-ctx.Done():
			return acknowledged, ctx.Err()
		}
	}
	return acknowledged, nil
}

// receive hands over messages until enough says so, or none came for so long.
func (x *prober) receive(ctx context.Context, quiet time.Duration, enough func(paho.Message) bool) error {
	silence := time.NewTimer(quiet)
	defer silence.Stop()
	for {
		select {
		case m := <-x.messages:
			if enough(m) {
				return nil
			}
			silence.Reset(quiet)
		case <-silence.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

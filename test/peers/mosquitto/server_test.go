//go:build unix

package mosquitto

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/holdfast-mesh/holdfast/agent/source/mqtt"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/test/peers/pki"
)

const (
	topic     = "acme/p1/stamping/press4/result"
	neighbour = "p2.press1" // a machine of another plant
)

// rig is a broker with the shipped configuration and access list, and an authority for its clients.
type rig struct {
	*Server
	t         *testing.T
	authority *pki.Authority
}

func start(t *testing.T) *rig {
	t.Helper()
	program := os.Getenv("HOLDFAST_PEER_MOSQUITTO")
	if program == "" {
		t.Skip("PEER SKIPPED name=mosquitto reason=HOLDFAST_PEER_MOSQUITTO names no program; make peers sets it")
	}
	dir := t.TempDir()
	authority, err := pki.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	broker, err := authority.Issue("broker")
	if err != nil {
		t.Fatal(err)
	}
	shipped := filepath.Join("..", "..", "..", "deploy", "mosquitto")
	access, err := os.ReadFile(filepath.Join(shipped, "acl.example"))
	if err != nil {
		t.Fatal(err)
	}
	acl := filepath.Join(dir, "acl")
	if err := os.WriteFile(acl, append(access, "\nuser "+neighbour+"\ntopic write acme/p2/#\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := Start(ctx, Config{
		Program: program, Shipped: filepath.Join(shipped, "holdfast.conf"), ACL: acl,
		CA: authority.CA(), Cert: broker.Cert, Key: broker.Key,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &rig{s, t, authority}
}

// tls returns what a client with a certificate for name says about TLS; "" = it has none.
func (r *rig) tls(name string) config.TLS {
	r.t.Helper()
	c := config.TLS{CA: config.Path(r.authority.CA())}
	if name != "" {
		id, err := r.authority.Issue(name)
		if err != nil {
			r.t.Fatal(err)
		}
		c.Cert, c.Key = config.Path(id.Cert), config.SecretFile(id.Key)
	}
	return c
}

// connect returns a client, and an error where the broker does not let it in.
func (r *rig) connect(name string) (paho.Client, error) {
	r.t.Helper()
	c := r.tls(name)
	security, err := c.Config()
	if err != nil {
		r.t.Fatal(err)
	}
	client := paho.NewClient(options(r.URL(), "client-"+name, security))
	token := client.Connect()
	if !token.WaitTimeout(10 * time.Second) {
		r.t.Fatal("no answer from the broker")
	}
	r.t.Cleanup(func() { client.Disconnect(0) })
	return client, token.Error()
}

func options(url, id string, security *tls.Config) *paho.ClientOptions {
	return paho.NewClientOptions().AddBroker(url).SetClientID(id).SetTLSConfig(security).SetProtocolVersion(4).SetAutoReconnect(false)
}

// press publishes numbered messages as the press does, and returns when the broker has acknowledged them all.
func (r *rig) press(from, to int) {
	r.t.Helper()
	client, err := r.connect("p1.press4")
	if err != nil {
		r.t.Fatal(err)
	}
	for i := from; i < to; i++ {
		token := client.Publish(topic, 1, false, fmt.Sprint(i))
		if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			r.t.Fatalf("message %d: %v", i, token.Error())
		}
	}
	client.Disconnect(100)
}

// source runs the agent's source, whose certificate is the agent's.
func (r *rig) source(k *sourcetest.Sink) (stop func()) {
	r.t.Helper()
	cfg := mqtt.Default()
	cfg.Broker, cfg.Subscribe, cfg.TLS = r.URL(), []string{topic}, r.tls("p1.gw1")
	s, err := mqtt.New(cfg, mqtt.Deps{ID: "press4", System: "mes1", Equipment: "press4", Plant: "p1", Agent: "gw1", Cursor: k.Cursor(), Open: k.Open()})
	if err != nil {
		r.t.Fatal(err)
	}
	stop = sourcetest.Run(r.t, s, k.Emit)
	sourcetest.Live(r.t, s)
	return stop
}

// TestServer_Restart: what the broker has acknowledged while the agent was away survives an orderly restart.
func TestServer_Restart(t *testing.T) {
	r := start(t)
	k := &sourcetest.Sink{}
	stop := r.source(k)
	const half, all = 200, 400
	r.press(0, half)
	sourcetest.Until(t, "the first half is read", func() bool { return len(k.All()) >= half })
	stop()
	r.press(half, all)
	r.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	began := time.Now()
	if err := r.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	r.source(k)
	sourcetest.Until(t, "all is read", func() bool { return len(read(k).times) == all })
	got := read(k)
	t.Logf("FIGURES server=mosquitto run=restart messages=%d lost=%d duplicates=%d disorder=%d recovery=%s",
		all, all-len(got.times), got.repeats, got.disorder, time.Since(began).Round(time.Millisecond))
	if got.disorder > 0 {
		t.Errorf("%d messages came after a later one", got.disorder)
	}
}

// reading is what a source has read of a press's numbers.
type reading struct {
	times    map[int]int // by number
	repeats  int
	disorder int // numbers that came after a later one
	newest   int
}

func read(k *sourcetest.Sink) reading {
	r := reading{times: map[int]int{}, newest: -1}
	for _, s := range k.All() {
		n, err := strconv.Atoi(string(s.Raw))
		if err != nil {
			continue // no press wrote it
		}
		switch {
		case r.times[n] > 0:
			r.repeats++
		case n < r.newest:
			r.disorder++
		}
		r.times[n]++
		r.newest = max(r.newest, n)
	}
	return r
}

// pressUntil publishes numbered messages, one after the other, until the broker is no more, and returns when each was
// acknowledged.
func (r *rig) pressUntil() (acknowledged []time.Time) {
	client, err := r.connect("p1.press4")
	if err != nil {
		r.t.Error(err)
		return nil
	}
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for ; ; <-pace.C {
		token := client.Publish(topic, 1, false, fmt.Sprint(len(acknowledged)))
		if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			return acknowledged
		}
		acknowledged = append(acknowledged, time.Now())
	}
}

// unwritten is how long the broker may keep what it has acknowledged in memory alone: it writes after each second that its clock
// shows, in the shipped configuration, and needs a moment for it.
const unwritten = 3 * time.Second

// TestServer_Killed: the broker is killed while a press sends. What it had acknowledged longer than [unwritten] ago reaches the
// agent, whether it was there or away; so does all that comes later, in order. The rest is what the broker's makers do not
// promise, and what the guide says.
func TestServer_Killed(t *testing.T) {
	for name, reads := range map[string]bool{"AgentReads": true, "AgentAway": false} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			k := &sourcetest.Sink{}
			if stop := r.source(k); !reads {
				stop()
			}
			sent := make(chan []time.Time, 1)
			go func() { sent <- r.pressUntil() }()
			<-time.After(2 * unwritten)
			killed := time.Now()
			r.Kill()
			acknowledged := <-sent
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if err := r.Restart(ctx); err != nil {
				t.Fatal(err)
			}
			began, all := time.Now(), len(acknowledged)+200
			r.press(len(acknowledged), all)
			if !reads {
				r.source(k)
			}
			sourcetest.Until(t, "the last message is read", func() bool { return read(k).newest == all-1 })
			recovery, got := time.Since(began), read(k)
			lost := 0
			for n := range all {
				if got.times[n] > 0 {
					continue
				}
				lost++
				if n >= len(acknowledged) {
					t.Errorf("message %d, sent after the restart, was not read", n)
				} else if age := killed.Sub(acknowledged[n]); age > unwritten {
					t.Errorf("message %d, acknowledged %s before the kill, was not read", n, age)
				}
			}
			t.Logf("FIGURES server=mosquitto run=kill-9/%s messages=%d lost=%d duplicates=%d disorder=%d recovery=%s",
				name, all, lost, got.repeats, got.disorder, recovery.Round(time.Millisecond))
			if got.disorder > 0 || len(acknowledged) < 200 {
				t.Errorf("%d of %d messages came after a later one", got.disorder, all)
			}
		})
	}
}

// TestServer_Access: nobody comes in without a certificate. A press is not heard at another's topic, and the agent hears nothing
// of another plant, although this broker grants it every subscription.
func TestServer_Access(t *testing.T) {
	r := start(t)
	if _, err := r.connect(""); err == nil {
		t.Error("a client without a certificate came in")
	}
	agent, err := r.connect("p1.gw1")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 10)
	if token := agent.Subscribe("#", 1, func(_ paho.Client, m paho.Message) { heard <- m.Topic() }); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatal("the agent's subscription", token.Error())
	}
	for _, say := range []struct{ user, topic string }{{"p1.press4", "acme/p1/mes/hold"}, {neighbour, "acme/p2/result"}, {"p1.press4", topic}} {
		client, err := r.connect(say.user)
		if err != nil {
			t.Fatal(err)
		}
		token := client.Publish(say.topic, 1, false, "x") // a refused one is acknowledged, or ends the connection
		if !token.WaitTimeout(10*time.Second) || token.Error() != nil && say.topic == topic {
			t.Fatalf("%s at %s: %v", say.user, say.topic, token.Error())
		}
		client.Disconnect(0)
	}
	select {
	case got := <-heard:
		if got != topic {
			t.Errorf("the agent heard %s, which was another's to say or to hear", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("the press was not heard at its own topic")
	}
}

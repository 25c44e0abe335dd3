//go:build unix

package mosquitto

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/holdfast-mesh/holdfast/agent/source/mqtt"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/test/peers/pki"
	"github.com/holdfast-mesh/holdfast/test/peers/postgres"
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
	as, err := postgres.Unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "holdfast-peer-") //nolint:usetesting // the broker's user may not look into the test's folder
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
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
	if as != nil {
		for _, file := range []string{acl, broker.Key} {
			if err := os.Chown(file, int(as.Uid), int(as.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := Start(ctx, Config{
		Program: program, Dir: dir, Shipped: filepath.Join(shipped, "holdfast.conf"), ACL: acl,
		CA: authority.CA(), Cert: broker.Cert, Key: broker.Key, User: as,
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
	r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	began := time.Now()
	if err := r.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	r.source(k)
	got := map[string]int{}
	sourcetest.Until(t, "all is read", func() bool {
		clear(got)
		for _, s := range k.All() {
			got[string(s.Raw)]++
		}
		return len(got) == all
	})
	t.Logf("FIGURES server=mosquitto run=restart messages=%d lost=%d duplicates=%d recovery=%s", all, all-len(got), len(k.All())-len(got), time.Since(began).Round(time.Millisecond))
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

package mqtt

import (
	"fmt"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
	"github.com/holdfast-mesh/holdfast/test/sim/proxy"
)

// sink is a queue that a test looks into.
type sink struct{ sourcetest.Sink }

func (k *sink) wait(t *testing.T, n int) []source.Signal {
	t.Helper()
	sourcetest.Until(t, fmt.Sprintf("%d signals", n), func() bool { return len(k.All()) >= n })
	return k.All()
}

// start runs a source until the test ends or the returned function is called.
func start(t *testing.T, k *sink, cfg Config, change func(*Source)) (*Source, func()) {
	t.Helper()
	if cfg.Subscribe == nil {
		cfg.Subscribe = []string{"plant/#"}
	}
	s, err := New(cfg, Deps{ID: "mes", System: "mes1", Equipment: "press4", Plant: "p1", Agent: "gw1", Cursor: k.Cursor(), Open: k.Open()})
	if err != nil {
		t.Fatal(err)
	}
	s.super.Pace.First, s.super.Pace.Longest, s.super.Pace.Full = 5*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond
	s.pace.refused = 100 * time.Millisecond
	if change != nil {
		change(s)
	}
	return s, sourcetest.Run(t, s, k.Emit)
}

func startBroker(t *testing.T, cfg broker.MQTTConfig) *broker.MQTT {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.AckWait == 0 {
		cfg.AckWait = 300 * time.Millisecond // this broker sends unacknowledged messages again after it, and not sooner
	}
	b, err := broker.StartMQTT(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// publisher sends with QoS 1 and waits for the broker's answer.
type publisher struct {
	t *testing.T
	c paho.Client
}

func newPublisher(t *testing.T, url string) publisher {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID("publisher").SetAutoReconnect(false))
	p := publisher{t, c}
	p.done(c.Connect())
	t.Cleanup(func() { c.Disconnect(50) })
	return p
}

func (p publisher) done(token paho.Token) {
	p.t.Helper()
	if !token.WaitTimeout(sourcetest.Limit) || token.Error() != nil {
		p.t.Fatalf("publisher: %v", token.Error())
	}
}

func (p publisher) send(topic, payload string) {
	p.t.Helper()
	p.done(p.c.Publish(topic, 1, false, payload))
}

func (p publisher) sendMany(from, to int) {
	p.t.Helper()
	var last paho.Token
	for i := from; i < to; i++ {
		last = p.c.Publish("plant/a", 1, false, fmt.Sprint(i))
	}
	p.done(last)
}

func payloads(signals []source.Signal) []string {
	var out []string
	for _, s := range signals {
		out = append(out, string(s.Raw))
	}
	return out
}

// unique returns the payloads of signals, each once.
func unique(signals []source.Signal) map[string]bool {
	seen := map[string]bool{}
	for _, s := range signals {
		seen[string(s.Raw)] = true
	}
	return seen
}

// startProxy is a link to a broker that can be cut.
func startProxy(t *testing.T, b *broker.MQTT) *proxy.Proxy {
	t.Helper()
	p, err := proxy.Start(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

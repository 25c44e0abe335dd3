package mqtt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/sourcetest"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

func TestSource_ReadsInOrder(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{AckWait: sourcetest.Limit}), &sink{} // no repeats, however slow the host is
	s, stop := start(t, k, Config{Broker: b.URL()}, nil)
	sourcetest.Live(t, s)
	newPublisher(t, b.URL()).sendMany(0, 1000)
	for i, sig := range k.wait(t, 1000) {
		if string(sig.Raw) != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, sig.Raw)
		}
	}
	sig := k.All()[0]
	if sig.Source != "mes" || sig.System != "mes1" || sig.Equipment != "press4" || sig.Transport != "mqtt" || sig.Ref != "plant/a" ||
		sig.Kind != source.KindMessage || sig.Quality != source.Uncertain || sig.Arrived.IsZero() || sig.Flags != nil {
		t.Errorf("signal is %+v", sig)
	}
	if st := s.Status(); st.Received != 1000 || st.Duplicates != 0 || st.LastSignal.IsZero() || st.Address != b.URL() {
		t.Errorf("status is %+v", st)
	}
	stop()

	// All were acknowledged: a second run gets none of them.
	s, _ = start(t, k, Config{Broker: b.URL()}, nil)
	sourcetest.Live(t, s)
	newPublisher(t, b.URL()).send("plant/a", "after")
	if got := k.wait(t, 1001); string(got[1000].Raw) != "after" {
		t.Errorf("after a restart %q came first", got[1000].Raw)
	}
}

func TestSource_Flags(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), &sink{}
	pub := newPublisher(t, b.URL())
	pub.done(pub.c.Publish("plant/kept", 1, true, "retained"))
	sourcetest.Until(t, "the broker has the retained message", func() bool {
		got := make(chan bool, 1)
		pub.done(pub.c.Subscribe("plant/kept", 1, func(_ paho.Client, m paho.Message) { got <- m.Retained() }))
		defer func() { pub.done(pub.c.Unsubscribe("plant/kept")) }()
		select {
		case retained := <-got:
			return retained
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
	cfg := Config{Broker: b.URL(), MinQoS: 1, MaxPayload: 64 << 10, Discard: []string{"plant/heartbeat"}}
	s, _ := start(t, k, cfg, nil)
	sourcetest.Live(t, s)
	if got := k.wait(t, 1)[0]; !slices.Equal(got.Flags, []string{source.FlagRetained}) {
		t.Errorf("flags of a retained message are %v", got.Flags)
	}

	pub.done(pub.c.Publish("plant/qos0", 0, false, "x"))
	if got := k.wait(t, 2)[1]; !slices.Equal(got.Flags, []string{source.FlagAtMostOnce}) {
		t.Errorf("flags of a message with QoS 0 are %v", got.Flags)
	}
	if got := s.Status().AtMostOnce; !slices.Equal(got, []string{"plant/qos0"}) {
		t.Errorf("topics outside the promise are %v", got)
	}

	large := bytes.Repeat([]byte("0123456789"), 1<<20)
	pub.done(pub.c.Publish("plant/large", 1, false, large))
	sum := sha256.Sum256(large)
	got := k.wait(t, 3)[2]
	if got.Cut == nil || got.Cut.Length != 10<<20 || got.Cut.SHA256 != hex.EncodeToString(sum[:]) || len(got.Raw) != headBytes ||
		!slices.Equal(got.Flags, []string{source.FlagCut}) {
		t.Errorf("a message of 10 MiB came as %d bytes, %+v, flags %v", len(got.Raw), got.Cut, got.Flags)
	}

	pub.send("plant/heartbeat", "1")
	pub.send("plant/a", "after")
	if got := k.wait(t, 4)[3]; string(got.Raw) != "after" {
		t.Errorf("behind the others came %q", got.Raw)
	}
	if st := s.Status(); st.Discarded != 1 || st.Reconnects != 0 || st.State != source.Live {
		t.Errorf("status is %+v", st)
	}
}

func TestSource_OldSubscriptionsEnd(t *testing.T) {
	b, k := startBroker(t, broker.MQTTConfig{}), &sink{}
	s, stop := start(t, k, Config{Broker: b.URL(), Subscribe: []string{"old/#"}}, nil)
	sourcetest.Live(t, s)
	stop()
	s, _ = start(t, k, Config{Broker: b.URL(), Subscribe: []string{"new/#"}}, nil)
	sourcetest.Live(t, s)
	pub := newPublisher(t, b.URL())
	pub.send("old/a", "1")
	pub.send("new/a", "2")
	if got := k.wait(t, 1); string(got[0].Raw) != "2" {
		t.Errorf("a topic no longer subscribed to gave %q", got[0].Raw)
	}
}

func TestNew_ErrCursor(t *testing.T) {
	cfg := Config{Broker: "tcp://127.0.0.1:1", Subscribe: []string{"a"}}
	if _, err := New(cfg, Deps{ID: "a", Plant: "p1", Agent: "gw1", Cursor: []byte("{")}); err == nil {
		t.Error("a cursor that cannot be read was accepted")
	}
	if _, err := New(cfg, Deps{ID: "a"}); err == nil {
		t.Error("a source without plant was accepted")
	}
}

func TestSource_Run_LeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	b := startBroker(t, broker.MQTTConfig{})
	s, stop := start(t, &sink{}, Config{Broker: b.URL()}, nil)
	sourcetest.Live(t, s)
	stop()
	b.Close()
	goleak.VerifyNone(t, before)
}

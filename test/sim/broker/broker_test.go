package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const limit = 10 * time.Second

func startMQTT(t *testing.T, cfg MQTTConfig) *MQTT {
	t.Helper()
	m, err := StartMQTT(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func connect(t *testing.T, url, id string, got chan<- string) mqtt.Client {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker(url).SetClientID(id).SetCleanSession(false).SetAutoReconnect(false)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { got <- string(m.Payload()) })
	c := mqtt.NewClient(o)
	wait(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

func wait(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(limit) || token.Error() != nil {
		t.Fatalf("mqtt operation: %v", token.Error())
	}
}

func want(t *testing.T, got <-chan string, text string) {
	t.Helper()
	select {
	case g := <-got:
		if g != text {
			t.Fatalf("got %q, want %q", g, text)
		}
	case <-time.After(limit):
		t.Fatalf("did not get %q", text)
	}
}

func TestMQTT_KeepsSessionsInItsDirectory(t *testing.T) {
	cfg := MQTTConfig{Dir: t.TempDir(), SyncAlways: true}
	first := startMQTT(t, cfg)
	got := make(chan string, 10)
	sub := connect(t, first.URL(), "subscriber", got)
	wait(t, sub.Subscribe("plant/#", 1, nil))
	pub := connect(t, first.URL(), "publisher", nil)
	wait(t, pub.Publish("plant/a", 1, false, "one"))
	want(t, got, "one")

	sub.Disconnect(100)
	wait(t, pub.Publish("plant/a", 1, false, "two"))
	pub.Disconnect(100)
	first.Close()

	cfg.Addr = first.Addr()
	second := startMQTT(t, cfg)
	connect(t, second.URL(), "subscriber", got)
	want(t, got, "two")
}

func TestStartMQTT(t *testing.T) {
	t.Run("ErrDirectoryInUse", func(t *testing.T) {
		dir := t.TempDir()
		startMQTT(t, MQTTConfig{Dir: dir})
		if m, err := StartMQTT(MQTTConfig{Dir: dir}); err == nil {
			m.Close()
			t.Error("a second broker opened the directory")
		}
	})
	t.Run("ErrPortInUse", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		if m, err := StartMQTT(MQTTConfig{Dir: t.TempDir(), Addr: l.Addr().String()}); err == nil {
			m.Close()
			t.Error("a broker started on a port in use")
		}
	})
	t.Run("ErrNotLoopback", func(t *testing.T) {
		if m, err := StartMQTT(MQTTConfig{Dir: t.TempDir(), Addr: "0.0.0.0:0"}); err == nil {
			m.Close()
			t.Error("a broker started on all interfaces")
		}
	})
}

func startKafka(t *testing.T, cfg KafkaConfig) (*Kafka, *kgo.Client) {
	t.Helper()
	k, err := StartKafka(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c, err := kgo.NewClient(kgo.SeedBrokers(k.Addrs()...), kgo.ConsumeTopics("events"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return k, c
}

func TestKafka_KeepsTopicsInItsDirectory(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cfg := KafkaConfig{Dir: t.TempDir()}
	first, client := startKafka(t, cfg)
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 6, 1, nil, "events"); err != nil {
		t.Fatal(err)
	}
	const n = 100
	for i := range n {
		client.Produce(ctx, &kgo.Record{Topic: "events", Key: []byte("k"), Value: fmt.Append(nil, i)}, nil)
	}
	if err := client.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	client.Close()
	first.Close()

	_, client = startKafka(t, cfg)
	for i := 0; i < n; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Value) != fmt.Sprint(i) {
				t.Fatalf("record %d is %q", i, r.Value)
			}
			i++
		})
	}
}

func TestStartKafka(t *testing.T) {
	t.Run("MakesNoTopicUnasked", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		k, err := StartKafka(KafkaConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		c, err := kgo.NewClient(kgo.SeedBrokers(k.Addrs()...), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(1))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = c.ProduceSync(ctx, &kgo.Record{Topic: "nobody-made-it", Value: []byte("x")}).FirstErr()
		if !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Errorf("produce gave %v, want an unknown topic", err)
		}
	})
	t.Run("ErrDirectoryInUse", func(t *testing.T) {
		dir := t.TempDir()
		startKafka(t, KafkaConfig{Dir: dir})
		if k, err := StartKafka(KafkaConfig{Dir: dir}); err == nil {
			k.Close()
			t.Error("a second broker opened the directory")
		}
	})
}

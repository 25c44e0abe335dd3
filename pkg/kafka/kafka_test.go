package kafka

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) (*broker.Kafka, Config) {
	t.Helper()
	k, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k, Config{Brokers: k.Addrs(), Prefix: "holdfast"}
}

func TestConfig_Specs(t *testing.T) {
	c := DefaultConfig
	specs := map[string]Spec{}
	for _, s := range slices.Concat(c.PlantSpecs("p1"), c.CloudSpecs()) {
		specs[s.Name] = s
	}
	for _, want := range []struct {
		name       string
		partitions int32
		cleanup    string
		retention  string
		appendTime bool
	}{
		{"holdfast.p1.quality.v1", 6, "delete", "2592000000", true},
		{"holdfast.p1.telemetry.v1", 6, "delete", "604800000", true},
		{"holdfast.p1.lot-status.v1", 6, "compact", "", false},
		{"holdfast.p1.control.v1", 1, "compact", "", false},
		{"holdfast.lot-status.v1", 6, "compact", "", false},
		{"holdfast.effect.v1", 6, "delete", "2592000000", false},
		{"holdfast.alert.v1", 1, "delete", "2592000000", false},
		{"holdfast.audit.v1", 1, "delete", "2592000000", false},
		{"holdfast.deadletter.v1", 6, "delete", "2592000000", false},
	} {
		t.Run(want.name, func(t *testing.T) {
			s := specs[want.name]
			if s.Partitions != want.partitions || s.Config["cleanup.policy"] != want.cleanup || s.Config["retention.ms"] != want.retention ||
				(s.Config["message.timestamp.type"] == "LogAppendTime") != want.appendTime {
				t.Errorf("is %+v", s)
			}
		})
	}
	if len(specs) != 9 {
		t.Errorf("%d topics", len(specs))
	}
}

func TestConfig_Ensure(t *testing.T) {
	t.Run("ErrMissing", func(t *testing.T) {
		_, c := start(t)
		err := c.Ensure(t.Context(), c.CloudSpecs(), zerolog.Nop())
		if problem.CodeOf(err) != problem.KafkaTopic || strings.Count(err.Error(), "is missing") != 5 {
			t.Errorf("got %v: want all five named", err)
		}
	})
	t.Run("makes them with their settings, once", func(t *testing.T) {
		k, c := start(t)
		c.CreateTopics = true
		for range 2 {
			if err := c.Ensure(t.Context(), c.PlantSpecs("p1"), zerolog.Nop()); err != nil {
				t.Fatal(err)
			}
		}
		info := k.Cluster().TopicInfo("holdfast.p1.quality.v1")
		if info == nil || len(k.Cluster().PartitionInfos("holdfast.p1.quality.v1")) != 6 {
			t.Errorf("topic is %+v", info)
		}
	})
	t.Run("ErrPartitions", func(t *testing.T) {
		k, c := start(t)
		if err := k.Cluster().CreateTopic("holdfast.p1.quality.v1", 3, nil); err != nil {
			t.Fatal(err)
		}
		c.CreateTopics = true
		err := c.Ensure(t.Context(), c.PlantSpecs("p1"), zerolog.Nop())
		if !errors.Is(err, ErrPartitions) || problem.CodeOf(err) != problem.KafkaTopic || !strings.Contains(err.Error(), "3 partitions, not 6") {
			t.Errorf("got %v", err)
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := Check(t.Context(), client, c.PlantSpecs("p1")); !errors.Is(err, ErrPartitions) {
			t.Errorf("check gives %v", err)
		}
	})
	t.Run("ErrNoBrokers", func(t *testing.T) {
		c := DefaultConfig
		if err := c.Ensure(t.Context(), nil, zerolog.Nop()); err == nil {
			t.Error("went on")
		}
	})
}

func TestSpec_Judge(t *testing.T) {
	spec := Spec{Name: "holdfast.p1.quality.v1", Partitions: 2}
	for _, c := range []struct {
		name    string
		details kadm.TopicDetails
		code    problem.Code
		missing bool
	}{
		{"OK", kadm.TopicDetails{spec.Name: {Partitions: kadm.PartitionDetails{0: {}, 1: {}}}}, "", false},
		{"ErrAbsent", kadm.TopicDetails{}, problem.KafkaTopic, true},
		{"ErrUnknown", kadm.TopicDetails{spec.Name: {Err: kerr.UnknownTopicOrPartition}}, problem.KafkaTopic, true},
		{"ErrRights", kadm.TopicDetails{spec.Name: {Err: kerr.TopicAuthorizationFailed}}, problem.KafkaRefused, false},
		{"ErrBroker", kadm.TopicDetails{spec.Name: {Err: kerr.LeaderNotAvailable}}, problem.KafkaUnreachable, false},
		{"ErrPartitions", kadm.TopicDetails{spec.Name: {Partitions: kadm.PartitionDetails{0: {}}}}, problem.KafkaTopic, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := spec.judge(c.details)
			if (err == nil) != (c.code == "") || err != nil && (problem.CodeOf(err) != c.code || errors.Is(err, ErrMissing) != c.missing) {
				t.Errorf("got %v, want code %q, missing %t", err, c.code, c.missing)
			}
			if err != nil && !c.missing && strings.Contains(err.Error(), "is missing") {
				t.Errorf("%v says that it is missing", err)
			}
		})
	}
}

func TestConfig_Dial(t *testing.T) {
	k, c := start(t)
	c.Brokers = []string{"gateway.invalid:9092"}
	c.Dial = map[string]string{"gateway.invalid:9092": k.Addrs()[0]}
	opts, err := c.Options("test", zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestBackoff(t *testing.T) {
	last := time.Duration(0)
	for tries := range 100 {
		d := backoff(tries)
		if d < last || d < 50*time.Millisecond || d > 2*time.Second {
			t.Errorf("after %d tries it is %v, before it was %v", tries, d, last)
		}
		last = d
	}
}

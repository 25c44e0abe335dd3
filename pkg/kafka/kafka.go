// Package kafka is the one place that knows how a Kafka client is built and what the topics are called.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kprom"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Config says how to reach the cluster.
type Config struct {
	Brokers      []string          `yaml:"brokers" doc:"host:port of one broker or several to start from"`
	Prefix       string            `yaml:"prefix" doc:"first part of all topic names"`
	CreateTopics bool              `yaml:"create_topics" doc:"make missing topics at start; for demo and tests"`
	Dial         map[string]string `yaml:"dial" doc:"advertised host:port -> host:port to dial instead: relay, port forward, a test's proxy"`
	TLS          *config.TLS       `yaml:"tls" doc:"certificates; absent = plain text"`
	SASL         *config.SASL      `yaml:"sasl" doc:"user and password_file for SCRAM-SHA-512; absent = none"`
}

// DefaultConfig has the prefix of all shipped rules and dashboards.
var DefaultConfig = Config{Prefix: "holdfast"}

// Options returns the options that all clients share: addresses, TLS, SASL, log and metrics. Name tells the clients of
// one process apart; reg may be nil.
func (c *Config) Options(name string, log zerolog.Logger, reg prometheus.Registerer) ([]kgo.Opt, error) {
	if len(c.Brokers) == 0 {
		return nil, errors.New("kafka: no brokers")
	}
	dial, err := c.dialer()
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID("holdfast-" + name),
		kgo.WithLogger(logger{log}),
		// Plants come and go: the default of five minutes is too long to find a new topic.
		kgo.MetadataMaxAge(30 * time.Second),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(backoff),
		kgo.Dialer(dial), // with TLS inside: the client takes a dialer of ours or TLS of its own, not both
	}
	if c.SASL != nil {
		secret, err := c.SASL.PasswordFile.Read()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(scram.Auth{User: c.SASL.User, Pass: secret.Reveal()}.AsSha512Mechanism()))
	}
	if reg != nil {
		metrics := kprom.NewMetrics("holdfast_kafka_"+name, kprom.Registerer(reg))
		opts = append(opts, kgo.WithHooks(metrics))
	}
	return opts, nil
}

// backoff is short at first: a broker that restarts is back within a second, and a hold may be waiting.
func backoff(tries int) time.Duration {
	return min(50*time.Millisecond<<min(tries, 6), 2*time.Second)
}

// Spec is what is fixed for a topic.
type Spec struct {
	Name       string
	Partitions int32
	Config     map[string]string
}

// The partitions of a topic whose key is a lot or equipment. They never change: growth is a new topic.
const keyedPartitions = 6

const (
	days       = 24 * time.Hour
	keep       = 30 * days // longer than any outage of the cloud that is planned for
	keepSignal = 7 * days
)

// Quality returns the topic of a plant's lane quality.
func (c *Config) Quality(plant string) string { return c.Prefix + "." + plant + ".quality.v1" }

// Telemetry returns the topic of a plant's lane telemetry.
func (c *Config) Telemetry(plant string) string { return c.Prefix + "." + plant + ".telemetry.v1" }

// PlantLotStatus returns the topic of lot status for a plant.
func (c *Config) PlantLotStatus(plant string) string {
	return c.Prefix + "." + plant + ".lot-status.v1"
}

// Control returns the topic of what the cloud says to a plant's agents.
func (c *Config) Control(plant string) string { return c.Prefix + "." + plant + ".control.v1" }

// LotStatus returns the topic of lot status across plants.
func (c *Config) LotStatus() string { return c.Prefix + ".lot-status.v1" }

// Effect returns the topic of effects and their outcomes.
func (c *Config) Effect() string { return c.Prefix + ".effect.v1" }

// Alert returns the topic of alerts, raised and cleared.
func (c *Config) Alert() string { return c.Prefix + ".alert.v1" }

// Audit returns the topic of the ledger's checkpoints.
func (c *Config) Audit() string { return c.Prefix + ".audit.v1" }

// Deadletter returns the topic of records that were not applied.
func (c *Config) Deadletter() string { return c.Prefix + ".deadletter.v1" }

// PlantSpecs returns the topics of one plant.
func (c *Config) PlantSpecs(plant string) []Spec {
	return []Spec{
		{c.Quality(plant), keyedPartitions, agentTopic(keep)},
		{c.Telemetry(plant), keyedPartitions, agentTopic(keepSignal)},
		{c.PlantLotStatus(plant), keyedPartitions, compacted()},
		{c.Control(plant), 1, compacted()},
	}
}

// CloudSpecs returns the topics across plants.
func (c *Config) CloudSpecs() []Spec {
	return []Spec{
		{c.LotStatus(), keyedPartitions, compacted()},
		{c.Effect(), keyedPartitions, kept(keep)},
		{c.Alert(), 1, kept(keep)},
		{c.Audit(), 1, kept(keep)},
		{c.Deadletter(), keyedPartitions, kept(keep)},
	}
}

// agentTopic has the broker's clock: a gateway's bad clock must neither expire nor refuse a record.
func agentTopic(retention time.Duration) map[string]string {
	cfg := kept(retention)
	cfg["message.timestamp.type"] = "LogAppendTime"
	return cfg
}

func kept(retention time.Duration) map[string]string {
	return map[string]string{"cleanup.policy": "delete", "retention.ms": fmt.Sprint(retention.Milliseconds())}
}

func compacted() map[string]string { return map[string]string{"cleanup.policy": "compact"} }

// Ensure makes the topics that are missing, where the configuration says so, and refuses one that has another partition
// count than its specification: keys would move to other partitions, and the order of a lot would be lost.
func (c *Config) Ensure(ctx context.Context, specs []Spec, log zerolog.Logger) error {
	opts, err := c.Options("admin", log, nil)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("make admin client: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	details, err := list(ctx, admin, specs)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range specs {
		err := s.judge(details)
		if errors.Is(err, ErrMissing) && c.CreateTopics {
			err = createTopic(ctx, admin, s)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ErrPartitions is in the error of [Config.Ensure] and [Check] for a topic with another partition count than its
// specification.
var ErrPartitions = errors.New("has another partition count than its specification")

// ErrMissing is in the error of [Config.Ensure] and [Check] for a topic that does not exist.
var ErrMissing = errors.New("is missing")

// Check refuses topics that are missing, and those with another partition count than their specification. It makes none.
func Check(ctx context.Context, client *kgo.Client, specs []Spec) error {
	details, err := list(ctx, kadm.NewClient(client), specs)
	if err != nil {
		return err
	}
	for _, s := range specs {
		if err := s.judge(details); err != nil {
			return err
		}
	}
	return nil
}

func list(ctx context.Context, admin *kadm.Client, specs []Spec) (kadm.TopicDetails, error) {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	details, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, problem.New(problem.KafkaUnreachable, "list topics: %w", err)
	}
	return details, nil
}

// judge compares a topic with its specification. A topic that we may not see is not one that is missing: making it would
// be refused, too, and the person who reads the error has to look at the rights.
func (s *Spec) judge(details kadm.TopicDetails) error {
	d, found := details[s.Name]
	switch {
	case !found || errors.Is(d.Err, kerr.UnknownTopicOrPartition):
		return problem.New(problem.KafkaTopic, "topic %s %w", s.Name, ErrMissing)
	case errors.Is(d.Err, kerr.TopicAuthorizationFailed), errors.Is(d.Err, kerr.ClusterAuthorizationFailed):
		return problem.New(problem.KafkaRefused, "describe topic %s: %w", s.Name, d.Err)
	case d.Err != nil:
		return problem.New(problem.KafkaUnreachable, "describe topic %s: %w", s.Name, d.Err)
	case len(d.Partitions) != int(s.Partitions):
		return problem.New(problem.KafkaTopic, "topic %s %w: it has %d partitions, not %d", s.Name, ErrPartitions, len(d.Partitions), s.Partitions)
	}
	return nil
}

func createTopic(ctx context.Context, admin *kadm.Client, s Spec) error {
	cfg := map[string]*string{}
	for k, v := range s.Config {
		cfg[k] = &v
	}
	_, err := admin.CreateTopic(ctx, s.Partitions, -1, cfg, s.Name)
	switch {
	case err == nil, errors.Is(err, kerr.TopicAlreadyExists):
		return nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return problem.New(problem.KafkaRefused, "create topic %s: %w", s.Name, err)
	}
	return problem.New(problem.KafkaTopic, "create topic %s: %w", s.Name, err)
}

// logger hands franz-go's log lines to zerolog; below warning they are debug.
type logger struct{ log zerolog.Logger }

func (l logger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	e := l.log.Debug()
	if level == kgo.LogLevelError {
		e = l.log.Warn() // the client tries again; what it can't repair comes back as an error
	}
	for i := 0; i+1 < len(keyvals); i += 2 {
		e = e.Interface(fmt.Sprint(keyvals[i]), fmt.Sprint(keyvals[i+1]))
	}
	e.Str("client", "kafka").Msg(msg)
}

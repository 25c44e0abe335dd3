package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

// plantID is the plant of all runs; topicResult is what its press publishes to.
const (
	plantID     = "p1"
	topicResult = "acme/p1/stamping/press4/result"
)

// world runs both brokers until ctx ends. Its line "ready" has the address of Kafka and, as mqtt, the URL of the other.
func world(ctx context.Context, args []string) error {
	f := flag.NewFlagSet(roleWorld, flag.ContinueOnError)
	dir := f.String("dir", "", "folder of the MQTT broker")
	if err := f.Parse(args); err != nil {
		return err
	}
	m, err := broker.StartMQTT(broker.MQTTConfig{Dir: *dir, Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	defer m.Close()
	k, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		return err
	}
	defer k.Close()
	if err := makeTopics(ctx, k.Addrs()); err != nil {
		return err
	}
	log := zerolog.New(os.Stderr)
	log.Info().Str(telemetry.KeyAddress, k.Addrs()[0]).Str("mqtt", m.URL()).Msg("ready")
	<-ctx.Done()
	return nil
}

// makeTopics makes those of the plant. The bare pipeline writes to the same topic as the agent.
func makeTopics(ctx context.Context, brokers []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	cfg := kafka.DefaultConfig
	var all []error
	for _, s := range cfg.PlantSpecs(plantID) {
		_, err := kadm.NewClient(client).CreateTopic(ctx, s.Partitions, 1, nil, s.Name)
		all = append(all, err)
	}
	return errors.Join(all...)
}

// topicQuality is where all competitors write to.
func topicQuality() string {
	cfg := kafka.DefaultConfig
	return cfg.Quality(plantID)
}

// seeds splits a list of brokers.
func seeds(list string) []string { return strings.Split(list, ",") }

//go:build unix

package brokers

import (
	"context"
	"path/filepath"
	"runtime"
	"time"

	"github.com/rs/zerolog"

	topics "github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/test/peers/kafka"
	"github.com/holdfast-mesh/holdfast/test/peers/mosquitto"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// startLimit bounds the start of a broker on a loaded machine: Kafka starts two programs, one after the other.
const startLimit = 2 * time.Minute

// startKafka starts one node that anybody may do all with.
func startKafka(jars string) (stack.Kafka, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	c, err := kafka.Start(ctx, kafka.Config{Jars: jars, Nodes: 1})
	if err != nil {
		return nil, err
	}
	if err := makeTopics(ctx, c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// makeTopics makes the topics of all plants, as an administrator does before the first start. The cloud could make them; but
// a client that has looked for the topics a moment before looks again half a minute later, and no test waits for that long.
func makeTopics(ctx context.Context, c *kafka.Cluster) error {
	cfg := topics.Config{Brokers: c.Addrs(), Prefix: topics.DefaultConfig.Prefix, CreateTopics: true}
	specs := cfg.CloudSpecs()
	for _, site := range dialect.Sites() {
		specs = append(specs, cfg.PlantSpecs(site.Plant)...)
	}
	return cfg.Ensure(ctx, specs, zerolog.Nop())
}

// startMosquitto starts one with the shipped configuration, but for TLS and the access list.
func startMosquitto(program string) (stack.MQTT, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	s, err := mosquitto.Start(ctx, mosquitto.Config{Program: program, Shipped: shipped(), Plain: true})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// shipped returns the path of the configuration that a plant is given.
func shipped() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "..", "deploy", "mosquitto", "holdfast.conf")
}

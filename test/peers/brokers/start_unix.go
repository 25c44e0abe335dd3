//go:build unix

package brokers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	topics "github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/test/peers/kafka"
	"github.com/holdfast-mesh/holdfast/test/peers/mosquitto"
	"github.com/holdfast-mesh/holdfast/test/peers/postgres"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// startLimit bounds the start of a broker on a loaded machine: Kafka starts two programs, one after the other.
const startLimit = 2 * time.Minute

// startKafka starts one node that anybody may do all with.
func startKafka(jars string) (stack.Kafka, error) {
	dir, as, err := home()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	c, err := kafka.Start(ctx, kafka.Config{Jars: jars, Dir: dir, Nodes: 1, User: as})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := makeTopics(ctx, c); err != nil {
		c.Close()
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return cluster{c, dir}, nil
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
	dir, as, err := home()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	s, err := mosquitto.Start(ctx, mosquitto.Config{Program: program, Dir: dir, Shipped: shipped(), Plain: true, User: as})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return server{s, dir}, nil
}

// shipped returns the path of the configuration that a plant is given.
func shipped() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "..", "deploy", "mosquitto", "holdfast.conf")
}

// home makes a folder for a server and says as whom the server runs. A folder of package testing does not do: only who runs
// the tests may look into it.
func home() (dir string, as *syscall.Credential, err error) {
	if as, err = postgres.Unprivileged(); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp("", "holdfast-peer-"); err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("open the folder of a server: %w", err)
	}
	return dir, as, nil
}

// cluster is Kafka in a folder of its own, which goes with it.
type cluster struct {
	*kafka.Cluster
	dir string
}

// Close ends it and removes what it kept.
func (c cluster) Close() {
	c.Cluster.Close()
	_ = os.RemoveAll(c.dir) // a folder left in the temporary one harms nobody
}

// server is Mosquitto in a folder of its own, which goes with it.
type server struct {
	*mosquitto.Server
	dir string
}

// Close ends it and removes what it kept.
func (s server) Close() {
	s.Server.Close()
	_ = os.RemoveAll(s.dir) // as above
}

package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kfake"
)

// tidyEvery is how often retention and compaction run; the library does neither by itself.
const tidyEvery = 30 * time.Second

// KafkaConfig configures an embedded broker of the Kafka protocol.
type KafkaConfig struct {
	Dir  string // where topics and offsets are kept; "" = in memory
	Port int    // on 127.0.0.1; 0 = any free one

	Log zerolog.Logger // zero = silent
}

// Kafka is a running single broker of the Kafka protocol. It makes no topic unasked. It ignores
// message.timestamp.type: a record's timestamp is its producer's.
type Kafka struct {
	cluster *kfake.Cluster
	lock    *os.File // nil in memory
	stop    chan struct{}
	tidied  sync.WaitGroup
	once    sync.Once
}

// StartKafka starts a broker. It accepts connections when StartKafka returns.
func StartKafka(cfg KafkaConfig) (*Kafka, error) {
	if cfg.Port < 0 || cfg.Port > 65535 {
		return nil, fmt.Errorf("kafka broker: port %d is not one from 0 to 65535", cfg.Port)
	}
	opts := []kfake.Opt{kfake.NumBrokers(1), kfake.WithLogger(kafkaLog{cfg.Log})}
	if cfg.Port != 0 {
		opts = append(opts, kfake.Ports(cfg.Port))
	}
	k := &Kafka{stop: make(chan struct{})}
	if cfg.Dir != "" {
		lock, err := lockDir(cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("kafka broker: %w", err)
		}
		k.lock = lock
		opts = append(opts, kfake.DataDir(filepath.Join(cfg.Dir, "kafka")))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kafka broker: %w", err), k.unlock())
	}
	k.cluster = cluster
	k.tidied.Go(k.tidy)
	cfg.Log.Info().Strs("addresses", k.Addrs()).Msg("kafka broker started: embedded, not for production")
	return k, nil
}

// tidy ends with Close.
func (k *Kafka) tidy() {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.cluster.ApplyRetention()
			k.cluster.Compact()
		case <-k.stop:
			return
		}
	}
}

// Addrs returns the seed addresses for a client.
func (k *Kafka) Addrs() []string { return k.cluster.ListenAddrs() }

// Cluster returns the broker itself, to inject faults and to look inside.
func (k *Kafka) Cluster() *kfake.Cluster { return k.cluster }

// Close stops the broker and returns when its files are written. It may be called twice.
func (k *Kafka) Close() {
	k.once.Do(func() {
		close(k.stop)
		k.tidied.Wait()
		k.cluster.Close()
		_ = k.unlock()
	})
}

func (k *Kafka) unlock() error {
	if k.lock == nil {
		return nil
	}
	return k.lock.Close()
}

// kafkaLog passes warnings and errors on.
type kafkaLog struct{ log zerolog.Logger }

// Logf implements the library's logger.
func (l kafkaLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error().Msgf(format, args...)
	case kfake.LogLevelWarn:
		l.log.Warn().Msgf(format, args...)
	}
}

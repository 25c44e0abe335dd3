package broker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

const (
	lockName = "broker.lock"

	// startLimit bounds a start. A broker is up in a third of a second; a loaded machine takes longer.
	startLimit = 20 * time.Second
	startPoll  = 25 * time.Millisecond

	// maxPayload lets messages through that are far above what an agent takes, so that the agent's own limit is what
	// such a message meets.
	maxPayload = 64 << 20
	// maxStore is what the broker may fill of the disk. Without a figure it takes three quarters of what is free, and
	// refuses to work where that is little.
	maxStore = 8 << 30
)

// MQTTConfig configures an embedded MQTT broker.
type MQTTConfig struct {
	Dir  string // where sessions and messages are kept; required
	Addr string // host:port on the loopback interface; port 0 = any free one; "" = 127.0.0.1:0

	// SyncAlways syncs each message to disk before it is acknowledged to its publisher. Needed where this broker holds
	// the only copy; costs most of the speed.
	SyncAlways bool
	// MaxAckPending is how many messages a subscriber may leave unacknowledged; 0 = 1000. It holds for subscriptions
	// made from then on.
	MaxAckPending uint16
	// AckWait is after which time an unacknowledged message is sent again, 0 = 5 s. A client that comes back waits as
	// long for what it had in hand.
	AckWait time.Duration

	Log zerolog.Logger // zero = silent
}

// MQTT is a running MQTT broker (3.1.1; topics must not contain blanks).
type MQTT struct {
	server *server.Server
	lock   *os.File
	addr   string
	once   sync.Once
}

// StartMQTT starts a broker and returns when it accepts connections.
func StartMQTT(cfg MQTTConfig) (*MQTT, error) {
	host, port, err := loopback(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("mqtt broker: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("mqtt broker: %w", err)
	}
	m := &MQTT{lock: lock}
	if err := m.start(cfg, host, port); err != nil {
		m.Close()
		return nil, fmt.Errorf("mqtt broker: %w", err)
	}
	cfg.Log.Info().Str("address", m.URL()).Msg("mqtt broker started: embedded, not for production")
	return m, nil
}

func (m *MQTT) start(cfg MQTTConfig, host string, port int) error {
	if port == 0 {
		port = -1 // the library's word for any free port
	}
	if cfg.MaxAckPending == 0 {
		cfg.MaxAckPending = 1000
	}
	if cfg.AckWait == 0 {
		cfg.AckWait = 5 * time.Second
	}
	opts := &server.Options{
		ServerName:        "holdfast-embedded",
		DontListen:        true, // MQTT only, no port of the library's own protocol
		JetStream:         true,
		StoreDir:          filepath.Join(cfg.Dir, "mqtt"),
		JetStreamMaxStore: maxStore,
		MaxPayload:        maxPayload,
		MaxPending:        2 * maxPayload,
		SyncAlways:        cfg.SyncAlways,
		NoSigs:            true,
		MQTT:              server.MQTTOpts{Host: host, Port: port, MaxAckPending: cfg.MaxAckPending, AckWait: cfg.AckWait},
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	m.server = s
	log := &natsLog{log: cfg.Log, fatal: make(chan string, 1)}
	s.SetLogger(log, false, false)
	s.Start()
	if err := ready(s, log); err != nil {
		return err
	}
	m.addr = net.JoinHostPort(host, strconv.Itoa(opts.MQTT.Port))
	return nil
}

// ready waits until the broker accepts connections. The library reports some faults of its start to the log only.
func ready(s *server.Server, log *natsLog) error {
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); {
		if s.ReadyForConnections(startPoll) {
			return nil
		}
		select {
		case text := <-log.fatal:
			return errors.New(text)
		default:
		}
	}
	return fmt.Errorf("not ready after %s", startLimit)
}

// URL returns the broker's address, such as tcp://127.0.0.1:1883.
func (m *MQTT) URL() string { return "tcp://" + m.addr }

// Addr returns the broker's host and port, for a broker that takes its place later.
func (m *MQTT) Addr() string { return m.addr }

// Close stops the broker and returns when its files are closed. It may be called twice.
func (m *MQTT) Close() {
	m.once.Do(func() {
		if m.server != nil {
			m.server.Shutdown()
			m.server.WaitForShutdown()
		}
		_ = m.lock.Close()
	})
}

// loopback splits an address and refuses one that others could reach.
func loopback(addr string) (host string, port int, err error) {
	if addr == "" {
		return "127.0.0.1", 0, nil
	}
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", 0, fmt.Errorf("address %s is not on the loopback interface", addr)
	}
	if port, err = strconv.Atoi(text); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("address %s has no port from 0 to 65535", addr)
	}
	return host, port, nil
}

// natsLog passes warnings and worse on. What the library calls fatal ends a process of its own; here it ends the
// start.
type natsLog struct {
	log   zerolog.Logger
	fatal chan string
}

func (l *natsLog) Noticef(format string, args ...any) { l.log.Debug().Msgf(format, args...) }
func (l *natsLog) Warnf(format string, args ...any)   { l.log.Warn().Msgf(format, args...) }
func (l *natsLog) Errorf(format string, args ...any)  { l.log.Error().Msgf(format, args...) }
func (l *natsLog) Debugf(string, ...any)              {}
func (l *natsLog) Tracef(string, ...any)              {}

func (l *natsLog) Fatalf(format string, args ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, args...):
	default:
	}
}

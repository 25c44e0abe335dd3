package mqtt

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	// DefaultMaxPayload is far above what a machine sends and far below what hurts the agent.
	DefaultMaxPayload = config.MiB
	// DefaultInFlight is more than brokers set up for this product allow; in Mosquitto's own defaults it is 20. Too large a
	// figure costs a little memory; with too small a one the rest of a burst waits in the link.
	DefaultInFlight = 1000

	// DefaultDisconnectGap has room for the first four tries, so that a broker that is restarted and a link that is gone for
	// a moment leave no gap: the broker has kept what came meanwhile. A shorter time would make each of these an event at
	// which the releases of a plant stop and go; a longer one would let a release pass for longer while what forbids it may
	// wait at the broker. A link that dies without a word is found dead after 20 s, from when on the time counts.
	DefaultDisconnectGap = 10 * time.Second

	leastDisconnectGap, mostDisconnectGap = time.Second, 5 * time.Minute

	// maxInFlight is the number of packet ids.
	maxInFlight = 65535
)

// Config says which broker and topics to read. Broker and Subscribe are required.
type Config struct {
	Broker    string   `yaml:"broker" doc:"address: ssl://host:8883 or tcp://host:1883, also wss:// and ws://"`
	Subscribe []string `yaml:"subscribe" doc:"topic filters; they must not overlap"`

	MinQoS     int             `yaml:"min_qos" doc:"1: messages that were published with QoS 0 are warned about; 0: they are not"`
	MaxPayload config.ByteSize `yaml:"max_payload" doc:"of a longer message only head, length and hash are kept"`
	Discard    []string        `yaml:"discard" doc:"filters of topics that are counted and dropped"`
	InFlight   int             `yaml:"in_flight" doc:"half of how many messages are taken in before they are stored, or of 2000 if that is more; the broker's in-flight limit, or above it"`

	DisconnectGap time.Duration `yaml:"disconnect_gap" doc:"how long a lost connection may take to come back before no lot that the source may know of is released; empty: 10s"`

	User         string            `yaml:"user" doc:"name at the broker; empty: none"`
	PasswordFile config.SecretFile `yaml:"password_file" doc:"file with the password, mode 0600"`
	TLS          config.TLS        `yaml:"tls" doc:"for ssl:// and wss://"`
}

// Default returns a configuration that lacks only broker and topics.
func Default() Config {
	return Config{MinQoS: 1, MaxPayload: DefaultMaxPayload, InFlight: DefaultInFlight, DisconnectGap: DefaultDisconnectGap}
}

// Check fills zero values, MinQoS excepted, and returns what is wrong.
func (c *Config) Check() error {
	if c.MaxPayload == 0 {
		c.MaxPayload = DefaultMaxPayload
	}
	if c.InFlight == 0 {
		c.InFlight = DefaultInFlight
	}
	if c.DisconnectGap == 0 {
		c.DisconnectGap = DefaultDisconnectGap
	}
	if _, err := c.address(); err != nil {
		return err
	}
	switch {
	case c.MinQoS != 0 && c.MinQoS != 1:
		return problem.New(problem.ConfigValue, "min_qos is %d: want 0 or 1", c.MinQoS)
	case c.MaxPayload < headBytes || c.MaxPayload > 64*config.MiB:
		return problem.New(problem.ConfigValue, "max_payload is %s: want 4KiB to 64MiB", c.MaxPayload)
	case c.InFlight < 1 || c.InFlight > maxInFlight:
		return problem.New(problem.ConfigValue, "in_flight is %d: want 1 to %d", c.InFlight, maxInFlight)
	case c.DisconnectGap < leastDisconnectGap || c.DisconnectGap > mostDisconnectGap:
		return problem.New(problem.ConfigValue, "disconnect_gap is %s: want %s to %s", c.DisconnectGap, leastDisconnectGap, mostDisconnectGap)
	case len(c.Subscribe) == 0:
		return problem.New(problem.ConfigMissing, "subscribe names no topic filter")
	case c.User == "" && c.PasswordFile != "":
		return problem.New(problem.ConfigMissing, "password_file needs user")
	}
	return c.checkFilters()
}

func (c *Config) checkFilters() error {
	for _, list := range [][]string{c.Subscribe, c.Discard} {
		for _, f := range list {
			if err := checkFilter(f); err != nil {
				return problem.New(problem.ConfigValue, "topic filter %q %w", f, err)
			}
		}
	}
	for i, f := range c.Subscribe {
		for _, other := range c.Subscribe[:i] {
			if overlap(levels(f), levels(other)) {
				return problem.New(problem.ConfigValue, "topic filters %q and %q overlap, so that a message would come twice", other, f)
			}
		}
	}
	return nil
}

// address returns the broker's URL. Credentials stand in files, never in it.
func (c *Config) address() (*url.URL, error) {
	u, err := url.Parse(c.Broker)
	switch {
	case c.Broker == "":
		return nil, problem.New(problem.ConfigMissing, "broker has no address")
	case err != nil:
		return nil, problem.New(problem.ConfigValue, "broker is no address such as ssl://broker:8883")
	case u.User != nil:
		return nil, problem.New(problem.ConfigSecret, "broker holds a password: use user and password_file")
	case u.Host == "":
		return nil, problem.New(problem.ConfigValue, "broker %q names no host: want such as ssl://broker:8883", c.Broker)
	}
	switch u.Scheme {
	case "tcp", "mqtt":
		u.Scheme, u.Host = "tcp", withPort(u, "1883")
	case "ssl", "tls", "mqtts":
		u.Scheme, u.Host = "ssl", withPort(u, "8883")
	case "ws", "wss":
	default:
		return nil, problem.New(problem.ConfigValue, "broker has the scheme %q: want ssl, tcp, wss or ws", u.Scheme)
	}
	return u, nil
}

func withPort(u *url.URL, port string) string {
	if u.Port() != "" {
		return u.Host
	}
	return u.Host + ":" + port
}

// checkFilter applies MQTT 3.1.1, section 4.7, and refuses shared subscriptions: what one agent of a group does not
// acknowledge, another would get.
func checkFilter(f string) error {
	switch {
	case f == "" || len(f) > 65535:
		return fmt.Errorf("has %d bytes: want 1 to 65535", len(f))
	case strings.ContainsAny(f, "\x00 "):
		return fmt.Errorf("has a blank or NUL")
	case strings.HasPrefix(f, "$share/") || strings.HasPrefix(f, "$queue/"):
		return fmt.Errorf("is a shared subscription")
	}
	all := levels(f)
	for i, level := range all {
		if strings.ContainsAny(level, "+#") && len(level) > 1 {
			return fmt.Errorf("has the level %q: + and # stand alone in their level", level)
		}
		if level == "#" && i != len(all)-1 {
			return fmt.Errorf("has # before its end")
		}
	}
	return nil
}

func levels(topic string) []string { return strings.Split(topic, "/") }

// matches tells whether a filter takes a topic.
func matches(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(filter, "$") {
		return false
	}
	f, t := levels(filter), levels(topic)
	for i, level := range f {
		switch {
		case level == "#":
			return true
		case i >= len(t) || (level != "+" && level != t[i]):
			return false
		}
	}
	return len(f) == len(t)
}

// overlap tells whether a topic exists that both filters take.
func overlap(a, b []string) bool {
	switch {
	case len(a) > 0 && a[0] == "#" || len(b) > 0 && b[0] == "#":
		return true
	case len(a) == 0 || len(b) == 0:
		// "x/#" takes "x", too.
		return len(a) == len(b)
	case a[0] != b[0] && a[0] != "+" && b[0] != "+":
		return false
	}
	return overlap(a[1:], b[1:])
}

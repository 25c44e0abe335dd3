package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/proxy"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

const (
	runLimit = 15 * time.Minute // of one run
	window   = 1000             // messages that the publisher leaves unacknowledged

	// agentClient is the name under which the broker knows the agent's source press4.
	agentClient = "holdfast-p1-gw1-press4"
)

// rig is what all parts run on.
type rig struct {
	options options
	self    string // this program
	dir     string // of the run
	bin     string // of the built programs
	shape   string // file with the shape of a record of ours; empty before one was seen
	report  report
}

func newRig(o options) (*rig, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "hfb-") // short: sockets stand below it
	if err != nil {
		return nil, err
	}
	r := &rig{options: o, self: self, dir: dir, report: newReport(o)}
	if r.bin, err = filepath.Abs(o.bin); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rig) close() { _ = os.RemoveAll(r.dir) }

// competitor is who carries messages from MQTT to Kafka.
type competitor struct {
	name   string
	client string // name of its session at the MQTT broker
	padded bool
	start  func(*rig, context.Context, *stage, *competitor) (*stack.Process, error)
	stored string // name of its metric of messages on its disk
	queue  string // folder of its queue
}

func holdfast() *competitor {
	return &competitor{name: "holdfast", client: agentClient, start: (*rig).startAgent, stored: "holdfast_agent_queue_received_events_total", queue: "agent-data"}
}

func bareRaw() *competitor {
	return &competitor{name: "bare, raw", client: bareClient, start: (*rig).startBare, stored: "bare_stored", queue: "bare"}
}

func barePadded() *competitor {
	c := bareRaw()
	c.name, c.padded = "bare, padded", true
	return c
}

// stage is the world of one run.
type stage struct {
	dir   string
	world *stack.Process
	mqtt  string // URL
	kafka string
	wan   *proxy.Proxy // nil: the competitor reaches Kafka itself
}

// via is where the competitor reaches Kafka.
func (s *stage) via() string {
	if s.wan == nil {
		return s.kafka
	}
	return s.wan.Addr()
}

// open starts the brokers in a process of their own.
func (r *rig) open(ctx context.Context, far bool) (s *stage, err error) {
	s = &stage{}
	if s.dir, err = os.MkdirTemp(r.dir, "run"); err != nil {
		return nil, err
	}
	if s.world, err = stack.Start(ctx, "world", s.dir, r.self, nil, roleWorld, "-dir", filepath.Join(s.dir, "mqtt")); err != nil {
		return nil, err
	}
	var ready struct {
		MQTT string `json:"mqtt"`
	}
	if err := json.Unmarshal(s.world.Line, &ready); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.mqtt, s.kafka = ready.MQTT, s.world.Address
	if far {
		if s.wan, err = proxy.Start(s.kafka); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

func (s *stage) close() error {
	if s.wan != nil {
		s.wan.Close()
	}
	_, err := s.world.Stop(10 * time.Second)
	return errors.Join(err, os.RemoveAll(s.dir))
}

// load fills the competitor's session at the broker before it runs, so that its speed is measured and not that of a
// publisher.
func (s *stage) load(client string, messages int) error {
	c := paho.NewClient(sessionOptions(s.mqtt, client))
	if t := c.Connect(); t.Wait() && t.Error() != nil {
		return t.Error()
	}
	t := c.Subscribe(topicResult, 1, nil)
	t.Wait()
	c.Disconnect(250)
	if t.Error() != nil {
		return t.Error()
	}
	out, err := plant.Connect(s.mqtt, "publisher")
	if err != nil {
		return err
	}
	defer out.Close()
	at := time.Now().Add(-time.Hour)
	var open []func() error
	for n := 1; n <= messages || len(open) > 0; n++ {
		if n <= messages {
			open = append(open, out.Start(topicResult, payload(n, at)))
		}
		if n > messages || len(open) > window {
			if err := open[0](); err != nil {
				return err
			}
			open = open[1:]
		}
	}
	return nil
}

func (r *rig) startAgent(ctx context.Context, s *stage, _ *competitor) (*stack.Process, error) {
	if err := s.configure(s.mqtt); err != nil {
		return nil, err
	}
	return stack.Start(ctx, "agent", s.dir, filepath.Join(r.bin, "holdfast-agent"), nil, "run", "--config", filepath.Join(s.dir, "agent.yaml"))
}

// configure writes the agent's configuration: three sources and the mappings that the tests of releases use.
func (s *stage) configure(mqtt string) error {
	_, err := stack.Settings{Kafka: s.kafka, WAN: s.via(), MQTT: mqtt, Disk: "8GiB"}.Write(s.dir)
	return err
}

func (r *rig) startBare(ctx context.Context, s *stage, c *competitor) (*stack.Process, error) {
	dir := filepath.Join(s.dir, c.queue)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	args := []string{roleBare, "-dir", dir, "-mqtt", s.mqtt, "-kafka", s.kafka, "-via", s.via()}
	if c.padded {
		args = append(args, "-shape", r.shape)
	}
	return stack.Start(ctx, "bare", s.dir, r.self, nil, args...)
}

// compete lets a competitor carry the messages. With away, Kafka is out of reach until all of them are on its disk.
func (r *rig) compete(ctx context.Context, c *competitor, messages int, away bool) (m *measured, err error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	s, err := r.open(ctx, away)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.load(c.client, messages); err != nil {
		return nil, fmt.Errorf("load the broker: %w", err)
	}
	if away {
		s.wan.Cut()
	}
	p, err := c.start(r, ctx, s, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if _, stop := p.Stop(30 * time.Second); stop != nil {
			err = errors.Join(err, fmt.Errorf("stop %s: %w\n%s", c.name, stop, p.Tail()))
		}
	}()
	m = &measured{Competitor: c.name, Messages: messages}
	if away {
		if m.Stored, err = stored(ctx, p, c, messages); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", c.name, err, p.Tail())
		}
		s.wan.Heal()
	}
	if err := m.follow(ctx, s, p); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", c.name, err, p.Tail())
	}
	return m, m.count(filepath.Join(s.dir, c.queue), r)
}

// stored waits until all messages are on the competitor's disk, and returns at how many a second they came there.
func stored(ctx context.Context, p *stack.Process, c *competitor, messages int) (rate float64, err error) {
	var s span
	err = until(ctx, 20*time.Millisecond, func() (bool, error) {
		if err := p.Err(); err != nil {
			return false, err
		}
		metrics, err := stack.Metrics(ctx, p)
		n := int(stack.Sum(metrics, c.stored))
		s.to = time.Now()
		if n >= warm && s.from.IsZero() {
			s.from = s.to
		}
		return n >= messages, err
	})
	return s.rate(messages), err
}

// follow watches the messages arrive, and what that costs the competitor.
func (m *measured) follow(ctx context.Context, s *stage, p *stack.Process) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka))
	if err != nil {
		return err
	}
	defer client.Close()
	span, err := watch(ctx, client, m.Messages, p.Err)
	if err != nil {
		return err
	}
	cpu, err := cpuTime(p.Pid())
	if err != nil {
		return err
	}
	if m.PeakBytes, err = memory(p.Pid(), "VmHWM"); err != nil {
		return err
	}
	m.Rate = span.rate(m.Messages)
	m.CPU = cpu.Seconds() * 100_000 / float64(m.Messages)
	if err := m.settle(ctx, client); err != nil {
		return err
	}
	m.verdict, err = judge(ctx, s.kafka, m.Messages)
	return err
}

// settle waits until nothing more comes, so that a duplicate on its way is seen.
func (m *measured) settle(ctx context.Context, client *kgo.Client) error {
	before := -1
	return until(ctx, time.Second, func() (bool, error) {
		n, err := arrived(ctx, client)
		quiet := n == before
		before = n
		return quiet, err
	})
}

// count fills in what was found in Kafka and on the disk. The first record of ours shows the others what to carry.
func (m *measured) count(queue string, r *rig) error {
	v := m.verdict
	m.Lost, m.Duplicates, m.Disorder = v.lost(), v.duplicates, v.disorder
	m.RecordBytes, m.WireBytes = float64(v.bytes)/float64(v.records), float64(v.wire)/float64(v.records)
	disk, err := diskBytes(queue)
	m.DiskBytes = float64(disk) / float64(m.Messages)
	if err != nil || r.shape != "" || v.shape == nil {
		return err
	}
	r.shape = filepath.Join(r.dir, "shape.json")
	return v.shape.write(r.shape)
}

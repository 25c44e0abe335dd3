package stack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/opcua"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/proxy"
)

// Plant is one plant of a stack: its broker, its press line, its gateway, and its link to Kafka.
type Plant struct {
	ID    string
	MQTT  MQTT
	Line  *opcua.Press // nil = it has none
	WAN   *proxy.Proxy // between agent and Kafka
	Agent *Process     // of the last start; nil before the first

	dir string
	cfg *Config
}

// startPlant starts a plant's broker, its line and its link. On an error nothing runs.
func startPlant(cfg *Config, site dialect.Site, dir string, kafka Kafka) (p *Plant, err error) {
	p = &Plant{ID: site.Plant, dir: dir, cfg: cfg}
	if p.MQTT, err = cfg.startMQTT(filepath.Join(dir, "mqtt")); err != nil {
		return nil, fmt.Errorf("start MQTT broker: %w", err)
	}
	if p.Line, err = StartLine(site); err != nil {
		p.close()
		return nil, err
	}
	if p.WAN, err = proxy.Start(kafka.Addrs()[0]); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// StartLine starts a plant's press line; nil where it has none.
func StartLine(site dialect.Site) (*opcua.Press, error) {
	if len(site.Lines) == 0 {
		return nil, nil
	}
	line, err := opcua.Start(opcua.Config{Name: "Line1"})
	if err != nil {
		return nil, fmt.Errorf("start press line of %s: %w", site.Plant, err)
	}
	return line, nil
}

// Path returns a path in the plant's directory.
func (p *Plant) Path(name string) string { return filepath.Join(p.dir, name) }

// Socket is the path of the agent's socket.
func (p *Plant) Socket() string { return p.Path(filepath.Join("agent-data", "agent.sock")) }

// StartAgent starts the agent; env is added to the configured environment.
func (p *Plant) StartAgent(ctx context.Context, env ...string) (err error) {
	p.Agent, err = p.cfg.start(ctx, Command{
		Name: "agent", Dir: p.dir, Program: filepath.Join(p.cfg.Bin, "holdfast-agent"),
		Args: []string{"run", "--config", p.Path("agent.yaml"), "--log-format", "json"}, Env: slices.Concat(p.cfg.AgentEnv, env),
	})
	return err
}

// WaitLive waits until every source of the agent reads: what is published before a broker knows the agent is nobody's.
func (p *Plant) WaitLive(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		metrics, err := Metrics(ctx, p.Agent)
		if err == nil && len(metrics["holdfast_agent_source_up"]) > 0 && !slices.Contains(metrics["holdfast_agent_source_up"], 0) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("sources are not live: %v, %w\n%s", metrics["holdfast_agent_source_up"], errors.Join(ctx.Err(), err), p.Agent.Tail())
		case <-tick.C:
		}
	}
}

// close ends all that belongs to the plant.
func (p *Plant) close() {
	if p.Agent != nil {
		p.Agent.Kill()
	}
	if p.WAN != nil {
		p.WAN.Close()
	}
	if p.Line != nil {
		p.Line.Close()
	}
	if p.MQTT != nil {
		p.MQTT.Close()
	}
}

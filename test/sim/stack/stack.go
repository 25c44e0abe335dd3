// Package stack starts agent and cloud as real processes beside embedded brokers and simulated business systems, all on
// free loopback ports: what end-to-end tests, crash tests and the demo run on.
package stack

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/broker"
	"github.com/holdfast-mesh/holdfast/test/sim/proxy"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	"github.com/holdfast-mesh/holdfast/test/sim/sap"
)

// Build builds both programs into dir with the given build tags.
func Build(ctx context.Context, dir string, flags ...string) error {
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, flags...)
	args = append(args, "github.com/holdfast-mesh/holdfast/agent/cmd/holdfast-agent", "github.com/holdfast-mesh/holdfast/cloud/cmd/holdfast-cloud")
	cmd := exec.CommandContext(ctx, "go", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// Config of a stack. The zero Config keeps brokers in memory.
type Config struct {
	Bin string // directory of the two programs
	Dir string // for configurations, queues, databases and logs

	Disk     string // queue.disk of the agent; empty = 1GiB
	KafkaDir string // empty = in memory
	SAP      sap.Config
	QMS      qms.Config
	Rate     int // calls a second to the ERP; 0 = 500
	AgentEnv []string
	CloudEnv []string
}

// Stack is a plant with its cloud and business systems.
type Stack struct {
	cfg   Config
	MQTT  *broker.MQTT
	Kafka *broker.Kafka
	WAN   *proxy.Proxy // between agent and Kafka
	ERP   *proxy.Proxy // between cloud and ERP
	SAP   *sap.Simulator
	QMS   *qms.Simulator
	Agent *Process
	Cloud *Process
	Token string // of the API's caller alice, roles quality, operator and auditor

	servers []*http.Server
}

// New starts brokers and business systems and writes the configurations; the programs are started by StartAgent and
// StartCloud.
func New(cfg Config) (s *Stack, err error) {
	s = &Stack{cfg: cfg}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.MQTT, err = broker.StartMQTT(broker.MQTTConfig{Dir: filepath.Join(cfg.Dir, "mqtt")}); err != nil {
		return nil, fmt.Errorf("start MQTT broker: %w", err)
	}
	if s.Kafka, err = broker.StartKafka(broker.KafkaConfig{Dir: cfg.KafkaDir}); err != nil {
		return nil, fmt.Errorf("start Kafka: %w", err)
	}
	if s.WAN, err = proxy.Start(s.Kafka.Addrs()[0]); err != nil {
		return nil, err
	}
	if err = s.startSystems(); err != nil {
		return nil, err
	}
	return s, s.configure()
}

func (s *Stack) startSystems() (err error) {
	s.cfg.SAP.User, s.cfg.SAP.Password = ERPUser, ERPPassword
	if s.SAP, err = sap.New(s.cfg.SAP); err != nil {
		return err
	}
	s.cfg.QMS.Token = QMSToken
	if s.QMS, err = qms.New(s.cfg.QMS); err != nil {
		return err
	}
	erp, err := s.serve(s.SAP.Handler)
	if err != nil {
		return err
	}
	s.ERP, err = proxy.Start(erp)
	return err
}

// serve serves a handler on a free loopback port.
func (s *Stack) serve(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(l) }() // ends with Close
	return l.Addr().String(), nil
}

// configure writes both configurations and the secrets they name.
func (s *Stack) configure() error {
	qmsAddr, err := s.serve(s.QMS.Handler)
	if err != nil {
		return err
	}
	s.Token, err = Settings{
		MQTT: s.MQTT.URL(), Kafka: s.Kafka.Addrs()[0], WAN: s.WAN.Addr(), SAP: s.ERP.Addr(), QMS: qmsAddr, Disk: s.cfg.Disk, Rate: s.cfg.Rate,
	}.Write(s.cfg.Dir)
	return err
}

// Path returns a path in the stack's directory.
func (s *Stack) Path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// StartAgent starts the agent; env is added to the configured environment.
func (s *Stack) StartAgent(ctx context.Context, env ...string) (err error) {
	s.Agent, err = Start(ctx, "agent", s.cfg.Dir, filepath.Join(s.cfg.Bin, "holdfast-agent"), append(s.cfg.AgentEnv, env...),
		"run", "--config", s.Path("agent.yaml"), "--log-format", "json")
	return err
}

// WaitLive waits until every source of the agent reads: what is published before a broker knows the agent is nobody's.
func (s *Stack) WaitLive(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		metrics, err := Metrics(ctx, s.Agent)
		if err == nil && len(metrics["holdfast_agent_source_up"]) > 0 && !slices.Contains(metrics["holdfast_agent_source_up"], 0) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("sources are not live: %v, %w\n%s", metrics["holdfast_agent_source_up"], ctx.Err(), s.Agent.Tail())
		case <-tick.C:
		}
	}
}

// Metrics reads what a program counts: all values of each metric, whatever their labels.
func Metrics(ctx context.Context, p *Process) (map[string][]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	all := map[string][]float64{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, value, _ := cutLast(lines.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		if f, err := strconv.ParseFloat(value, 64); err == nil {
			all[name] = append(all[name], f)
		}
	}
	return all, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// Sum adds up all values of a metric.
func Sum(metrics map[string][]float64, name string) (sum float64) {
	for _, v := range metrics[name] {
		sum += v
	}
	return sum
}

// StartCloud starts the cloud; env is added to the configured environment.
func (s *Stack) StartCloud(ctx context.Context, env ...string) (err error) {
	s.Cloud, err = Start(ctx, "cloud", s.cfg.Dir, filepath.Join(s.cfg.Bin, "holdfast-cloud"), append(s.cfg.CloudEnv, env...),
		"run", "--config", s.Path("cloud.yaml"), "--log-format", "json")
	return err
}

// Close ends all that the stack started.
func (s *Stack) Close() {
	for _, p := range []*Process{s.Agent, s.Cloud} {
		if p != nil {
			p.Kill()
		}
	}
	for _, server := range s.servers {
		_ = server.Close()
	}
	for _, p := range []*proxy.Proxy{s.WAN, s.ERP} {
		if p != nil {
			p.Close()
		}
	}
	if s.Kafka != nil {
		s.Kafka.Close()
	}
	if s.MQTT != nil {
		s.MQTT.Close()
	}
	if s.SAP != nil {
		_ = s.SAP.Close()
	}
	if s.QMS != nil {
		_ = s.QMS.Close()
	}
}

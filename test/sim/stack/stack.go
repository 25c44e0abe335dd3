// Package stack starts agent and cloud as real processes beside embedded brokers and simulated business systems, all on
// free loopback ports: what end-to-end tests, crash tests and the demo run on.
package stack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
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

	// Plants are those of the stack, each in a folder of its own. Empty: the one plant p1, in Dir itself.
	Plants []dialect.Site

	// Kafka and MQTT start other brokers than the embedded ones, MQTT one for each plant; nil = embedded.
	Kafka func() (Kafka, error)
	MQTT  func() (MQTT, error)

	Disk     string // queue.disk of each agent; empty = 1GiB
	SAP      sap.Config
	QMS      qms.Config
	Rate     int // calls a second to each business system; 0 = 500
	AgentEnv []string
	CloudEnv []string
	Attr     *syscall.SysProcAttr // of agents and cloud
}

// start starts a program as the stack's own are started.
func (c *Config) start(ctx context.Context, command Command) (*Process, error) {
	command.Attr = c.Attr
	p, err := command.Launch()
	if err != nil {
		return nil, err
	}
	if err := p.Await(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Stack is plants with their cloud and business systems. It embeds its first plant, which is the only one in most tests.
type Stack struct {
	*Plant
	*Systems
	Plants []*Plant
	Kafka  Kafka
	Cloud  *Process
	Token  string // of the API's caller alice, roles quality, operator and auditor

	cfg Config
}

// New starts brokers and business systems and writes the configurations; the programs are started by StartAgent and
// StartCloud.
func New(cfg Config) (*Stack, error) {
	s := &Stack{cfg: cfg}
	if err := s.start(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stack) start() (err error) {
	if s.Kafka, err = s.cfg.startKafka(); err != nil {
		return fmt.Errorf("start Kafka: %w", err)
	}
	if err = s.startPlants(); err != nil {
		return err
	}
	if s.Systems, err = StartSystems(SystemsConfig{Plants: s.cfg.Plants, SAP: s.cfg.SAP, QMS: s.cfg.QMS}); err != nil {
		return err
	}
	return s.configure()
}

func (s *Stack) startPlants() error {
	sites, dir := s.cfg.Plants, func(id string) string { return filepath.Join(s.cfg.Dir, id) }
	if len(sites) == 0 {
		sites, dir = []dialect.Site{{Plant: "p1"}}, func(string) string { return s.cfg.Dir }
	}
	for _, site := range sites {
		p, err := startPlant(&s.cfg, site, dir(site.Plant), s.Kafka)
		if err != nil {
			return fmt.Errorf("plant %s: %w", site.Plant, err)
		}
		s.Plants = append(s.Plants, p)
	}
	s.Plant = s.Plants[0]
	return nil
}

// configure writes the configurations and the secrets they name.
func (s *Stack) configure() (err error) {
	at := s.At()
	settings := Settings{Kafka: s.Kafka.Addrs()[0], SAP: at[ERP], QMS: at[QMS], Systems: at, Rate: s.cfg.Rate}
	for i, site := range s.cfg.Plants {
		g := Gateway{Site: site, MQTT: s.Plants[i].MQTT.URL(), WAN: s.Plants[i].WAN.Addr(), Disk: s.cfg.Disk}
		if line := s.Plants[i].Line; line != nil {
			g.Line = line.URL()
		}
		settings.Gateways = append(settings.Gateways, g)
	}
	settings.MQTT, settings.WAN, settings.Disk = s.MQTT.URL(), s.WAN.Addr(), s.cfg.Disk
	s.Token, err = settings.Write(s.cfg.Dir)
	return err
}

// Path returns a path in the stack's directory.
func (s *Stack) Path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// StartAll starts the cloud and all agents at once, and returns when all sources read. All that went wrong is in the
// error.
func (s *Stack) StartAll(ctx context.Context) error {
	var starting sync.WaitGroup
	errs := make([]error, len(s.Plants)+1)
	starting.Go(func() { errs[len(s.Plants)] = s.StartCloud(ctx) })
	for i, p := range s.Plants {
		starting.Go(func() {
			err := p.StartAgent(ctx)
			if err == nil {
				err = p.WaitLive(ctx)
			}
			if err != nil {
				errs[i] = fmt.Errorf("plant %s: %w", p.ID, err)
			}
		})
	}
	starting.Wait()
	return errors.Join(errs...)
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
	s.Cloud, err = s.cfg.start(ctx, Command{
		Name: "cloud", Dir: s.cfg.Dir, Program: filepath.Join(s.cfg.Bin, "holdfast-cloud"),
		Args: []string{"run", "--config", s.Path("cloud.yaml"), "--log-format", "json"}, Env: slices.Concat(s.cfg.CloudEnv, env),
	})
	return err
}

// Close ends all that the stack started.
func (s *Stack) Close() {
	if s.Cloud != nil {
		s.Cloud.Kill()
	}
	for _, p := range s.Plants {
		p.close()
	}
	if s.Systems != nil {
		s.Systems.Close()
	}
	if s.Kafka != nil {
		s.Kafka.Close()
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/proxy"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// Limits of a start and of an end. A program is ready in a second and ends in less; a loaded machine takes longer.
const (
	startLimit = 60 * time.Second
	stopLimit  = 10 * time.Second
)

// erpBook is the file of the ERP's book. That of a plant's own ERP has the plant's id behind it.
const erpBook = "erp-book.jsonl"

// world is all that the demo runs: processes, the links between them, and where they keep their data.
type world struct {
	dir   string // of configurations, data, books and logs
	self  string // this program
	seed  uint64
	token string // of the API's caller alice

	plants  []*plantWorld
	kafka   *stack.Process
	systems *stack.Process
	cloud   *stack.Process
	control *control
	office  io.Writer // input of the systems
	inputs  []io.Closer
}

// plantWorld is one plant of the world.
type plantWorld struct {
	dialect.Site
	dir    string
	floor  *stack.Process // broker, machines and MES
	orders io.Writer      // its input
	wan    *proxy.Proxy   // agent to Kafka
	agent  *stack.Process // nil while it is killed
}

// start starts everything, in the order in which they need each other. What happens begins when all agents read.
func (w *world) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	settings, err := w.startWorld(ctx)
	if err != nil {
		return err
	}
	if w.control, err = openControl(ctx); err != nil {
		return err
	}
	settings.Links = []stack.Link{{Text: "Break something", URL: w.control.url("")}}
	if w.token, err = settings.Write(w.dir); err != nil {
		return fmt.Errorf("write configurations: %w", err)
	}
	if w.cloud, err = w.product("cloud", w.dir); err != nil {
		return err
	}
	for _, p := range w.plants {
		if err := w.startAgent(p); err != nil {
			return err
		}
	}
	if err := w.cloud.Await(ctx); err != nil {
		return err
	}
	if err := w.awaitAgents(ctx); err != nil {
		return err
	}
	begin := order{Do: doBegin, Start: time.Now(), API: w.base(), Token: w.token}
	if err := begin.write(w.office); err != nil {
		return err
	}
	for _, p := range w.plants {
		if err := begin.write(p.orders); err != nil {
			return err
		}
	}
	return nil
}

// startWorld starts what agents and cloud talk to, and the links to it, and says where all that is.
func (w *world) startWorld(ctx context.Context) (s stack.Settings, err error) {
	seed := strconv.FormatUint(w.seed, 10)
	if w.kafka, _, err = w.role("kafka", w.dir, "--dir", w.path("kafka")); err != nil {
		return s, err
	}
	if w.systems, w.office, err = w.role("systems", w.dir, "--dir", w.dir, "--seed", seed); err != nil {
		return s, err
	}
	for _, site := range dialect.Sites() {
		p := &plantWorld{Site: site, dir: w.path(site.Plant)}
		w.plants = append(w.plants, p)
		if err := os.MkdirAll(p.dir, 0o755); err != nil {
			return s, err
		}
		if p.floor, p.orders, err = w.role("plant", p.dir, "--plant", site.Plant, "--dir", p.dir, "--seed", seed); err != nil {
			return s, err
		}
	}
	kafka, err := readyOf(ctx, w.kafka)
	if err != nil {
		return s, err
	}
	systems, err := readyOf(ctx, w.systems)
	if err != nil {
		return s, err
	}
	s = stack.Settings{Kafka: kafka.Address, SAP: systems.Systems[stack.ERP], QMS: systems.Systems[stack.QMS], Systems: systems.Systems}
	for _, p := range w.plants {
		ready, err := readyOf(ctx, p.floor)
		if err != nil {
			return s, err
		}
		if p.wan, err = proxy.Start(kafka.Address); err != nil {
			return s, fmt.Errorf("start WAN of plant %s: %w", p.Plant, err)
		}
		s.Gateways = append(s.Gateways, stack.Gateway{Site: p.Site, MQTT: ready.Address, WAN: p.wan.Addr(), Line: ready.Line})
	}
	return s, nil
}

// readyOf waits until a role is ready, and returns what it said.
func readyOf(ctx context.Context, p *stack.Process) (l readyLine, err error) {
	if err := p.Await(ctx); err != nil {
		return l, err
	}
	if err := json.Unmarshal(p.Line, &l); err != nil {
		return l, fmt.Errorf("read ready line of %s: %w", p.Name, err)
	}
	return l, nil
}

// awaitAgents waits until all sources of all agents read: what a plant says before a broker knows the agent is nobody's.
func (w *world) awaitAgents(ctx context.Context) error {
	var waiting sync.WaitGroup
	errs := make([]error, len(w.plants))
	for i, p := range w.plants {
		waiting.Go(func() {
			if errs[i] = p.agent.Await(ctx); errs[i] == nil {
				errs[i] = p.awaitSources(ctx)
			}
		})
	}
	waiting.Wait()
	return errors.Join(errs...)
}

func (p *plantWorld) awaitSources(ctx context.Context) error {
	client := localapi.NewClient(p.socket())
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := client.Status(ctx)
		waiting := func(s localapi.Source) bool { return s.State != source.Live }
		if err == nil && len(s.Sources) > 0 && !slices.ContainsFunc(s.Sources, waiting) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the sources of plant %s: %w\n%s", p.Plant, errors.Join(ctx.Err(), err), p.agent.Tail())
		case <-tick.C:
		}
	}
}

// program is the path of agent or cloud, beside our own.
func (w *world) program(name string) string {
	return filepath.Join(filepath.Dir(w.self), "holdfast-"+name+filepath.Ext(w.self))
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// base is that of the cloud's API, valid once the cloud is ready.
func (w *world) base() string { return "http://" + w.cloud.Address + api.Base }

// books are the files of the ERPs' books.
func (w *world) books() []string {
	all := []string{w.path(erpBook)}
	for _, p := range w.plants {
		if p.Scope != "" {
			all = append(all, w.path(erpBook+"."+p.Plant))
		}
	}
	return all
}

// socket is the agent's.
func (p *plantWorld) socket() string { return filepath.Join(p.dir, "agent-data", "agent.sock") }

// role starts this program in one of its roles. The writer is the role's input.
func (w *world) role(name, dir string, args ...string) (*stack.Process, io.Writer, error) {
	in, out, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", name, err)
	}
	w.inputs = append(w.inputs, out)
	p, err := stack.Command{Name: name, Dir: dir, Program: w.self, Args: append([]string{name}, args...), Stdin: in, Attr: childAttr()}.Launch()
	return p, out, errors.Join(err, in.Close())
}

// product starts agent or cloud.
func (w *world) product(name, dir string) (*stack.Process, error) {
	return stack.Command{
		Name: name, Dir: dir, Program: w.program(name), Attr: childAttr(),
		Args: []string{"run", "--config", filepath.Join(dir, name+".yaml"), "--log-format", "json"},
	}.Launch()
}

// startAgent starts a plant's agent and does not wait for it.
func (w *world) startAgent(p *plantWorld) (err error) {
	p.agent, err = w.product("agent", p.dir)
	return err
}

// killAgent ends a plant's agent as a power cut does.
func (p *plantWorld) killAgent() {
	p.agent.Kill()
	p.agent = nil
}

// tiers are the processes that should run, in the order in which they may end: those of a tier need nobody of it, and
// take their leave before what they talk to goes.
func (w *world) tiers() [][]*stack.Process {
	var agents, floors []*stack.Process
	for _, p := range w.plants {
		agents, floors = append(agents, p.agent), append(floors, p.floor)
	}
	all := [][]*stack.Process{agents, {w.cloud}, append(floors, w.systems, w.kafka)}
	for i := range all {
		all[i] = slices.DeleteFunc(all[i], func(p *stack.Process) bool { return p == nil })
	}
	return all
}

// ended returns a process that has ended though it should run; nil if there is none.
func (w *world) ended() *stack.Process {
	for _, p := range slices.Concat(w.tiers()...) {
		select {
		case <-p.Done():
			return p
		default:
		}
	}
	return nil
}

// stop ends all that was started. Once hurry is closed, nothing is waited for. It returns when none runs.
func (w *world) stop(hurry <-chan struct{}) error {
	tiers := w.tiers()
	stopped, watching := make(chan struct{}), sync.WaitGroup{}
	watching.Go(func() {
		select {
		case <-hurry:
			for _, p := range slices.Concat(tiers...) {
				p.Kill()
			}
		case <-stopped:
		}
	})
	var errs []error
	for _, tier := range tiers {
		errs = append(errs, stopAll(tier))
	}
	close(stopped)
	watching.Wait()
	for _, in := range w.inputs {
		errs = append(errs, in.Close())
	}
	if w.control != nil {
		errs = append(errs, w.control.close())
	}
	for _, p := range w.plants {
		if p.wan != nil {
			p.wan.Close()
		}
	}
	return errors.Join(errs...)
}

// stopAll ends processes at the same time. One that had to be killed is an error.
func stopAll(processes []*stack.Process) error {
	var stopping sync.WaitGroup
	errs := make([]error, len(processes))
	for i, p := range processes {
		stopping.Go(func() {
			if _, err := p.Stop(stopLimit); errors.Is(err, stack.ErrSlowStop) {
				errs[i] = err
			}
			p.Kill() // where it could not be asked
		})
	}
	stopping.Wait()
	return errors.Join(errs...)
}

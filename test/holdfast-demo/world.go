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
	"github.com/holdfast-mesh/holdfast/test/sim/proxy"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// Limits of a start and of an end. A program is ready in a second and ends in less; a loaded machine takes longer.
const (
	startLimit = 60 * time.Second
	stopLimit  = 10 * time.Second
)

// world is all that the demo runs: processes, the links between them, and where they keep their data.
type world struct {
	dir   string // of configurations, data, books and logs
	self  string // this program
	seed  uint64
	token string // of the API's caller alice

	wan, erp  *proxy.Proxy // agent to Kafka, cloud to ERP
	processes []*stack.Process
	inputs    []io.Closer // of the roles: they end when these are closed
	agent     *stack.Process
	cloud     *stack.Process
	orders    io.Writer // input of the plant
}

// start starts everything, in the order in which they need each other.
func (w *world) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	settings, err := w.startSystems(ctx)
	if err != nil {
		return err
	}
	if w.token, err = settings.Write(w.dir); err != nil {
		return fmt.Errorf("write configurations: %w", err)
	}
	if w.cloud, err = w.product("cloud"); err != nil {
		return err
	}
	if err := w.startAgent(); err != nil {
		return err
	}
	for _, p := range []*stack.Process{w.cloud, w.agent} {
		if err := p.Await(ctx); err != nil {
			return err
		}
	}
	if err := w.awaitSources(ctx); err != nil {
		return err
	}
	plant, orders, err := w.role("plant", "--mqtt", settings.MQTT, "--seed", strconv.FormatUint(w.seed, 10))
	if err != nil {
		return err
	}
	w.orders = orders
	return plant.Await(ctx)
}

// startSystems starts what agent and cloud talk to, and the links to it, and says where all that is.
func (w *world) startSystems(ctx context.Context) (stack.Settings, error) {
	var at [3]readyLine // of broker, ERP and QMS
	var started [3]*stack.Process
	for i, args := range [3][]string{{"broker", "--dir", w.path("broker")}, {"erp", "--book", w.book()}, {"qms", "--book", w.path("qms-book.jsonl")}} {
		p, _, err := w.role(args[0], args[1:]...)
		if err != nil {
			return stack.Settings{}, err
		}
		started[i] = p
	}
	for i, p := range started {
		if err := p.Await(ctx); err != nil {
			return stack.Settings{}, err
		}
		if err := json.Unmarshal(p.Line, &at[i]); err != nil {
			return stack.Settings{}, fmt.Errorf("read ready line of %s: %w", p.Name, err)
		}
	}
	broker, erp, qms := at[0], at[1], at[2]
	var err error
	if w.wan, err = proxy.Start(broker.Kafka); err != nil {
		return stack.Settings{}, fmt.Errorf("start WAN: %w", err)
	}
	if w.erp, err = proxy.Start(erp.Address); err != nil {
		return stack.Settings{}, fmt.Errorf("start link to ERP: %w", err)
	}
	return stack.Settings{MQTT: broker.Address, Kafka: broker.Kafka, WAN: w.wan.Addr(), SAP: w.erp.Addr(), QMS: qms.Address}, nil
}

// awaitSources waits until all sources of the agent read: what a plant says before a broker knows the agent is nobody's.
func (w *world) awaitSources(ctx context.Context) error {
	client := localapi.NewClient(w.socket())
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
			return fmt.Errorf("wait for the agent's sources: %w\n%s", errors.Join(ctx.Err(), err), w.agent.Tail())
		case <-tick.C:
		}
	}
}

// program is the path of agent or cloud, beside our own.
func (w *world) program(name string) string {
	return filepath.Join(filepath.Dir(w.self), "holdfast-"+name+filepath.Ext(w.self))
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// book is the file of the ERP's book.
func (w *world) book() string { return w.path("erp-book.jsonl") }

// socket is the agent's.
func (w *world) socket() string { return w.path(filepath.Join("agent-data", "agent.sock")) }

// role starts this program in one of its roles. The writer is the role's input.
func (w *world) role(name string, args ...string) (*stack.Process, io.Writer, error) {
	in, out, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", name, err)
	}
	w.inputs = append(w.inputs, out)
	p, err := w.launch(stack.Command{Name: name, Program: w.self, Args: append([]string{name}, args...), Stdin: in})
	return p, out, errors.Join(err, in.Close())
}

// product starts agent or cloud.
func (w *world) product(name string) (*stack.Process, error) {
	return w.launch(stack.Command{
		Name: name, Program: w.program(name), Args: []string{"run", "--config", w.path(name + ".yaml"), "--log-format", "json"},
	})
}

func (w *world) launch(c stack.Command) (*stack.Process, error) {
	c.Dir, c.Attr = w.dir, childAttr()
	p, err := c.Launch()
	if err == nil {
		w.processes = append(w.processes, p)
	}
	return p, err
}

// startAgent starts the agent and does not wait for it.
func (w *world) startAgent() (err error) {
	w.agent, err = w.product("agent")
	return err
}

// killAgent ends the agent as a power cut does.
func (w *world) killAgent() {
	w.agent.Kill()
	w.processes = slices.DeleteFunc(w.processes, func(p *stack.Process) bool { return p == w.agent })
}

// fail tells the plant to make a part that fails.
func (w *world) fail() error {
	_, err := io.WriteString(w.orders, orderFail+"\n")
	return err
}

// stop ends all that was started, the newest first: plant, agent and cloud take their leave before what they talk to
// goes. Once hurry is closed, nothing is waited for. It returns when none runs.
func (w *world) stop(hurry <-chan struct{}) error {
	stopped, watching := make(chan struct{}), sync.WaitGroup{}
	watching.Go(func() {
		select {
		case <-hurry:
			for _, p := range w.processes {
				p.Kill()
			}
		case <-stopped:
		}
	})
	var errs []error
	for _, p := range slices.Backward(w.processes) {
		if _, err := p.Stop(stopLimit); errors.Is(err, stack.ErrSlowStop) {
			errs = append(errs, err)
		}
		p.Kill() // where it could not be asked
	}
	close(stopped)
	watching.Wait()
	for _, in := range w.inputs {
		errs = append(errs, in.Close())
	}
	for _, p := range []*proxy.Proxy{w.wan, w.erp} {
		if p != nil {
			p.Close()
		}
	}
	return errors.Join(errs...)
}

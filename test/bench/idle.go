package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

const (
	idleFor    = 30 * time.Second
	idleStarts = 9

	mostIdleBytes   = 64 << 20
	mostIdleCPU     = 1.0 // percent of one processor
	mostBinaryBytes = 25_000_000
	mostStart       = 200 * time.Millisecond
)

// resting is what an agent costs that has nothing to do.
type resting struct {
	RSS        int64   `json:"rss_bytes"`
	CPUPercent float64 `json:"cpu_percent"`
	Binary     int64   `json:"binary_bytes"`
	StartMS    float64 `json:"start_to_first_connection_ms"`      // median
	StartMost  float64 `json:"start_to_first_connection_most_ms"` // of all starts
	Starts     int     `json:"starts"`
}

// idle measures an agent whose sources are connected and send nothing, and how long one takes to its first connection.
func (r *rig) idle(ctx context.Context) error {
	info, err := os.Stat(filepath.Join(r.bin, "holdfast-agent"))
	if err != nil {
		return err
	}
	rest := resting{Binary: info.Size(), Starts: idleStarts}
	if err := r.rest(ctx, &rest); err != nil {
		return err
	}
	var starts []float64
	for range idleStarts {
		took, err := r.firstConnection(ctx)
		if err != nil {
			return err
		}
		starts = append(starts, float64(took.Microseconds())/1000)
	}
	rest.StartMS, rest.StartMost = middle(starts), slices.Max(starts)
	r.report.idle = &rest
	return r.report.line(struct {
		Part string `json:"part"`
		resting
	}{"idle", rest})
}

// rest runs an agent on brokers on which nothing happens.
func (r *rig) rest(ctx context.Context, into *resting) (err error) {
	s, err := r.open(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	p, err := r.startAgent(ctx, s, nil)
	if err != nil {
		return err
	}
	defer func() {
		_, stop := p.Stop(30 * time.Second)
		err = errors.Join(err, stop)
	}()
	err = until(ctx, 50*time.Millisecond, func() (bool, error) {
		metrics, err := stack.Metrics(ctx, p)
		up := metrics["holdfast_agent_source_up"]
		return len(up) > 0 && !slices.Contains(up, 0), errors.Join(err, p.Err())
	})
	if err != nil {
		return fmt.Errorf("agent is not live: %w\n%s", err, p.Tail())
	}
	before, err := cpuTime(p.Pid())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := stack.Until(ctx, began.Add(idleFor)); err != nil {
		return err
	}
	after, err := cpuTime(p.Pid())
	if err != nil {
		return err
	}
	into.CPUPercent = 100 * (after - before).Seconds() / time.Since(began).Seconds()
	into.RSS, err = memory(p.Pid(), "VmRSS")
	return err
}

// firstConnection starts an agent with an empty queue and returns how long it takes until it connects to its broker.
func (r *rig) firstConnection(ctx context.Context) (took time.Duration, err error) {
	dir, err := os.MkdirTemp(r.dir, "start")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	broker, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	s := &stage{dir: dir, kafka: "127.0.0.1:1"} // nobody listens there
	if err := s.configure("tcp://" + broker.Addr().String()); err != nil {
		return 0, err
	}
	began := time.Now()
	p, err := stack.Command{
		Name: "agent", Dir: dir, Program: filepath.Join(r.bin, "holdfast-agent"), Args: []string{"run", "--config", filepath.Join(dir, "agent.yaml")},
	}.Launch()
	if err != nil {
		return 0, err
	}
	defer p.Kill()
	if err := broker.(*net.TCPListener).SetDeadline(began.Add(time.Minute)); err != nil {
		return 0, err
	}
	c, err := broker.Accept()
	if err != nil {
		return 0, fmt.Errorf("agent did not connect: %w\n%s", err, p.Tail())
	}
	return time.Since(began), c.Close()
}

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

const (
	loadPerSecond = 150
	restLimit     = 45 * time.Second
)

// killAgent kills the agent in a loop under load, at random instants and at every hook, and returns what is wrong.
func killAgent(t *testing.T, bin string, cycles int, rest time.Duration, rnd *rand.Rand) []string {
	t.Helper()
	r := newRig(t, bin, rest, rnd)
	hooks := []string{"", "queue.before_commit", "queue.after_commit", "mqtt.before_ack", "uplink.before_ack", "queue.before_ack", ""}
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() { r.load(stop, loadPerSecond) })
	for i := range cycles {
		r.cycle(&r.Agent, r.StartAgent, hooks[i%len(hooks)])
	}
	close(stop)
	load.Wait()
	return r.verdict()
}

// killCloud is the same for the cloud, with one answer in three of ERP and QMS lost after the effect.
func killCloud(t *testing.T, bin string, cycles int, rest time.Duration, rnd *rand.Rand) []string {
	t.Helper()
	r := newRig(t, bin, rest, rnd)
	r.loseAnswers(3)
	hooks := []string{"", "intake.before_apply", "intake.after_apply", "dispatch.before_write", "dispatch.after_write", "dispatch.before_record", "outbox.after_send"}
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() { r.load(stop, loadPerSecond) })
	for i := range cycles {
		r.cycle(&r.Cloud, r.StartCloud, hooks[i%len(hooks)])
	}
	close(stop)
	load.Wait()
	return r.verdict()
}

// cycle lets a program run for a moment, ends it by SIGKILL, at the hook if one is named, and starts it again. The next
// hook is armed at the start.
func (r *rig) cycle(p **stack.Process, start func(context.Context, ...string) error, hook string) {
	r.t.Helper()
	if hook != "" {
		r.armed(p, start, hook)
	} else {
		pause(time.Duration(50+r.rnd.IntN(350)) * time.Millisecond)
	}
	(*p).Kill()
	r.start((*p).Name, start)
}

// armed starts a program that ends itself at a hook, or is ended after a while where the hook is not reached. It may die
// before it is ready.
func (r *rig) armed(p **stack.Process, start func(context.Context, ...string) error, hook string) {
	r.t.Helper()
	old := *p
	old.Kill()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	if err := start(ctx, fmt.Sprintf("HOLDFAST_FAILPOINTS=%s=kill:%d", hook, 1+r.rnd.IntN(20))); err != nil {
		*p = old
		return
	}
	select {
	case <-(*p).Done():
	case <-time.After(5 * time.Second): // under other load the hook is passed more seldom, by larger batches
	}
}

func (r *rig) verdict() []string {
	r.t.Helper()
	var wrong []string
	if err := r.settle(r.rest); err != nil {
		wrong = append(wrong, err.Error())
	}
	return append(wrong, r.judge()...)
}

func report(t *testing.T, wrong []string) {
	t.Helper()
	for i, w := range wrong {
		if i == 20 {
			t.Errorf("and %d more", len(wrong)-i)
			return
		}
		t.Error(w)
	}
}

// TestCampaign01_KillAgent: nothing lost, nothing doubled, nothing overtaken, the chain verifies.
func TestCampaign01_KillAgent(t *testing.T) {
	cycles := 20
	if full() {
		cycles = 100
	}
	report(t, killAgent(t, build(t, ""), cycles, restLimit, seed(t)))
	t.Logf("%d kills of the agent", cycles)
}

// TestCampaign06_KillCloud: the same for the cloud, with answers lost after the effect.
func TestCampaign06_KillCloud(t *testing.T) {
	cycles := 14
	if full() {
		cycles = 50
	}
	report(t, killCloud(t, build(t, ""), cycles, restLimit, seed(t)))
	t.Logf("%d kills of the cloud", cycles)
}

// Package journey walks the first five minutes of an engineer who has the agent's binary, an OPC UA server, and an empty
// folder: a configuration is written, checked, and looked over by doctor; the agent runs, its server's certificate is
// trusted, and tap shows the first event.
package journey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// mostLines is how long a first configuration may be.
const mostLines = 40

// Journey is what somebody has at the start.
type Journey struct {
	Program string // path of holdfast-agent
	Dir     string // an empty folder, whose path is short enough for a socket
	// Source is the configuration of the one source, as it stands below "opcua:", with an indentation of six.
	Source string
	Node   string // whose values become events
	Secret string // written to server.pw; "" = none is

	// Installed says that the data folder is there before the first start, as a package makes it. Then the server's
	// certificate can be trusted after the first doctor; else it is while the agent runs, which tries every five seconds.
	Installed bool
}

// Walked is how it went.
type Walked struct {
	Lines int           // of the configuration
	Ready time.Duration // from the start of the agent to its line "ready"
	Event time.Duration // from the same start to the first event in tap
	Type  string        // of that event
	First string        // what doctor said before the server's certificate was trusted
	Again string        // what it said of the server afterwards
}

// config is what the engineer writes.
func (j *Journey) config(broker string) string {
	return fmt.Sprintf(`# A press that is read by OPC UA. Its force is a trend: it judges no part.
plant: p1
agent: gw1
data: data
listen: 127.0.0.1:0
queue: { disk: 1GiB, allow_tmpfs: true }
kafka: { brokers: ["%s"] }

sources:
  - id: press
    equipment: press7
    opcua:
%s      items:
        - { node: "%s", pattern: sample, every: 250ms }

mappings:
  - name: force
    version: 1
    from: { source: press, topic: "%s" }
    event:
      type: signal.value.sampled.v1
      time: rfc3339(p.source_time)
      key: [p.id]
      data: { equipment: '"press7"', signal: '"force"', value: p.value, unit: '"kN"', status: p.quality }
`, broker, j.Source, j.Node, j.Node)
}

// Walk walks it. Kafka is an embedded one that has the plant's topics.
func (j *Journey) Walk(ctx context.Context) (w Walked, err error) {
	cluster, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		return w, err
	}
	defer cluster.Close()
	topics := kafka.Config{Brokers: cluster.Addrs(), Prefix: kafka.DefaultConfig.Prefix, CreateTopics: true}
	if err := topics.Ensure(ctx, topics.PlantSpecs("p1"), zerolog.Nop()); err != nil {
		return w, err
	}
	text := j.config(cluster.Addrs()[0])
	if w.Lines = strings.Count(text, "\n"); w.Lines >= mostLines {
		return w, fmt.Errorf("the configuration has %d lines, want less than %d", w.Lines, mostLines)
	}
	if err := os.WriteFile(filepath.Join(j.Dir, "agent.yaml"), []byte(text), 0o600); err != nil {
		return w, err
	}
	if j.Secret != "" {
		if err := os.WriteFile(filepath.Join(j.Dir, "server.pw"), []byte(j.Secret), 0o600); err != nil {
			return w, err
		}
	}
	if j.Installed {
		if err := os.Mkdir(filepath.Join(j.Dir, "data"), 0o700); err != nil {
			return w, err
		}
	}
	if _, err := j.call(ctx, 0, "check-config"); err != nil {
		return w, err
	}
	// Nobody trusts the server yet. That is all that doctor finds, and it names the command that changes it.
	if w.First, err = j.call(ctx, 1, "doctor"); err != nil {
		return w, err
	}
	if j.Installed {
		if err := j.trust(ctx); err != nil {
			return w, err
		}
	}
	return w, j.run(ctx, &w)
}

// trust accepts the server's certificate as soon as it waits for a person.
func (j *Journey) trust(ctx context.Context) error {
	thumbprint, err := j.waiting(ctx)
	if err != nil {
		return err
	}
	_, err = j.call(ctx, 0, "cert", "trust", thumbprint, "-y")
	return err
}

// run starts the agent, and waits for the first event.
func (j *Journey) run(ctx context.Context, w *Walked) error {
	began := time.Now()
	agent, err := stack.Start(ctx, "agent", j.Dir, j.Program, nil, "run")
	if err != nil {
		return err
	}
	defer agent.Kill()
	w.Ready = time.Since(began)
	if !j.Installed {
		if err := j.trust(ctx); err != nil {
			return fmt.Errorf("%w\n%s", err, agent.Tail())
		}
	}
	said, err := j.call(ctx, 0, "tap", "--count", "1", "--lane", "telemetry", "-o", "json")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, agent.Tail())
	}
	w.Event = time.Since(began)
	var event struct{ Type string }
	if err := json.Unmarshal([]byte(said), &event); err != nil {
		return fmt.Errorf("tap shows %q: %w", said, err)
	}
	w.Type = event.Type
	if w.Again, err = j.call(ctx, 0, "doctor", "--only", "opcua"); err != nil {
		return err
	}
	_, err = agent.Stop(10 * time.Second)
	return err
}

// waiting returns the thumbprint of the certificate that waits for a person, once it is there.
func (j *Journey) waiting(ctx context.Context) (string, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		said, err := j.call(ctx, 0, "cert", "pending", "-o", "json")
		if err != nil {
			return "", err
		}
		var pending struct {
			Certificates []struct{ Thumbprint string }
		}
		if err := json.Unmarshal([]byte(said), &pending); err != nil {
			return "", err
		}
		if len(pending.Certificates) > 0 {
			return pending.Certificates[0].Thumbprint, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no certificate waits for a person: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// call runs a command of the agent in the folder, wants its exit code, and returns what it says.
func (j *Journey) call(ctx context.Context, want int, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, j.Program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = j.Dir, &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == want || err == nil && want == 0 {
		return out.String(), nil
	}
	return out.String(), fmt.Errorf("%s: %w, want exit code %d\n%s%s", strings.Join(args, " "), err, want, out.String(), errs.String())
}

// Check tells what of a journey was not as it should be.
func (w *Walked) Check() error {
	var wrong []error
	if n := strings.Count(w.First, "FAIL"); n != 1 || !strings.Contains(w.First, "holdfast-agent cert trust") || !strings.Contains(w.First, "E-4101") {
		wrong = append(wrong, fmt.Errorf("doctor finds %d failures before the server is trusted, want that alone:\n%s", n, w.First))
	}
	if !strings.Contains(w.Again, "with the trusted certificate") {
		wrong = append(wrong, fmt.Errorf("doctor says of the trusted server:\n%s", w.Again))
	}
	if w.Type != "signal.value.sampled.v1" {
		wrong = append(wrong, fmt.Errorf("the first event is a %q", w.Type))
	}
	if w.Event > mostWait {
		wrong = append(wrong, fmt.Errorf("the first event came %s after the start, want %s at the most", w.Event, mostWait))
	}
	return errors.Join(wrong...)
}

// mostWait is how long the first event may take from the agent's start, with the trusting of its server.
const mostWait = 15 * time.Second

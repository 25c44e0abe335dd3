//go:build unix

package agent

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
	"github.com/holdfast-mesh/holdfast/test/sim/systemd"
)

func TestAgent_Inform(t *testing.T) {
	socket := must(systemd.Listen(filepath.Join(shortDir(t), "notify")))(t)
	defer func() { _ = socket.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	hear := func(text string) string {
		t.Helper()
		return must(socket.Hear(ctx, text))(t)
	}
	r := newRigWith(t, func(a *Agent) { a.Notifier = telemetry.NewNotifier(socket.LookupEnv(90 * time.Millisecond)) })
	if said := hear("READY=1"); !strings.Contains(said, "STATUS=") {
		t.Errorf("ready comes without a status: %q", said)
	}
	r.result("1", "45.1")
	r.drained()
	if said := hear("STATUS=nothing waits; Kafka is reached"); !strings.Contains(said, "WATCHDOG=1") {
		t.Errorf("the watchdog is not fed: %q", said)
	}
	r.kafka.Close()
	r.result("2", "61.2")
	hear("2 events wait (1 urgent), oldest ")
	hear("; Kafka is not reached since ")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	hear("STOPPING=1")
}

func TestPulse_Beats(t *testing.T) {
	l := must(queue.Open(t.Context(), queue.Config{Dir: t.TempDir(), Name: "quality", Quota: 64 << 20, AllowTmpfs: true}))(t)
	defer func() { _ = l.Close() }()
	if err := l.Begin("a1", ""); err != nil {
		t.Fatal(err)
	}
	p := newPulse(l)
	ended, cancel := context.WithCancel(t.Context())
	cancel() // no probe is answered within it
	if !p.beats(t.Context(), patience) {
		t.Error("a lane with nothing to do does not beat")
	}
	if p.beats(ended, patience) {
		t.Error("neither commit nor probe, and it beats")
	}
	if _, err := l.Put(t.Context(), queue.Batch{Records: []queue.Record{{At: time.Now(), Value: []byte("x")}}}); err != nil {
		t.Fatal(err)
	}
	if !p.beats(ended, patience) {
		t.Error("a commit is no beat")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if p.beats(t.Context(), patience) {
		t.Error("a closed lane beats")
	}
}

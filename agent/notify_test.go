//go:build unix

package agent

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/event"
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

// TestAgent_Hangup reloads at a signal, between the words by which a service manager knows of it.
func TestAgent_Hangup(t *testing.T) {
	socket := must(systemd.Listen(filepath.Join(shortDir(t), "notify")))(t)
	defer func() { _ = socket.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	hear := func(text string) string {
		t.Helper()
		return must(socket.Hear(ctx, text))(t)
	}
	hangups := make(chan os.Signal)
	d := newDesk(t, func(a *Agent) { a.Notifier, a.Hangups = telemetry.NewNotifier(socket.LookupEnv(0)), hangups })
	hear("READY=1")
	before := d.status()

	d.edit("queue: {", "queue: { qality: 1%,")
	hangups <- syscall.SIGHUP
	said := hear("RELOADING=1")
	if runtime.GOOS == "linux" && !regexp.MustCompile(`\nMONOTONIC_USEC=[1-9][0-9]{5,}$`).MatchString(said) {
		t.Errorf("the manager heard %q", said)
	}
	if said := hear("READY=1"); !strings.Contains(said, "the configuration as it is now was refused (E-1003)") {
		t.Errorf("the manager heard %q", said)
	}
	d.edit("queue: { qality: 1%,", "queue: {", "name: press-result\n    version: 1", "name: press-result\n    version: 2")
	hangups <- syscall.SIGHUP
	hear("RELOADING=1")
	if said := hear("READY=1"); strings.Contains(said, "refused") {
		t.Errorf("the manager heard %q", said)
	}
	if s := d.status(); s.Config == before.Config || s.ConfigRefused != nil {
		t.Errorf("status %+v", s)
	}
	if act := d.events(event.TypeActRecorded)[0].(*event.ActRecorded); act.Principal != hangup || act.Reason != hangup || act.Detail["mappings[press-result].version"] != "changed: 1 -> 2" {
		t.Errorf("act %+v", act)
	}
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

//go:build unix

package deploy

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/stack"
	"github.com/holdfast-mesh/holdfast/test/sim/systemd"
)

// TestNotify_Programs starts both programs as a service manager does, with a watchdog, and stops the agent: each says that it is
// ready, how much waits, that it lives, and that it stops.
func TestNotify_Programs(t *testing.T) {
	dir := shortDir(t, nil)
	s, err := stack.New(stack.Config{Bin: bin, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, program := range []struct {
		name    string
		start   func(context.Context, ...string) error
		process func() *stack.Process
	}{
		{"cloud", s.StartCloud, func() *stack.Process { return s.Cloud }},
		{"agent", s.StartAgent, func() *stack.Process { return s.Agent }},
	} {
		name := program.name
		socket, err := systemd.Listen(filepath.Join(dir, "notify-"+name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = socket.Close() })
		if err := program.start(ctx, socket.Environment(300*time.Millisecond)...); err != nil {
			t.Fatal(err)
		}
		hear := func(text string) string {
			t.Helper()
			said, err := socket.Hear(ctx, text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return said
		}
		if said := hear("READY=1"); !strings.Contains(said, "STATUS=") {
			t.Errorf("%s is ready without a status: %q", name, said)
		}
		hear("WATCHDOG=1")
		if said := hear("WATCHDOG=1"); !strings.Contains(said, "STATUS=") {
			t.Errorf("%s lives without a status: %q", name, said)
		}
		if _, err := program.process().Stop(30 * time.Second); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		hear("STOPPING=1")
	}
}

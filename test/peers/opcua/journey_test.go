//go:build unix

package opcua

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/e2e/journey"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// TestPeer_FirstFiveMinutes walks from an empty folder to the first event of a server of others.
func TestPeer_FirstFiveMinutes(t *testing.T) {
	p := startPress(t)
	dir, err := os.MkdirTemp("", "hf-") //nolint:usetesting // the path of t.TempDir can be longer than a socket's may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	bin, folder := filepath.Join(dir, "bin"), filepath.Join(dir, "plant")
	for _, d := range []string{bin, folder} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // the building of the programs is the longest of it
	defer cancel()
	if err := stack.Build(ctx, bin); err != nil {
		t.Fatal(err)
	}
	j := journey.Journey{
		Program: filepath.Join(bin, "holdfast-agent"), Dir: folder, Node: force, Secret: "press7-secret",
		Source: fmt.Sprintf("      endpoint: \"opc.tcp://%s/press7\"\n      security: Basic256Sha256/SignAndEncrypt\n      user: holdfast\n      password_file: server.pw\n", p.addr()),
	}
	w, err := j.Walk(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Check(); err != nil {
		t.Error(err)
	}
	t.Logf("%d lines of configuration; ready after %s, the first event (%s) %s after the start", w.Lines, w.Ready.Round(time.Millisecond), w.Type, w.Event.Round(time.Millisecond))
}

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/e2e/journey"
	"github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

// TestF07_FirstFiveMinutes walks from an empty folder to the first event of an embedded press line. The suite of OPC UA's
// peers walks the same way with a server of others.
func TestF07_FirstFiveMinutes(t *testing.T) {
	t.Parallel()
	const security = "Basic256Sha256/SignAndEncrypt"
	line, err := opcua.Start(opcua.Config{Security: []string{security}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Close)
	dir, err := os.MkdirTemp("", "hf-") //nolint:usetesting // the path of t.TempDir can be longer than a socket's may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stop := make(chan struct{})
	made := make(chan struct{})
	go func() { // parts, so that the torque changes
		defer close(made)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for n := 0.0; ; n++ {
			line.Part("L-1", 45+n/100)
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	defer func() { close(stop); <-made }()
	j := journey.Journey{
		Program: filepath.Join(bin, "holdfast-agent"), Dir: dir, Installed: true, Node: line.Node("Torque"),
		Source: fmt.Sprintf("      endpoint: %q\n      security: %s\n      heartbeat: %q\n", line.URL(), security, line.Node("Heartbeat")),
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

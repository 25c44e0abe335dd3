//go:build unix

package kafka

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// bin is the directory of the programs under test, built once. They have a clock that a test can move.
var bin string

func TestMain(m *testing.M) {
	if os.Getenv("HOLDFAST_PEER_KAFKA_JARS") == "" {
		os.Exit(m.Run()) // each test says that it is skipped
	}
	os.Exit(stack.WithPrograms(func(dir string) int {
		bin = dir
		return m.Run()
	}, "-tags", "failpoint"))
}

// jars returns the folder of the server's jars, or skips aloud.
func jars(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("HOLDFAST_PEER_KAFKA_JARS")
	if dir == "" {
		t.Skip("PEER SKIPPED name=kafka reason=HOLDFAST_PEER_KAFKA_JARS names no folder; make peers sets it")
	}
	return dir
}

// run starts a cluster for a test.
func run(t *testing.T, cfg Config) *Cluster {
	t.Helper()
	cfg.Jars = jars(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c, err := Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

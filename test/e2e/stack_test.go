package e2e

import (
	"os"
	"slices"
	"testing"

	"github.com/holdfast-mesh/holdfast/test/peers/brokers"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// build makes a stack of the programs under test, and starts none of them. Its brokers and its database are those that the
// environment names.
func build(t *testing.T, cfg stack.Config) *stack.Stack {
	t.Helper()
	cfg.Bin, cfg.Dir = bin, t.TempDir()
	brokers.Choose(&cfg)
	s, err := stack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range []*stack.Process{s.Agent, s.Cloud} {
				if p != nil {
					t.Logf("log of %s:\n%s", p.Name, p.Tail())
				}
			}
		}
		s.Close()
	})
	ownDatabase(t, s)
	return s
}

// figures says what a test has measured, for those who compare runs: one line of names and values.
func figures(t *testing.T, format string, values ...any) {
	t.Helper()
	servers := "embedded"
	if os.Getenv("HOLDFAST_PEER_KAFKA_JARS") != "" && os.Getenv("HOLDFAST_PEER_MOSQUITTO") != "" {
		servers = "kafka+mosquitto"
	}
	if os.Getenv("HOLDFAST_TEST_DATABASE") == "postgres" {
		servers += "+postgresql"
	}
	t.Logf("FIGURES server=%s run=%s "+format, slices.Concat([]any{servers, t.Name()}, values)...)
}

package e2e

import (
	"testing"

	"github.com/holdfast-mesh/holdfast/test/peers/brokers"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// build makes a stack of the programs under test, and starts none of them. Its brokers are those that the environment names.
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
	return s
}

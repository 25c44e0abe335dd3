package downlink

import (
	"testing"
	"time"
)

func TestInstant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		now, earlier Instant
		want         time.Duration
		ok           bool
	}{
		{"later", Instant{"a", 5}, Instant{"a", 2}, 3, true},
		{"same", Instant{"a", 5}, Instant{"a", 5}, 0, true},
		{"backwards", Instant{"a", 2}, Instant{"a", 5}, 0, false},
		{"another boot", Instant{"b", 9}, Instant{"a", 5}, 0, false},
		{"none", Instant{}, Instant{}, 0, false},
	} {
		if d, ok := c.now.since(c.earlier); d != c.want || ok != c.ok {
			t.Errorf("%s: %v, %t", c.name, d, ok)
		}
	}
	for name, clock := range map[string]func() Instant{"host": hostClock(), "process": processClock()} {
		a := clock()
		b := clock()
		if _, ok := b.since(a); !ok || a.Boot == "" {
			t.Errorf("clock of the %s goes from %+v to %+v", name, a, b)
		}
	}
	if a, b := processClock()(), processClock()(); a.Boot == b.Boot {
		t.Error("two processes have one boot")
	}
}

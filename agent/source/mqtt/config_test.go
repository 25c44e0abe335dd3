package mqtt

import (
	"strings"
	"testing"
	"time"
)

func TestConfig_Check_DisconnectGap(t *testing.T) {
	for name, c := range map[string]struct {
		gap, want time.Duration
		says      string // of the error; empty = none
	}{
		"absent is the default": {0, DefaultDisconnectGap, ""},
		"the least":             {time.Second, time.Second, ""},
		"the most":              {5 * time.Minute, 5 * time.Minute, ""},
		"too short":             {999 * time.Millisecond, 0, "disconnect_gap is 999ms: want 1s to 5m0s"},
		"too long":              {time.Hour, 0, "disconnect_gap is 1h0m0s: want 1s to 5m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Broker: "tcp://broker", Subscribe: []string{"a"}, DisconnectGap: c.gap}
			err := cfg.Check()
			switch {
			case c.says == "" && (err != nil || cfg.DisconnectGap != c.want):
				t.Errorf("%v, it is %s, want %s", err, cfg.DisconnectGap, c.want)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

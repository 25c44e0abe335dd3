package mqtt

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

// quickProbe is for a broker on this host that sends again after a second.
func quickProbe() probePace {
	return probePace{quiet: 500 * time.Millisecond, resend: 4 * time.Second, step: 10 * time.Second}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	b, err := broker.StartMQTT(broker.MQTTConfig{Dir: t.TempDir(), MaxAckPending: 200, AckWait: time.Second, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	cfg := Default()
	cfg.Broker, cfg.Subscribe, cfg.MaxPayload = "tcp://"+b.Addr(), []string{"acme/p1/+/result"}, 8*config.KiB
	deps := Deps{ID: "press", Plant: "p1", Agent: "gw1"}
	t.Run("OK", func(t *testing.T) {
		p, err := probe(t.Context(), cfg, deps, quickProbe())
		if err != nil {
			t.Fatal(err)
		}
		if p.Sent != probeMessages || p.Kept != p.Sent || p.InFlight != 200 || p.Large != Delivered || !p.Open || !p.Will || p.Dropped != -1 || len(p.Refused)+len(p.Weak) > 0 {
			t.Errorf("broker was seen to do %+v", p)
		}
	})
	t.Run("OnlyFilters", func(t *testing.T) {
		p, err := ProbeFilters(t.Context(), cfg, deps)
		if err != nil || len(p.Refused) > 0 || p.Sent != 0 {
			t.Errorf("%+v, %v", p, err)
		}
	})
	t.Run("ErrNobody", func(t *testing.T) {
		lost := cfg
		lost.Broker = "tcp://127.0.0.1:1"
		if _, err := probe(t.Context(), lost, deps, quickProbe()); problem.CodeOf(err) != problem.SourceDown || !strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("error is %v", err)
		}
	})
}

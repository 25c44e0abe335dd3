package stack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
)

// TestStack_FivePlants lets a part fail in each of five plants, each in its own words: all five lots become blocked in
// the ERP of their plant.
func TestStack_FivePlants(t *testing.T) {
	dir, err := os.MkdirTemp("", "hf") //nolint:usetesting // a socket's path is short, the test's own directory is too deep for it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := Build(t.Context(), filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Bin: filepath.Join(dir, "bin"), Dir: dir, Plants: dialect.Sites()}
	cfg.SAP.AutoCreate = true
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	lots := map[string]string{}
	for i := range cfg.Plants {
		site := &cfg.Plants[i]
		lot := "000000471" + site.Plant[1:]
		lots[site.Plant] = lot
		unsafePart(t, s.Plants[i], site, lot)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for plantID, lot := range lots {
		for s.ERPOf(plantID).Stock("MAT-100", lot, "07") == "0" {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("lot %s of plant %s is not blocked: %v\n%s", lot, plantID, ctx.Err(), s.Cloud.Tail())
			}
		}
	}
}

// unsafePart says in the plant's words that a lot was made and that a part of it failed for safety.
func unsafePart(t *testing.T, p *Plant, site *dialect.Site, lot string) {
	t.Helper()
	out, err := plant.Connect(p.MQTT.URL(), "mes")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	at := dialect.Stamp(time.Now())
	of := func(n int) dialect.Of {
		return dialect.Of{Record: dialect.Record(n), Lot: lot, Material: "MAT-100", At: at}
	}
	limits, _ := dialect.LimitsOf("torque")
	for _, fact := range []dialect.Fact{
		dialect.Made{Of: of(1), Kilograms: "500", Order: "4711", Equipment: "press1"},
		dialect.Measured{
			Of: of(2), Rev: 1, Inspection: "IP-1", Characteristic: "torque", Sample: 1, Value: "61.20", Unit: limits.Unit, LSL: limits.LSL,
			USL: limits.USL, Safety: true, Equipment: "press1",
		},
	} {
		m, err := site.Say(fact)
		if err != nil {
			t.Fatal(err)
		}
		if err := out.SendRaw(m.Topic, m.Payload); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNew_Fails looks at what a caller gets when something does not start: the reason, and nothing left running.
func TestNew_Fails(t *testing.T) {
	t.Parallel()
	full := errors.New("no more ports")
	for name, damage := range map[string]func(*Config){
		"Kafka": func(c *Config) { c.Kafka = func() (Kafka, error) { return nil, full } },
		"MQTT":  func(c *Config) { c.MQTT = func() (MQTT, error) { return nil, full } },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Dir: t.TempDir()}
			damage(&cfg)
			if s, err := New(cfg); s != nil || !errors.Is(err, full) {
				t.Errorf("New = %v, %v, want nil, %v", s, err, full)
			}
		})
	}
}

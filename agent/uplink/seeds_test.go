package uplink

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
)

// TestUplink_LosesItsSeed has a cluster of three brokers and the configuration of one. When that one is gone for good, a
// client that works goes on, and so does one that is made anew, also after a restart.
func TestUplink_LosesItsSeed(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(6, "holdfast.p1.quality.v1", "holdfast.p1.telemetry.v1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	file := filepath.Join(t.TempDir(), "brokers.json")
	seed := cluster.ListenAddrs()[0]
	r := &rig{t: t, signals: openLane(t, event.LaneTelemetry)}
	r.quality = openLane(t, event.LaneQuality)
	r.cfg = kafka.Config{Brokers: []string{seed}, Prefix: "holdfast"}
	begin := func() (stop func()) {
		t.Helper()
		r.uplink, err = New(Config{Kafka: r.cfg, Plant: "p1", Agent: "gw1", Now: time.Now, Seeds: OpenSeeds(file, r.cfg.Brokers)}, r.quality, r.signals, zerolog.Nop(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.run()
	}
	stop := begin()
	r.add(r.quality, 3, false)
	r.until("the records are sent", r.acked(3))
	r.until("the brokers are remembered", func() bool { return len(OpenSeeds(file, nil).All()) == 3 })

	if err := cluster.RemoveNode(0); err != nil {
		t.Fatal(err)
	}
	r.add(r.quality, 3, false)
	r.until("a client that works goes on", r.acked(6))
	stop()
	if _, err := net.Dial("tcp", seed); err == nil {
		t.Fatal("the configured broker is there: nothing is shown")
	}
	begin()
	r.add(r.quality, 3, true)
	r.until("a new client finds the others", r.acked(9))
	r.until("the link is up", func() bool { return r.uplink.Status().Up })
}

func TestSeeds(t *testing.T) {
	dir := t.TempDir()
	brokers := kadm.BrokerDetails{{Host: "k2", Port: 9093}, {Host: "k1", Port: 9092}, {Host: "", Port: 1}, {Host: "k3", Port: 0}}
	t.Run("OK", func(t *testing.T) {
		file := filepath.Join(dir, "ok.json")
		s := OpenSeeds(file, []string{"k1:9092", "seed:9092"})
		if err := s.learn(brokers); err != nil {
			t.Fatal(err)
		}
		want := []string{"k1:9092", "seed:9092", "k2:9093"}
		if got := s.All(); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if got := OpenSeeds(file, []string{"k1:9092", "seed:9092"}).All(); !slices.Equal(got, want) {
			t.Errorf("after a restart %v, want %v", got, want)
		}
		if err := s.learn(nil); err != nil || len(s.All()) != 3 {
			t.Errorf("a cluster that names none leaves %v, %v", s.All(), err)
		}
		if err := s.learn(kadm.BrokerDetails{{Host: "k9", Port: 9}}); err != nil || !slices.Equal(OpenSeeds(file, nil).All(), []string{"k9:9"}) {
			t.Errorf("brokers that are gone are remembered: %v, %v", OpenSeeds(file, nil).All(), err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*.new")); len(left) > 0 {
			t.Errorf("it left %v", left)
		}
	})
	t.Run("many are cut", func(t *testing.T) {
		s := OpenSeeds("", nil)
		for i := range 2 * mostSeeds {
			brokers = append(brokers, kadm.BrokerDetail{Host: "k", Port: int32(i + 1)})
		}
		if err := s.learn(brokers); err != nil || len(s.All()) != mostSeeds {
			t.Errorf("%d, %v", len(s.All()), err)
		}
	})
	t.Run("ErrFolder", func(t *testing.T) {
		s := OpenSeeds(filepath.Join(dir, "none", "x.json"), nil)
		if err := s.learn(brokers); err == nil || len(s.All()) == 0 {
			t.Errorf("%v, %v", s.All(), err)
		}
	})
	for name, text := range map[string]string{
		"no JSON": "{", "another form": `{"a":1}`, "no address": `["k1"]`, "no port": `["k1:x"]`, "port 0": `["k1:0"]`, "no host": `[":9092"]`, "much too long": string(make([]byte, mostSeedFile+1)),
	} {
		t.Run("OK, "+name+" is as none", func(t *testing.T) {
			file := filepath.Join(dir, "bad.json")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := OpenSeeds(file, []string{"k1:9092"}).All(); !slices.Equal(got, []string{"k1:9092"}) {
				t.Errorf("%v", got)
			}
		})
	}
}

func FuzzSeeds(f *testing.F) {
	f.Add([]byte(`["k1:9092","[::1]:9093"]`))
	f.Add([]byte(`["k1"]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "b.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, address := range OpenSeeds(file, nil).All() {
			if _, _, err := net.SplitHostPort(address); err != nil {
				t.Error(err)
			}
		}
	})
}

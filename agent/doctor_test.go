package agent

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	sourceMQTT "github.com/holdfast-mesh/holdfast/agent/source/mqtt"
	sourceOPCUA "github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
	"github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

// findings collects what an examiner reports.
type findings []Finding

func (f *findings) examiner(cfg *Config, check string) *examiner {
	return &examiner{cfg: cfg, now: time.Now, check: check, report: func(x Finding) { *f = append(*f, x) }}
}

// of returns the one finding about a subject.
func (f findings) of(t *testing.T, subject string) Finding {
	t.Helper()
	found := slices.DeleteFunc(slices.Clone(f), func(x Finding) bool { return x.Subject != subject })
	if len(found) != 1 {
		t.Fatalf("%d findings about %q: %+v", len(found), subject, f)
	}
	return found[0]
}

func (x Finding) must(t *testing.T, state string, code problem.Code, says string) {
	t.Helper()
	if x.State != state || x.Code != code || !strings.Contains(x.Text, says) || (x.State == StateFail) && x.Fix == "" {
		t.Errorf("finding is %+v: want %s %s with %q", x, state, code, says)
	}
}

func TestExaminer_Clock(t *testing.T) {
	if !hostTells {
		t.Skip("SKIPPED: this system does not tell how its clock is kept")
	}
	near, far := 3*time.Millisecond, -1800*time.Millisecond
	for name, c := range map[string]struct {
		host  hostTime
		state string
		code  problem.Code
		says  string
	}{
		"OK":       {hostTime{true, &near}, StateOK, "", "off by 3ms"},
		"OKUntold": {hostTime{true, nil}, StateOK, "", "kept by a time service"},
		"Off":      {hostTime{true, &far}, StateWarn, problem.ClockOff, "off by -1.8s"},
		"Alone":    {hostTime{}, StateWarn, problem.ClockAlone, "no time service"},
	} {
		t.Run(name, func(t *testing.T) {
			var f findings
			f.examiner(&Config{}, "clock").clock(c.host)
			f.of(t, "").must(t, c.state, c.code, c.says)
		})
	}
}

func TestExaminer_Disk(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data, state string
		code        problem.Code
		says        string
	}{
		"NotYet":   {filepath.Join(dir, "none"), StateSkip, "", "at its first start"},
		"NoFolder": {file, StateFail, problem.ConfigFile, "is no folder"},
	} {
		t.Run(name, func(t *testing.T) {
			var f findings
			cfg := DefaultConfig
			cfg.Data = config.Path(c.data)
			f.examiner(&cfg, "disk").disk()
			f.of(t, c.data).must(t, c.state, c.code, c.says)
		})
	}
	t.Run("OK", func(t *testing.T) {
		var f findings
		cfg := DefaultConfig
		cfg.Data = config.Path(dir)
		f.examiner(&cfg, "disk").disk()
		if len(f) != 2 || !strings.Contains(f[1].Text, "a write is durable after") {
			t.Errorf("findings are %+v", f)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".doctor-*")); len(left) > 0 {
			t.Errorf("it left %v", left)
		}
	})
	const gib = 1 << 30
	for name, c := range map[string]struct {
		volume queue.Volume
		tmpfs  bool
		state  string
		code   problem.Code
		says   string
	}{
		"Room":      {queue.Volume{Free: 50 * gib}, false, StateOK, "", "50GiB are free"},
		"NoRoom":    {queue.Volume{Free: 3 * gib}, false, StateWarn, problem.DiskFull, "5GiB less than queue.disk (8GiB) may still take"},
		"Full":      {queue.Volume{Free: 10 << 20}, false, StateFail, problem.DiskFull, "10MiB are free"},
		"Memory":    {queue.Volume{Free: 50 * gib, Memory: true}, false, StateFail, problem.DiskWrite, "lies in memory"},
		"MemoryToo": {queue.Volume{Free: 50 * gib, Memory: true}, true, StateWarn, problem.DiskWrite, "allow_tmpfs"},
	} {
		t.Run(name, func(t *testing.T) {
			var f findings
			cfg := DefaultConfig
			cfg.Queue.Tmpfs = c.tmpfs
			f.examiner(&cfg, "disk").room("d", c.volume)
			f.of(t, "d").must(t, c.state, c.code, c.says)
		})
	}
}

func TestExaminer_Kafka(t *testing.T) {
	k, err := broker.StartKafka(broker.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	brokers := k.Addrs()
	cfg := Config{Plant: "p1", Kafka: kafka.Config{Brokers: brokers, Prefix: "holdfast"}}
	client := must(kgo.NewClient(kgo.SeedBrokers(brokers...)))(t)
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	stamp, create := "LogAppendTime", "CreateTime"
	for name, c := range map[string]struct {
		partitions int32
		config     map[string]*string
	}{
		cfg.Kafka.Quality("p1"):   {6, map[string]*string{"message.timestamp.type": &stamp}},
		cfg.Kafka.Telemetry("p1"): {6, map[string]*string{"message.timestamp.type": &create}},
		cfg.Kafka.Control("p1"):   {3, nil},
	} {
		if _, err := admin.CreateTopic(t.Context(), c.partitions, 1, c.config, name); err != nil {
			t.Fatal(err)
		}
	}
	var f findings
	f.examiner(&cfg, "kafka").kafka(t.Context())
	f.of(t, strings.Join(brokers, ", ")).must(t, StateOK, "", "reached")
	f.of(t, cfg.Kafka.Quality("p1")).must(t, StateOK, "", "6 partitions")
	f.of(t, cfg.Kafka.Telemetry("p1")).must(t, StateFail, problem.KafkaTopic, "message.timestamp.type is CreateTime")
	f.of(t, cfg.Kafka.Control("p1")).must(t, StateFail, problem.KafkaTopic, "it has 3 partitions, not 1")
	f.of(t, cfg.Kafka.PlantLotStatus("p1")).must(t, StateFail, problem.KafkaTopic, "is missing")

	k.Close()
	f = nil
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	f.examiner(&cfg, "kafka").kafka(ctx)
	f.of(t, strings.Join(brokers, ", ")).must(t, StateWarn, problem.KafkaUnreachable, "kept in the queue for now")
}

func TestExaminer_Topic(t *testing.T) {
	stamped := map[string]string{"message.timestamp.type": "LogAppendTime"}
	for name, c := range map[string]struct {
		standing kafka.Standing
		want     kafka.Right
		state    string
		code     problem.Code
		says     string
	}{
		"OK":           {kafka.Standing{Rights: []kafka.Right{kafka.Write}, Timestamp: "LogAppendTime"}, kafka.Write, StateOK, "", "Write allowed, message.timestamp.type LogAppendTime"},
		"OKNotShown":   {kafka.Standing{Rights: []kafka.Right{kafka.Write}}, kafka.Write, StateOK, "", "not shown to this user"},
		"OKUntold":     {kafka.Standing{Timestamp: "LogAppendTime"}, kafka.Write, StateOK, "", "rights not told"},
		"MayNotWrite":  {kafka.Standing{Rights: []kafka.Right{kafka.Read}}, kafka.Write, StateFail, problem.KafkaRefused, "may not do Write"},
		"MayNotRead":   {kafka.Standing{Rights: []kafka.Right{}}, kafka.Read, StateFail, problem.KafkaRefused, "may not do Read"},
		"MayForge":     {kafka.Standing{Rights: []kafka.Right{kafka.Read, kafka.Write}}, kafka.Read, StateWarn, problem.RightsWide, "can say that a lot is free"},
		"GatewayClock": {kafka.Standing{Timestamp: "CreateTime"}, kafka.Write, StateFail, problem.KafkaTopic, "a bad clock of this host"},
	} {
		t.Run(name, func(t *testing.T) {
			var f findings
			c.standing.Spec = kafka.Spec{Name: "x", Partitions: 6, Config: stamped}
			f.examiner(&Config{}, "kafka").topic(&c.standing, c.want)
			f.of(t, "x").must(t, c.state, c.code, c.says)
		})
	}
}

func TestExaminer_OPCUA(t *testing.T) {
	cfg, _, err := Load("testdata/opcua.good.yaml", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	p, err := opcua.Start(opcua.Config{Security: []string{"None", cfg.Sources[0].OPCUA.Security}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	cfg.Data, cfg.Sources = config.Path(t.TempDir()), cfg.Sources[:1]
	source := &cfg.Sources[0]
	source.OPCUA.Endpoint = p.URL()
	look := func() Finding {
		t.Helper()
		var f findings
		f.examiner(&cfg, "opcua").opcua(t.Context())
		return f.of(t, source.ID)
	}
	unknown := look()
	unknown.must(t, StateFail, problem.ServerTrust, "neither in the folder trusted")
	if !strings.Contains(unknown.Fix, "holdfast-agent cert trust") {
		t.Errorf("fix is %q", unknown.Fix)
	}
	folder := sourceOPCUA.Folder{Dir: cfg.PKI()}
	entries := must(folder.Entries())(t)
	if len(entries) != 1 || entries[0].Use != sourceOPCUA.UseRejected {
		t.Fatalf("the certificate does not wait for a person: %+v", entries)
	}
	if _, err := folder.Accept(entries[0]); err != nil {
		t.Fatal(err)
	}
	look().must(t, StateOK, "", "with the trusted certificate "+entries[0].Thumbprint())

	source.OPCUA.Security = "None"
	look().must(t, StateFail, problem.LinkInsecure, "no exception is configured")
	source.OPCUA.Exception = &sourceOPCUA.Exception{Owner: "ann", Reason: "old press", Until: "2099-12-31"}
	look().must(t, StateWarn, "", "until the exception of ann ends on 2099-12-31")
	source.OPCUA.Security = "Aes128_Sha256_RsaOaep/Sign"
	look().must(t, StateFail, problem.LinkInsecure, "server offers no endpoint with Aes128_Sha256_RsaOaep/Sign")
	source.OPCUA.Endpoint = "opc.tcp://127.0.0.1:1"
	look().must(t, StateFail, problem.SourceDown, "127.0.0.1:1")
}

func TestExaminer_Keeps(t *testing.T) {
	good := sourceMQTT.Probed{InFlight: 200, Sent: 1500, Kept: 1500, Large: sourceMQTT.Denied, Will: true}
	for name, c := range map[string]struct {
		change func(*sourceMQTT.Probed)
		state  string
		code   problem.Code
		says   string
	}{
		"OK":       {func(*sourceMQTT.Probed) {}, StateOK, "", "kept all of 1500"},
		"Drops":    {func(p *sourceMQTT.Probed) { p.Kept = 1000 }, StateFail, problem.BrokerLoses, "kept 1000"},
		"Slow":     {func(p *sourceMQTT.Probed) { p.InFlight = 20 }, StateWarn, problem.BrokerSlow, "sends 20 messages"},
		"Fast":     {func(p *sourceMQTT.Probed) { p.InFlight = 1500 }, StateOK, "", "sends 1500 or more"},
		"Lost":     {func(p *sourceMQTT.Probed) { p.Large = sourceMQTT.Lost }, StateFail, problem.BrokerLoses, "and dropped it"},
		"Open":     {func(p *sourceMQTT.Probed) { p.Open = true }, StateWarn, problem.BrokerOpen, "where nothing of it belongs"},
		"Will":     {func(*sourceMQTT.Probed) {}, StateOK, "", "publishes the will"},
		"NoWill":   {func(p *sourceMQTT.Probed) { p.Will = false }, StateWarn, problem.BrokerWill, "did not publish the will"},
		"Shut":     {func(*sourceMQTT.Probed) {}, StateOK, "", "does not come back"},
		"HasLost":  {func(p *sourceMQTT.Probed) { p.Dropped = 7 }, StateWarn, problem.BrokerLoses, "dropped 7 messages"},
		"DoesTell": {func(*sourceMQTT.Probed) {}, StateOK, "", "dropped no message"},
	} {
		t.Run(name, func(t *testing.T) {
			p := good
			c.change(&p)
			var f findings
			f.examiner(&Config{}, "mqtt").keeps(&Source{ID: "mes", MQTT: &sourceMQTT.Config{MaxPayload: config.MiB}}, &p)
			i := slices.IndexFunc(f, func(x Finding) bool { return strings.Contains(x.Text, c.says) })
			if i < 0 {
				t.Fatalf("findings are %+v", f)
			}
			f[i].must(t, c.state, c.code, c.says)
			if bad := slices.DeleteFunc(f, func(x Finding) bool { return x.State == StateOK }); len(bad) > 1 {
				t.Errorf("more is wrong than there is: %+v", bad)
			}
		})
	}
}

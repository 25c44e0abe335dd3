package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/test/sim/broker"
)

// desk is a rig whose configuration stands in a file that tests edit, and whose sources read an embedded broker.
type desk struct {
	*rig
	file      string
	publisher paho.Client
	sent      int
}

func newDesk(t *testing.T, change func(*Agent)) *desk {
	t.Helper()
	k := must(broker.StartKafka(broker.KafkaConfig{}))(t)
	t.Cleanup(k.Close)
	b := must(broker.StartMQTT(broker.MQTTConfig{Dir: t.TempDir(), AckWait: 300 * time.Millisecond}))(t)
	t.Cleanup(b.Close)
	dir := shortDir(t)
	d := &desk{file: filepath.Join(dir, "agent.yaml")}
	text := string(must(os.ReadFile("testdata/press.good.yaml"))(t))
	text = strings.NewReplacer("tcp://127.0.0.1:1883", b.URL(), "127.0.0.1:9092", k.Addrs()[0], "127.0.0.1:7480", "127.0.0.1:0", "disk: 1GiB,", "disk: 1GiB, allow_tmpfs: true,").Replace(text)
	write(t, d.file, text)
	cfg, mapper, err := Load(d.file, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	makeTopics(t, &cfg)
	d.rig = &rig{t: t, cfg: cfg, kafka: k, agent: New(cfg, mapper, zerolog.Nop()), client: localapi.NewClient(cfg.Socket())}
	d.agent.File, d.agent.LookupEnv = d.file, noEnv
	if change != nil {
		change(d.agent)
	}
	d.start()
	d.live()
	d.publisher = paho.NewClient(paho.NewClientOptions().AddBroker(b.URL()).SetClientID("press").SetAutoReconnect(false))
	d.done(d.publisher.Connect())
	t.Cleanup(func() { d.publisher.Disconnect(50) })
	return d
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (d *desk) done(token paho.Token) {
	d.t.Helper()
	if !token.WaitTimeout(patience) || token.Error() != nil {
		d.t.Fatalf("publisher: %v", token.Error())
	}
}

// edit replaces texts in the configuration, each of which must stand there.
func (d *desk) edit(oldnew ...string) {
	d.t.Helper()
	text := string(must(os.ReadFile(d.file))(d.t))
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			d.t.Fatalf("the configuration has no %q", oldnew[i])
		}
		text = strings.ReplaceAll(text, oldnew[i], oldnew[i+1])
	}
	write(d.t, d.file, text)
}

func (d *desk) reload(reason string) localapi.Reloaded {
	d.t.Helper()
	return must(d.client.Reload(d.t.Context(), localapi.Reload{Reason: reason}))(d.t)
}

func (d *desk) status() localapi.Status {
	d.t.Helper()
	return must(d.client.Status(d.t.Context()))(d.t)
}

// publish lets the press report a good part.
func (d *desk) publish() paho.Token {
	d.sent++
	return d.publisher.Publish("acme/p1/stamping/press4/result", 1, false, fmt.Sprintf(
		`{"record":"%d","rev":1,"lot":"L-1","material":"M","inspection":"I","characteristic":"torque","sample":1,"value":"45.1","unit":"N.m","lsl":"40","usl":"50","safety":true,"at":"2026-11-24T06:31:00Z"}`, d.sent))
}

// part lets the press report a good part, and waits until it is stored.
func (d *desk) part() {
	d.t.Helper()
	before := d.agent.quality.Stat().Received
	d.done(d.publish())
	d.until("the part is stored", func() bool { return d.agent.quality.Stat().Received > before })
}

// events returns the data of all events of one type that the queue has.
func (d *desk) events(typ event.Type) (all []event.Data) {
	d.t.Helper()
	for _, r := range must(d.agent.quality.Tail(10_000))(d.t) {
		if typeOf(&r) == string(typ) {
			all = append(all, must(event.DecodeData(typ, r.Value))(d.t))
		}
	}
	return all
}

const torqueSample = `want: [{ data: { value: "45.10", evaluation: pass } }]`

// TestAgent_Reload changes a mapping, one source of two, and takes one away: what does not change goes on undisturbed.
func TestAgent_Reload(t *testing.T) {
	d := newDesk(t, nil)
	d.part()
	before := d.status()
	if !before.ConfigSince.Equal(before.UpSince) || before.ConfigRefused != nil {
		t.Errorf("since %s, refused %+v", before.ConfigSince, before.ConfigRefused)
	}

	d.edit("name: press-result\n    version: 1", "name: press-result\n    version: 2", "characteristic: p.characteristic\n        sample_no", "characteristic: upper(p.characteristic)\n        sample_no")
	dry := must(d.client.Reload(t.Context(), localapi.Reload{DryRun: true}))(t)
	want := []config.Change{
		{Path: "mappings[press-result].version", Kind: config.Changed, Old: "1", New: "2"},
		{Path: "mappings[press-result].event.data.characteristic", Kind: config.Changed, Old: "p.characteristic", New: "upper(p.characteristic)"},
	}
	if diff := cmp.Diff(want, dry.Changes); diff != "" || dry.Applied || dry.Before != before.Config || dry.Config == before.Config {
		t.Errorf("dry run %+v\n%s", dry, diff)
	}
	if s := d.status(); s.Config != before.Config || len(d.events(event.TypeActRecorded)) != 0 {
		t.Errorf("a dry run changed the configuration to %s", s.Config)
	}

	r := d.reload("torque is written in capitals")
	if diff := cmp.Diff([]string{"press", "mes"}, r.Kept); diff != "" || !r.Applied || len(r.Started)+len(r.Renewed)+len(r.Stopped) != 0 || r.Config != dry.Config {
		t.Errorf("reload %+v\n%s", r, diff)
	}
	d.part()
	if all := d.events(event.TypeCharacteristicRecorded); len(all) != 2 || all[0].(*event.CharacteristicRecorded).Characteristic != "torque" || all[1].(*event.CharacteristicRecorded).Characteristic != "TORQUE" {
		t.Errorf("%d parts are stored: %+v", len(all), all)
	}
	after := d.status()
	if after.Config != r.Config || !after.ConfigSince.Equal(r.Since) || !after.ConfigSince.After(after.UpSince) || after.Epoch != before.Epoch {
		t.Errorf("status after %+v", after)
	}
	for _, s := range after.Sources {
		if s.Reconnects != 0 || s.OpenGaps != 0 || s.State != source.Live {
			t.Errorf("source %s was disturbed: %+v", s.ID, s)
		}
	}
	acts := d.events(event.TypeActRecorded)
	if len(acts) != 1 {
		t.Fatalf("%d acts", len(acts))
	}
	act := acts[0].(*event.ActRecorded)
	if act.Act != "reload" || act.Reason != "torque is written in capitals" || act.Principal == "" || act.Detail["config_after"] != r.Config ||
		act.Detail["mappings[press-result].version"] != "changed: 1 -> 2" || act.Detail["changes"] != "2" {
		t.Errorf("act %+v", act)
	}
}

// TestAgent_Reload_Sources renews one source and takes another away: the first goes on where it stood.
func TestAgent_Reload_Sources(t *testing.T) {
	d := newDesk(t, nil)
	d.part()
	d.edit(`subscribe: ["acme/p1/+/+/result"]`, `in_flight: 500, subscribe: ["acme/p1/+/+/result"]`)
	text := string(must(os.ReadFile(d.file))(t))
	from, to := strings.Index(text, "  - id: mes\n"), strings.Index(text, "mappings:\n")
	text = text[:from] + text[to:]
	from, to = strings.Index(text, "  - name: mes-lot\n"), strings.Index(text, "  - name: press-result\n")
	write(t, d.file, text[:from]+text[to:])
	r := d.reload("")
	if !slices.Equal(r.Renewed, []string{"press"}) || !slices.Equal(r.Stopped, []string{"mes"}) || len(r.Kept)+len(r.Started) != 0 {
		t.Errorf("reload %+v", r)
	}
	d.part()
	d.live()
	d.until("the gap of the renewed source is closed", func() bool { return len(d.events(event.TypeGapClosed)) == 1 })
	if gaps := d.events(event.TypeGapRecorded); len(gaps) != 1 || gaps[0].(*event.GapRecorded).Source != "press" {
		t.Errorf("gaps %+v", gaps)
	}
	if s := d.status(); len(s.Sources) != 1 || s.Sources[0].ID != "press" {
		t.Errorf("sources %+v", s.Sources)
	}
	if act := d.events(event.TypeActRecorded)[0].(*event.ActRecorded); act.Reason != noReason || act.Detail["sources[mes]"] != "removed" || act.Detail["sources[press].mqtt.in_flight"] != "changed: 1000 -> 500" {
		t.Errorf("act %+v", act)
	}

	again := d.reload("")
	if again.Applied || len(again.Changes) != 0 || again.Config != r.Config || !again.Since.Equal(r.Since) || len(d.events(event.TypeActRecorded)) != 1 {
		t.Errorf("nothing has changed, and it says %+v", again)
	}
}

// TestAgent_Reload_Traffic replaces mappings and sources while batches are on their way: each part is stored once.
func TestAgent_Reload_Traffic(t *testing.T) {
	d := newDesk(t, nil)
	stop, stopped := make(chan struct{}), make(chan struct{})
	var last paho.Token
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			last = d.publish()
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	const rounds = 10
	for i := range rounds {
		d.edit(fmt.Sprintf("name: press-result\n    version: %d\n", i+1), fmt.Sprintf("name: press-result\n    version: %d\n", i+2))
		switch {
		case i == 2:
			d.edit("mqtt: { ", "mqtt: { disconnect_gap: 2s, ")
		case i%3 == 2:
			d.edit(fmt.Sprintf("disconnect_gap: %ds", i-3), fmt.Sprintf("disconnect_gap: %ds", i))
		}
		if r := d.reload(""); !r.Applied || len(r.Renewed) != 0 && i%3 != 2 {
			t.Errorf("reload %+v", r)
		}
	}
	close(stop)
	<-stopped
	d.done(last)
	parts := func() int { return len(d.events(event.TypeCharacteristicRecorded)) }
	d.until("all parts are stored", func() bool { return parts() >= d.sent })
	d.live()
	records := map[string]bool{}
	versions := map[int64]bool{}
	for _, e := range d.events(event.TypeCharacteristicRecorded) {
		from := e.ReadBy()
		records[string(from.RawSHA256)] = true
		versions[from.MappingVersion] = true
	}
	if parts() != d.sent || len(records) != d.sent || len(versions) < 2 {
		t.Errorf("%d parts are stored, %d of them different, by %d versions of the mapping, of %d", parts(), len(records), len(versions), d.sent)
	}
}

// TestAgent_Reload_Table takes a table anew of which only the file has changed.
func TestAgent_Reload_Table(t *testing.T) {
	d := newDesk(t, nil)
	table := filepath.Join(filepath.Dir(d.file), "names.csv")
	write(t, table, "torque,Drehmoment\n")
	d.edit("offline: { max_age: 4h }", "offline: { max_age: 4h }\ntables: { names: names.csv }", "characteristic: p.characteristic\n        sample_no", `characteristic: lookup("names", p.characteristic)`+"\n        sample_no")
	first := d.reload("")
	write(t, table, "torque,Anzugsmoment\nangle,Winkel\n")
	second := d.reload("")
	want := []config.Change{{Path: "tables.names", Kind: config.Changed, Old: "1 rows", New: "2 rows"}}
	if diff := cmp.Diff(want, second.Changes); diff != "" || !second.Applied || first.Config == second.Config {
		t.Errorf("%s then %s\n%s", first.Config, second.Config, diff)
	}
	d.part()
	if all := d.events(event.TypeCharacteristicRecorded); all[0].(*event.CharacteristicRecorded).Characteristic != "Anzugsmoment" {
		t.Errorf("the part is %+v", all[0])
	}
}

// TestAgent_Reload_Refused leaves an agent as it was, whatever is wrong with the new configuration, and says what and where.
func TestAgent_Reload_Refused(t *testing.T) {
	d := newDesk(t, nil)
	good := string(must(os.ReadFile(d.file))(t))
	before := d.status()
	for name, c := range map[string]struct {
		edit []string
		code problem.Code
		says []string
	}{
		"not YAML":           {[]string{"plant: p1", "plant: [p1"}, problem.ConfigSyntax, []string{"agent.yaml:"}},
		"an unknown key":     {[]string{"keep_sent: 168h", "keep_snt: 168h"}, problem.ConfigUnknownKey, []string{"agent.yaml:6:", `did you mean "keep_sent"`}},
		"a mapping":          {[]string{"value: num(p.value)\n        unit: p.unit\n        lsl: p.lsl\n        usl: p.usl\n        evaluation: judge", "value: nmu(p.value)\n        unit: p.unit\n        lsl: p.lsl\n        usl: p.usl\n        evaluation: judge"}, problem.MappingInvalid, []string{"press-result", "nmu"}},
		"a sample":           {[]string{torqueSample, strings.ReplaceAll(torqueSample, "pass", "fail")}, problem.MappingSample, []string{"torque within limits"}},
		"a secret":           {[]string{"mqtt: {", "mqtt: { user: gw1, password_file: none.pw,"}, problem.ConfigFile, []string{"agent.yaml:15:", "none.pw"}},
		"a certificate":      {[]string{"mqtt: {", "mqtt: { tls: { ca: none.pem },"}, problem.ConfigFile, []string{"none.pem"}},
		"the plant":          {[]string{"plant: p1", "plant: p2"}, problem.ConfigFixed, []string{"agent.yaml:2:8", "plant cannot change while the agent runs: restart it", "p1 -> p2"}},
		"the agent's name":   {[]string{"agent: gw1", "agent: gw2"}, problem.ConfigFixed, []string{"agent cannot change"}},
		"the data folder":    {[]string{"data: data", "data: other"}, problem.ConfigFixed, []string{"data cannot change"}},
		"the page":           {[]string{"listen: 127.0.0.1:0", "listen: 127.0.0.1:1"}, problem.ConfigFixed, []string{"listen cannot change"}},
		"the queue":          {[]string{"disk: 1GiB", "disk: 2GiB"}, problem.ConfigFixed, []string{"queue.disk cannot change", "1GiB -> 2GiB"}},
		"the link to Kafka":  {[]string{"prefix: holdfast", "prefix: other"}, problem.ConfigFixed, []string{"kafka.prefix cannot change"}},
		"the age of answers": {[]string{"max_age: 4h", "max_age: 5h"}, problem.ConfigFixed, []string{"offline.max_age cannot change"}},
		"two things at once": {[]string{"plant: p1", "plant: p2", "keep_sent: 168h", "keep_snt: 168h"}, problem.ConfigFixed, []string{"plant cannot change", "keep_sent"}},
	} {
		t.Run(name, func(t *testing.T) {
			d.t = t
			d.edit(c.edit...)
			_, err := d.client.Reload(t.Context(), localapi.Reload{})
			found, ok := errors.AsType[config.Errors](err)
			if !ok || !slices.ContainsFunc(found, func(e *config.Error) bool { return e.Problem.Code == c.code }) {
				t.Fatalf("error is %v, want findings with %s", err, c.code)
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error is %v, want %q", err, text)
				}
			}
			s := d.status()
			if s.Config != before.Config || !s.ConfigSince.Equal(before.ConfigSince) || s.ConfigRefused == nil || s.ConfigRefused.Problem != err.Error() {
				t.Errorf("status is %s since %s, refused %+v", s.Config, s.ConfigSince, s.ConfigRefused)
			}
			write(t, d.file, good)
		})
	}
	d.t = t
	d.part()
	if r := d.reload(""); r.Applied || d.status().ConfigRefused != nil || len(d.events(event.TypeActRecorded)) != 0 {
		t.Errorf("with the old file again it says %+v", r)
	}
	for _, s := range d.status().Sources {
		if s.Reconnects != 0 || s.OpenGaps != 0 || s.State != source.Live {
			t.Errorf("source %s was disturbed: %+v", s.ID, s)
		}
	}
}

// TestAgent_Reload_NoFile refuses where nobody has said what to read.
func TestAgent_Reload_NoFile(t *testing.T) {
	d := newDesk(t, func(a *Agent) { a.File = "" })
	if _, err := d.client.Reload(t.Context(), localapi.Reload{}); problem.CodeOf(err) != problem.RuleRefused {
		t.Errorf("error is %v", err)
	}
}

// TestAgent_Reload_Starting asks for patience while the sources record what they may have missed.
func TestAgent_Reload_Starting(t *testing.T) {
	a := New(Config{}, nil, zerolog.Nop())
	if _, err := (&operator{agent: a}).Reload(t.Context(), "ann", localapi.Reload{}); problem.CodeOf(err) != problem.RuleRefused || !strings.Contains(err.Error(), "still starting") {
		t.Errorf("error is %v", err)
	}
}

// TestHold takes no turn where one cannot be had in time.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free, busy := &reader{cfg: Source{ID: "free"}, turn: make(chan struct{}, 1)}, &reader{cfg: Source{ID: "busy"}, turn: make(chan struct{}, 1)}
		stuck := make(chan struct{})
		emit := busy.emit(func(context.Context, source.Batch) error { <-stuck; return nil })
		ended := make(chan error)
		go func() { ended <- emit(t.Context(), source.Batch{}) }()
		synctest.Wait()
		began := time.Now()
		err := hold(t.Context(), []*reader{free, busy})
		if problem.CodeOf(err) != problem.RuleRefused || !strings.Contains(err.Error(), "source busy") || time.Since(began) != holdLimit {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if len(free.turn) != 0 {
			t.Error("the other source waits for ever")
		}
		close(stuck)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := hold(t.Context(), []*reader{free, busy}); err != nil {
			t.Fatal(err)
		}
		if err := free.emit(func(context.Context, source.Batch) error { return nil })(cancelled(t), source.Batch{}); err == nil {
			t.Error("a batch passes while the turn is held")
		}
		release([]*reader{free, busy})
	})
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// TestReloaded_JSON has lists where there is nothing in them: scripts need not ask.
func TestReloaded_JSON(t *testing.T) {
	d := newDesk(t, nil)
	text := must(json.Marshal(d.reload("")))(t)
	for _, list := range []string{`"changes":[]`, `"started":[]`, `"renewed":[]`, `"stopped":[]`} {
		if !strings.Contains(string(text), list) {
			t.Errorf("%s has no %s", text, list)
		}
	}
}

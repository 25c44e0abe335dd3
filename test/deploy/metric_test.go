package deploy

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// exposed is what a program shows at /metrics: the labels of each metric, with those that Prometheus adds.
type exposed map[string]map[string]bool

// rare are metrics that show nothing until something happened that this test does not bring about, with their labels.
// For these the programs' own text has to have the name.
var rare = map[string][]string{
	"holdfast_cloud_intake_stopped":             {"topic"},
	"holdfast_cloud_deadletters_open":           {"cause"},
	"holdfast_cloud_release_waits":              {"plant", "reason"},
	"holdfast_cloud_release_wait_seconds_total": {"plant", "reason"},
	"holdfast_cloud_barrier_wait_seconds":       {"plant", "le"},
}

// TestMetrics_Exposed runs the programs, lets a part fail and a message be misunderstood, and compares what they then show
// with what alerts and dashboards ask for: each metric by its name, and each label.
func TestMetrics_Exposed(t *testing.T) {
	shown := shownBy(t)
	questions := map[string]string{} // by where they stand
	for _, a := range alerts(t) {
		text := a.Expr
		for _, said := range a.Annotations {
			for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(said, -1) {
				text += " by (" + m[1] + ")"
			}
		}
		questions["alert "+a.Alert] = text
	}
	for name, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			if m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Definition); m != nil {
				questions[name+" variable "+v.Name] = m[1] + " by (" + m[2] + ")"
			}
		}
		for _, p := range d.Panels {
			for i, q := range p.Targets {
				text := q.Expr
				for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(q.LegendFormat, -1) {
					text += " by (" + m[1] + ")"
				}
				questions[fmt.Sprintf("%s panel %q %d", name, p.Title, i)] = text
			}
		}
	}
	for _, where := range slices.Sorted(maps.Keys(questions)) {
		if err := shown.answers(questions[where]); err != nil {
			t.Errorf("%s: %v\n%s", where, err, questions[where])
		}
	}
	for name := range rare {
		if !strings.Contains(strings.Join(slices.Collect(maps.Values(questions)), " "), name) {
			t.Errorf("%s is asked for by nobody", name)
		}
	}
}

var (
	metricNames = regexp.MustCompile(`\b(?:holdfast|process)_[a-z0-9_]+|\bup\b`)
	selectors   = regexp.MustCompile(`\{([^}]*)\}`)
	groupings   = regexp.MustCompile(`\b(?:by|on|without|ignoring) ?\(([^)]*)\)`)
	labelNames  = regexp.MustCompile(`(\w+) ?(?:=~|!~|!=|=)`)
	histograms  = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// answers tells what of a question would find nothing.
func (e exposed) answers(question string) error {
	labels := map[string]bool{"job": true, "instance": true}
	bare := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(question, `""`)
	names := metricNames.FindAllString(selectors.ReplaceAllString(bare, "{}"), -1)
	if len(names) == 0 {
		return fmt.Errorf("it asks for no metric")
	}
	for _, name := range names {
		own, found := e[histograms.ReplaceAllString(name, "")]
		if !found {
			own, found = e[name]
		}
		if !found {
			return fmt.Errorf("no program shows %s", name)
		}
		maps.Copy(labels, own)
	}
	var asked []string
	for _, m := range selectors.FindAllStringSubmatch(bare, -1) {
		for _, l := range labelNames.FindAllStringSubmatch(m[1], -1) {
			asked = append(asked, l[1])
		}
	}
	for _, m := range groupings.FindAllStringSubmatch(bare, -1) {
		for l := range strings.SplitSeq(m[1], ",") {
			asked = append(asked, strings.TrimSpace(l))
		}
	}
	for _, l := range asked {
		if !labels[l] {
			return fmt.Errorf("%v have no label %s, but %v", names, l, slices.Sorted(maps.Keys(labels)))
		}
	}
	return nil
}

func TestExposed_Answers(t *testing.T) {
	e := exposed{"holdfast_a": {"lane": true, "le": true}, "up": {}}
	for question, good := range map[string]bool{
		`holdfast_a{lane="quality"} > 0`: true, `holdfast_a{lain="quality"}`: false, `holdfast_b`: false, `sum by (lane) (holdfast_a)`: true,
		`sum by (lanes) (holdfast_a)`: false, `rate(holdfast_a_bucket{le="1"}[5m])`: true, `up{job="holdfast_b"} == 0`: true, `1 + 1`: false,
	} {
		if err := e.answers(question); (err == nil) != good {
			t.Errorf("%s: %v", question, err)
		}
	}
}

// shownBy starts one plant with its cloud and systems, lets something of everything happen, and reads what both programs show.
func shownBy(t *testing.T) exposed {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf") //nolint:usetesting // a socket's path is short, the test's own directory is too deep for it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := stack.Config{Bin: bin, Dir: dir}
	for _, site := range dialect.Sites() {
		if len(site.Lines) > 0 && len(cfg.Plants) == 0 {
			cfg.Plants = []dialect.Site{site} // one with OPC UA and MQTT
		}
	}
	cfg.SAP.AutoCreate = true
	s, err := stack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	disturb(t, s, &cfg.Plants[0])
	all := exposed{"up": {"plant": true, "agent": true}}
	complete := func() bool {
		all.scrape(ctx, t, s.Agent, "plant", "agent")
		all.scrape(ctx, t, s.Cloud)
		for _, name := range []string{
			"holdfast_agent_quarantined_events_total", "holdfast_cloud_effects_total", "holdfast_cloud_lot_hold_oldest_age_seconds",
		} {
			if all[name] == nil {
				return false
			}
		}
		return true
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !complete() {
		select {
		case <-ctx.Done():
			t.Fatalf("not all that happened is shown: %v\n%s\n%s", slices.Sorted(maps.Keys(all)), s.Agent.Tail(), s.Cloud.Tail())
		case <-tick.C:
		}
	}
	for name, labels := range rare {
		if all[name] == nil && inSource(t, name) {
			all[name] = map[string]bool{"plant": true}
			if strings.HasPrefix(name, "holdfast_agent_") {
				all[name]["agent"] = true
			}
			for _, l := range labels {
				all[name][l] = true
			}
		}
	}
	return all
}

// disturb has a lot made, a part of it fail for safety, and a message sent that nobody understands.
func disturb(t *testing.T, s *stack.Stack, site *dialect.Site) {
	t.Helper()
	out, err := plant.Connect(s.MQTT.URL(), "mes")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	limits, _ := dialect.LimitsOf("torque")
	of := func(n int) dialect.Of {
		return dialect.Of{Record: dialect.Record(n), Lot: "0000004711", Material: "MAT-100", At: dialect.Stamp(time.Now())}
	}
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
		if err := out.SendRaw(m.Topic, []byte("{")); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	series = regexp.MustCompile(`^([a-z_:0-9]+)(?:\{(.*)\})? \S+$`)
	pairs  = regexp.MustCompile(`(\w+)="(?:[^"\\]|\\.)*"`)
)

// scrape adds what a program shows now; more are labels that prometheus.yaml adds to it.
func (e exposed) scrape(ctx context.Context, t *testing.T, p *stack.Process, more ...string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		m := series.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		name := histograms.ReplaceAllString(m[1], "")
		if e[name] == nil {
			e[name] = map[string]bool{}
		}
		for _, pair := range pairs.FindAllStringSubmatch(m[2], -1) {
			e[name][pair[1]] = true
		}
		for _, label := range more {
			e[name][label] = true
		}
	}
}

// inSource tells whether the programs' own text has a metric's name, whole.
func inSource(t *testing.T, name string) bool {
	t.Helper()
	whole := regexp.MustCompile(`\b` + name + `\b`)
	for _, root := range []string{"../../agent", "../../cloud"} {
		found := false
		err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if err != nil || found || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			found = whole.Match(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if found {
			return true
		}
	}
	return false
}

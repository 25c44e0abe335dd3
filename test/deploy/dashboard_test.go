package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dashboard is what is looked at of a dashboard's JSON.
type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct{ Name, Definition, Type string }
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Targets                  []struct{ Expr, LegendFormat string }
	GridPos                  struct{ X, Y, W, H int }
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	all := map[string]dashboard{}
	for _, name := range []string{"agent", "cloud"} {
		var d dashboard
		if err := json.Unmarshal([]byte(read(t, "grafana/"+name+".json")), &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = d
	}
	return all
}

func TestDashboards(t *testing.T) {
	for name, d := range dashboards(t) {
		t.Run(name, func(t *testing.T) {
			if d.UID != "holdfast-"+name || d.Title == "" {
				t.Errorf("uid %q, title %q", d.UID, d.Title)
			}
			ids, titles := map[int]bool{}, map[string]bool{}
			taken := map[[2]int]string{} // place of the grid, by whom
			for _, p := range d.Panels {
				if ids[p.ID] || titles[p.Title] {
					t.Errorf("panel %d %q stands twice", p.ID, p.Title)
				}
				ids[p.ID], titles[p.Title] = true, true
				if p.GridPos.X+p.GridPos.W > 24 {
					t.Errorf("panel %q is wider than the page", p.Title)
				}
				for x := range p.GridPos.W {
					for y := range p.GridPos.H {
						at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
						if other := taken[at]; other != "" {
							t.Fatalf("panels %q and %q overlap", other, p.Title)
						}
						taken[at] = p.Title
					}
				}
				if p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
					t.Errorf("panel %q has no description, or asks nothing", p.Title)
				}
			}
		})
	}
}

// plainVariables replaces Grafana's variables by what they may stand for.
func plainVariables(expr string) string {
	return strings.NewReplacer("$plant", "p1", "$agent", "gw1", "$system", "s4").Replace(expr)
}

// TestDashboards_Promtool has each question of the dashboards parsed by Prometheus' own parser.
func TestDashboards_Promtool(t *testing.T) {
	var b strings.Builder
	b.WriteString("groups:\n  - name: dashboards\n    rules:\n")
	n := 0
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				n++
				text, err := json.Marshal(plainVariables(q.Expr))
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, "      - { record: question%d, expr: %s }\n", n, text)
			}
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "questions.yaml"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	said, err := tool(t, dir, "promtool", "check", "rules", "questions.yaml")
	if err != nil || !strings.Contains(said, fmt.Sprintf("%d rules found", n)) {
		t.Errorf("%d questions: %v\n%s", n, err, said)
	}
}

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestReload(t *testing.T) {
	changed := localapi.Reloaded{
		Format: localapi.Format, Applied: true, Before: "7f3c01ab22cd", Config: "90aa11bb22cc", Since: asOf,
		Changes: []config.Change{
			{Path: "sources[press2]", Kind: config.Added},
			{Path: "sources[mes].mqtt.in_flight", Kind: config.Changed, Old: "1000", New: "500"},
			{Path: "mappings[old\x1b[2J]", Kind: config.Removed},
			{Path: "sources[mes].mqtt.subscribe", Kind: config.Added, New: "acme/p1/mes/#"},
		},
		Started: []string{"press2"}, Renewed: []string{"mes"}, Kept: []string{"press1", "lab"},
	}
	for name, c := range map[string]struct {
		args []string
		give localapi.Reloaded
		err  error
		code int
		out  string
		says string // on stderr
	}{
		"OK": {nil, changed, nil, cli.ExitOK, `reloaded   configuration 7f3c01ab22cd -> 90aa11bb22cc
+ sources[press2]
~ sources[mes].mqtt.in_flight   1000 -> 500
- mappings[old�[2J]
+ sources[mes].mqtt.subscribe   acme/p1/mes/#
sources started: press2
sources read anew: mes
sources kept: press1, lab
`, ""},
		"OKDryRun":  {[]string{"--dry-run"}, localapi.Reloaded{Before: "a", Config: "b", Changes: changed.Changes[:1]}, nil, cli.ExitOK, "would change   configuration a -> b\n+ sources[press2]\n", ""},
		"OKNothing": {nil, localapi.Reloaded{Config: "a", Since: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)}, nil, cli.ExitOK, "nothing differs: configuration a is in force since 2026-11-24T06:00:00Z\n", ""},
		"ErrFindings": {nil, localapi.Reloaded{}, config.Errors{{Place: config.Place{File: "agent.yaml", Line: 3, Column: 7}, Problem: problem.New(problem.ConfigFixed, "plant cannot change")}},
			cli.ExitConfig, "", "the configuration is refused; the agent goes on with the one that it has\nagent.yaml:3:7   plant cannot change   (E-1008)\n"},
		"ErrNotNow": {nil, localapi.Reloaded{}, problem.New(problem.RuleRefused, "the agent is still starting"), cli.ExitRefused, "", "still starting"},
		"ErrReason": {[]string{"--reason", strings.Repeat("x", 3000)}, changed, nil, cli.ExitUsage, "", "reason has 3000 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			socket := serve(t, &fake{reload: func(o localapi.Reload) (localapi.Reloaded, error) {
				if o.DryRun != (name == "OKDryRun") {
					t.Errorf("order %+v", o)
				}
				return c.give, c.err
			}})
			r := call(t, "", nil, append([]string{"reload", "--utc", "--socket", socket}, c.args...)...)
			if r.code != c.code || r.out != strings.ReplaceAll(c.out, `\ufffd`, "\ufffd") || !strings.Contains(r.err, c.says) {
				t.Errorf("exit %d\n%s\n%s", r.code, r.out, r.err)
			}
		})
	}
}

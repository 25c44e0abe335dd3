package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent"
	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) doctorCommand() *cobra.Command {
	var only []string
	c := &cobra.Command{
		Use: "doctor", Short: "look at what the agent needs, and name the fix of each thing that is wrong", Args: cobra.NoArgs,
		Long: "Looks at clock, disk, certificates, Kafka (reachability, rights, timestamp type), OPC UA servers (endpoint, trust, way to log\n" +
			"in) and MQTT brokers. What a broker does is tried rather than believed: a session of its own goes away, 1,500 small messages\n" +
			"below holdfast/doctor/ are published, and it must find them all; a client dies, and its will must come; then all is deleted.\n" +
			"OPC UA servers are asked up to the log-in. It works beside a running agent and without one.\n\n" +
			"Exit code: 0 nothing failed, 1 something did, 3 the configuration does not load.",
		RunE: func(c *cobra.Command, _ []string) error {
			for _, name := range only {
				if !slices.Contains(agent.Checks(), name) {
					return problem.New(problem.Usage, "check %q: want %s", name, strings.Join(agent.Checks(), ", "))
				}
			}
			return p.doctor(c.Context(), only)
		},
	}
	c.Flags().StringSliceVar(&only, "only", nil, "only these checks: "+strings.Join(agent.Checks(), ", "))
	_ = c.RegisterFlagCompletionFunc("only", words(agent.Checks()...)) // its only error: the flag does not exist
	return c
}

// findings is the document of doctor.
type findings struct {
	Format   int             `json:"format"`
	Findings []agent.Finding `json:"findings"`
	Failed   int             `json:"failed"`
	Warned   int             `json:"warned"`
	OK       int             `json:"ok"`
	Skipped  int             `json:"skipped"`
}

// doctor shows each finding as it comes: a look over a dead network takes its time.
func (p *program) doctor(ctx context.Context, only []string) error {
	cfg, _, err := agent.Load(p.global.config, p.lookupEnv)
	if err != nil {
		return err
	}
	d := findings{Format: localapi.Format, Findings: []agent.Finding{}}
	var failed error
	p.examine(ctx, &cfg, only, func(f agent.Finding) {
		d.add(f)
		if p.global.output != formatJSON && failed == nil {
			failed = p.write(p.findingText(&f))
		}
	})
	switch {
	case failed != nil:
		return failed
	case ctx.Err() != nil:
		return ctx.Err()
	case p.global.output == formatJSON:
		err = p.writeJSON(d)
	default:
		err = p.write(d.summary())
	}
	if err == nil && d.Failed > 0 {
		return problem.New(problem.Unhealthy, "%d of %s failed", d.Failed, localapi.Things(len(d.Findings), "finding"))
	}
	return err
}

func (d *findings) add(f agent.Finding) {
	d.Findings = append(d.Findings, f)
	switch f.State {
	case agent.StateFail:
		d.Failed++
	case agent.StateWarn:
		d.Warned++
	case agent.StateSkip:
		d.Skipped++
	default:
		d.OK++
	}
}

func (d *findings) summary() string {
	words := []string{fmt.Sprintf("%d failed", d.Failed), localapi.Things(d.Warned, "warning"), fmt.Sprintf("%d ok", d.OK)}
	if d.Skipped > 0 {
		words = append(words, fmt.Sprintf("%d not looked at", d.Skipped))
	}
	return strings.Join(words, ", ") + "\n"
}

// findingText is one line, with the fix at its end.
func (p *program) findingText(f *agent.Finding) string {
	colour := map[string]string{agent.StateOK: green, agent.StateWarn: yellow, agent.StateFail: red}[f.State]
	line := p.paint(colour, f.State) + strings.Repeat(" ", 6-len(f.State)) + fmt.Sprintf("%-13s", f.Check)
	if f.Subject != "" {
		line += clean(f.Subject) + ": "
	}
	line += clean(f.Text)
	if f.Fix != "" {
		line += "   fix: " + clean(f.Fix)
	}
	if f.Code != "" {
		line += fmt.Sprintf("   (explain %s)", f.Code)
	}
	return line + "\n"
}

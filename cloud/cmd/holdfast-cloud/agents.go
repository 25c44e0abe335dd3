package main

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) agentsCommand() *cobra.Command {
	c := &cobra.Command{Use: "agents", Short: "agents of the plants", RunE: needVerb}
	epoch := &cobra.Command{Use: "epoch", Short: "runs of an agent's process", RunE: needVerb}
	epoch.AddCommand(p.epochDecide())
	c.AddCommand(p.agentsList(), p.agentsRetire(), epoch)
	return c
}

func (p *program) agentsList() *cobra.Command {
	var plant string
	c := &cobra.Command{
		Use: "list", Short: "list agents by their newest epochs", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := p.client()
			if err != nil {
				return err
			}
			query := url.Values{}
			if plant != "" {
				query.Set("plant", plant)
			}
			var list api.AgentList
			if err := cl.get(c.Context(), "/agents", query, &list); err != nil {
				return err
			}
			return p.printAgents(&list)
		},
	}
	c.Flags().StringVar(&plant, "plant", "", "only agents of this plant")
	return c
}

func (p *program) printAgents(list *api.AgentList) error {
	switch p.global.output {
	case formatJSON:
		return p.printJSON(list)
	case formatLines:
		return printLines(p.out, list.Agents)
	}
	t := newTable("PLANT", "AGENT", "EPOCH", "SINCE", "QUALITY", "TELEMETRY", "STATE")
	for i := range list.Agents {
		e := &list.Agents[i]
		t.add(string(e.Plant), e.Agent, string(e.Epoch), p.at(e.Zone)(e.Since), strconv.FormatInt(e.Quality, 10), strconv.FormatInt(e.Telemetry, 10),
			p.epochState(e))
	}
	if err := t.print(p.out); err != nil {
		return err
	}
	for i := range list.Agents {
		e := &list.Agents[i]
		if e.State == api.EpochRetired {
			p.retiredNote(e)
		}
		if e.State == api.EpochUndecided {
			p.say("two gateways claim to be %s/%s: find out which is the right one, then: holdfast-cloud agents epoch decide --plant %s --agent %s --epoch %s accepted --reason ...",
				e.Plant, e.Agent, e.Plant, e.Agent, e.Epoch)
		}
	}
	return nil
}

func (p *program) epochState(e *api.AgentEpoch) string {
	if e.DecidedBy == "" {
		return string(e.State)
	}
	return fmt.Sprintf("%s, decided by %s %s: %s", e.State, plain(e.DecidedBy), p.at(e.Zone)(e.DecidedAt), plain(e.Reason))
}

// consequence says what a decision about an epoch means, for the one who is asked to confirm it.
func consequence(d event.EpochDecision) string {
	if d == event.EpochAccepted {
		return "What was kept of it is applied in order, and the gateway that went on instead is closed where it is."
	}
	return "What it sends stays in quarantine; only holds and failures of it apply."
}

func (p *program) epochDecide() *cobra.Command {
	var plant, agent, epoch, reason string
	c := &cobra.Command{
		Use: "decide --plant P --agent A --epoch E accepted|quarantined", Short: "say which of two gateways goes on", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			d := event.EpochDecision(args[0])
			if d != event.EpochAccepted && d != event.EpochQuarantined {
				return problem.New(problem.Usage, "decision %.40q: want %s or %s", args[0], event.EpochAccepted, event.EpochQuarantined)
			}
			for flag, value := range map[string]string{"--plant": plant, "--agent": agent, "--epoch": epoch} {
				if value == "" {
					return problem.New(problem.Usage, "no %s: agents list shows what there is", flag)
				}
			}
			if err := needReason(reason); err != nil {
				return err
			}
			cl, err := p.client()
			if err != nil {
				return err
			}
			if err := p.confirm(fmt.Sprintf("Epoch %s of %s/%s %s? %s", epoch, plant, agent, d, consequence(d))); err != nil {
				return err
			}
			path := "/agents/" + url.PathEscape(plant) + "/" + url.PathEscape(agent) + "/epochs/" + url.PathEscape(epoch) + "/decision"
			var e api.AgentEpoch
			if err := cl.post(c.Context(), path, nil, api.DecisionRequest{Decision: d, Reason: reason}, &e); err != nil {
				return err
			}
			if p.global.output != formatTable {
				return p.printJSON(e)
			}
			_, err = fmt.Fprintf(p.out, "%s: epoch %s of %s/%s   now %s\n", d, e.Epoch, e.Plant, e.Agent, e.State)
			return err
		},
	}
	c.Flags().StringVar(&plant, "plant", "", "plant of the agent; required")
	c.Flags().StringVar(&agent, "agent", "", "id of the agent; required")
	c.Flags().StringVar(&epoch, "epoch", "", "epoch as agents list shows it; required")
	c.Flags().StringVar(&reason, "reason", "", "why; required")
	return c
}

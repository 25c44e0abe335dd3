package main

import (
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func agentPath(plant, agent string) string {
	return "/agents/" + url.PathEscape(plant) + "/" + url.PathEscape(agent)
}

func (p *program) agentsRetire() *cobra.Command {
	var plant, agent string
	var r api.RetireRequest
	var by signing
	c := &cobra.Command{
		Use: "retire --plant P --agent A [--signer USER --signer USER]", Args: exactly(0),
		Short: "take an agent out of service: releases wait for it no more",
		Long: `Take an agent out of service: releases wait for it no more, and what it sends later is kept and not applied,
but for what forbids.

Let the agent run while you retire it. It is asked once more, and goes where all that it has on disk has come.
Where it does not answer any more, or where records of it never came, two persons sign for what is not known.
If it starts again, its new epoch waits: agents epoch decide ... accepted puts it back into service.`,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case plant == "" || agent == "":
				return problem.New(problem.Usage, "no --plant or no --agent: agents list shows what there is")
			case len(by.names)+len(by.files) > 0:
				if err := by.check(); err != nil {
					return err
				}
			}
			if err := needReason(r.Reason); err != nil {
				return err
			}
			return p.retire(c, plant, agent, &r, &by)
		},
	}
	c.Flags().StringVar(&plant, "plant", "", "plant of the agent; required")
	c.Flags().StringVar(&agent, "agent", "", "id of the agent; required")
	c.Flags().StringVar(&r.Reason, "reason", "", "why; required")
	by.flags(c, "two, unless the plant's policy says one; none where nothing is left open")
	return c
}

func (p *program) retire(c *cobra.Command, plant, agent string, r *api.RetireRequest, by *signing) error {
	cl, err := p.client()
	if len(by.names) > 0 {
		cl, err = p.secretClient()
	}
	if err != nil {
		return err
	}
	var rest api.AgentRest
	if err := cl.get(c.Context(), agentPath(plant, agent)+"/rest", nil, &rest); err != nil {
		return err
	}
	p.sayRest(&rest)
	if err := p.confirm(fmt.Sprintf("Retire agent %s/%s? Releases wait for it no more.", plant, agent)); err != nil {
		return err
	}
	if len(by.names) > 0 {
		r.Missing = rest.Missing
		if r.Signers, err = by.passwords(c.Context(), p); err != nil {
			return err
		}
	}
	var done api.Retired
	if err := cl.post(c.Context(), agentPath(plant, agent)+"/retirement", nil, r, &done); err != nil {
		return err
	}
	return p.printRetired(&done)
}

// sayRest tells what is not known of an agent that is to be retired.
func (p *program) sayRest(r *api.AgentRest) {
	head := "it never stated what it has on disk"
	if !r.HeadAt.IsZero() {
		head = "it stated what it has on disk " + span(p.now().Sub(r.HeadAt).Round(time.Second)) + " ago"
	}
	p.say("Agent %s/%s: %s", r.Plant, r.Agent, head)
	if r.Missing != "" {
		p.say("records that never came: %s", r.Missing)
	}
	if r.Asked {
		p.say("it has not answered a question that lots wait for; it is asked once more")
	}
}

func (p *program) printRetired(r *api.Retired) error {
	if p.global.output != formatTable {
		return p.printJSON(r)
	}
	rest := "all that it had on disk is here"
	if len(r.Signatures) > 0 {
		rest = "signed for what is not known of it"
		if r.Missing != "" {
			rest += ": " + r.Missing
		}
	}
	if _, err := fmt.Fprintf(p.out, "retired: %s/%s   %s\n", r.Plant, r.Agent, plain(rest)); err != nil || len(r.Signatures) == 0 {
		return err
	}
	return p.signatures(r.Signatures).print(p.out)
}

// retiredNote says how an agent comes back.
func (p *program) retiredNote(e *api.AgentEpoch) {
	p.say("%s/%s is out of service; to put it back once it has started again: holdfast-cloud agents epoch decide --plant %s --agent %s --epoch EPOCH %s --reason ...",
		e.Plant, e.Agent, e.Plant, e.Agent, event.EpochAccepted)
}

package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) coverageCommand() *cobra.Command {
	c := &cobra.Command{Use: "coverage", Short: "what is not known of a lot or a plant, and keeps a release", RunE: needVerb}
	c.AddCommand(p.coverageShow(), p.coverageAccept())
	return c
}

func (p *program) coverageShow() *cobra.Command {
	var lot, plant string
	c := &cobra.Command{
		Use: "show --lot LOT | --plant PLANT", Short: "show open gaps and missing answers", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if (lot == "") == (plant == "") {
				return problem.New(problem.Usage, "show wants either --lot or --plant")
			}
			cl, err := p.client()
			if err != nil {
				return err
			}
			query := url.Values{}
			if plant != "" {
				query.Set("plant", plant)
			} else {
				key, err := cl.resolve(c.Context(), lot)
				if err != nil {
					return err
				}
				query.Set("lot", string(key))
			}
			var cov api.Coverage
			if err := cl.get(c.Context(), "/coverage", query, &cov); err != nil {
				return err
			}
			return p.printCoverage(&cov)
		},
	}
	c.Flags().StringVar(&lot, "lot", "", "what the release of this lot waits for")
	c.Flags().StringVar(&plant, "plant", "", "what is open at this plant")
	return c
}

func (p *program) printCoverage(c *api.Coverage) error {
	if p.global.output != formatTable {
		return p.printJSON(c)
	}
	at := p.at(c.Zone)
	var b strings.Builder
	b.WriteString(coverageTitle(c) + "\n")
	gaps := newTable("GAP", "KIND", "WHERE", "FROM", "TO", "WHAT")
	for i := range c.Gaps {
		g := &c.Gaps[i]
		where := string(g.Plant)
		if g.Equipment != "" {
			where += "/" + plain(string(g.Equipment))
		} else if g.Agent != "" {
			where += ", agent " + g.Agent
		}
		gaps.add(plain(string(g.ID)), string(g.Kind), where, at(g.From), at(g.To), plain(g.Words))
	}
	answers := newTable("AGENT", "ANSWERED", "STATED", "STATE")
	for i := range c.Answers {
		a := &c.Answers[i]
		answers.add(agentName(a.Plant, a.Agent), strconv.FormatInt(a.Answered, 10), at(a.HeadAt), answerState(c, a))
	}
	accepted := newTable("ACCEPTED", "BY", "WHEN", "REASON")
	for i := range c.Accepted {
		a := &c.Accepted[i]
		what := string(a.Gap)
		if a.Gap == "" {
			what = "missing answer of " + agentName(a.Plant, a.Agent)
		}
		names := make([]string, len(a.Signatures))
		for j, s := range a.Signatures {
			names[j] = plain(string(s.PrintedName)) + " (" + plain(string(s.By)) + ")"
		}
		accepted.add(plain(what), strings.Join(names, ", "), at(a.At), plain(a.Reason))
	}
	for _, t := range []*table{gaps, answers, accepted} {
		if len(t.rows) > 1 {
			b.WriteString("\n")
			if err := t.print(&b); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprint(p.out, b.String())
	return err
}

func coverageTitle(c *api.Coverage) string {
	title := "Plant " + string(c.Plant)
	if c.Lot != "" {
		title = "Lot " + plain(string(c.Lot)) + ", release " + dash(string(c.Release))
		switch {
		case c.Barrier > 0:
			title += fmt.Sprintf(", asks for barrier %d", c.Barrier)
		case c.Release == quality.Asking:
			title += ", asks no agent yet"
		}
	}
	if len(c.Gaps) == 0 {
		title += ": no open gap"
	}
	return title
}

// agentName names who did not answer.
func agentName(plant event.PlantID, agent string) string {
	if agent == "" {
		return string(plant) + ", no agent heard of"
	}
	return string(plant) + "/" + agent
}

// answerState says what a lot's release has of an agent. What was not asked for is not missing.
func answerState(c *api.Coverage, a *api.Answer) string {
	switch {
	case a.Accepted:
		return "accepted by signature"
	case a.Missing:
		return "missing"
	case c.Barrier > 0:
		return "answered"
	case c.Release == quality.Asking:
		return "not asked yet"
	}
	return "-"
}

func (p *program) coverageAccept() *cobra.Command {
	var r api.EvidenceRequest
	var lot, gap, plant string
	var by signing
	var version int64
	c := &cobra.Command{
		Use:   "accept --lot LOT (--gap ID | --plant P --agent A --barrier N) --signer USER --signer USER",
		Short: "sign that a lot may be released without a piece of evidence", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			r.Gap, r.Plant = event.ObjectID(gap), event.PlantID(plant)
			switch {
			case lot == "":
				return problem.New(problem.Usage, "no --lot: a signature stands for one named lot")
			case (gap != "") == (plant != "" || r.Agent != "" || r.Barrier != 0):
				return problem.New(problem.Usage, "accept wants either --gap, or --plant, --agent and --barrier: coverage show names them")
			}
			if err := by.check(); err != nil {
				return err
			}
			if err := needReason(r.Reason); err != nil {
				return err
			}
			cl, err := p.secretClient()
			if err != nil {
				return err
			}
			key, err := cl.resolve(c.Context(), lot)
			if err != nil {
				return err
			}
			p.say("Signing for lot %s: %s", key, acceptance(&r))
			if err := p.confirm("Each signer approves that the lot may be released without this evidence. Go on?"); err != nil {
				return err
			}
			if r.Signers, err = by.passwords(c.Context(), p); err != nil {
				return err
			}
			var e api.Evidence
			if err := cl.post(c.Context(), lotPath(key)+"/evidence", ifMatch(version), r, &e); err != nil {
				return err
			}
			return p.printEvidence(&e)
		},
	}
	c.Flags().StringVar(&lot, "lot", "", "the lot, by its key or its number; required")
	c.Flags().StringVar(&gap, "gap", "", "id of the gap")
	c.Flags().StringVar(&plant, "plant", "", "plant of the agent that did not answer")
	c.Flags().StringVar(&r.Agent, "agent", "", "the agent that did not answer; none where no agent of the plant was ever heard of")
	c.Flags().Int64Var(&r.Barrier, "barrier", 0, "the barrier that it did not answer")
	c.Flags().StringVar(&r.Reason, "reason", "", "why the lot may be used all the same; required")
	by.flags(c, "two, unless the plant's policy says one")
	c.Flags().Int64Var(&version, "if-version", 0, "only if the lot still has this version")
	return c
}

func acceptance(r *api.EvidenceRequest) string {
	if r.Gap != "" {
		return "gap " + plain(string(r.Gap))
	}
	if r.Agent == "" {
		return fmt.Sprintf("the missing answer of plant %s, of which no agent was ever heard of", plain(string(r.Plant)))
	}
	return fmt.Sprintf("the missing answer of agent %s/%s", plain(string(r.Plant)), plain(r.Agent))
}

func (p *program) printEvidence(e *api.Evidence) error {
	if p.global.output != formatTable {
		return p.printJSON(e)
	}
	return p.signatures(e.Signatures).print(p.out)
}

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent/downlink"
	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) lotCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "lot", Short: "may this lot move? answered here, also while the cloud cannot be reached", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.lotShowCommand(), p.lotListCommand())
	return c
}

func (p *program) lotShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show LOT", Short: "say whether one lot may move, why not, and how old the answer is", Args: exactly(1, "the key or number of a lot"),
		ValidArgsFunction: p.completeLots,
		Long: "Says whether a lot may move, from what the cloud told this plant and from what this plant itself recorded since.\n" +
			"LOT is its key, such as lot::MAT-100:L-88213, or its number where only one lot has it.\n" +
			"An answer that a lot may move expires (offline.max_age); one that it may not never does. An unknown lot may not move.\n\n" +
			"Exit code: 0 it may move, 4 it may not, 6 the agent does not answer.",
		RunE: func(c *cobra.Command, args []string) error { return p.lotShow(c.Context(), args[0]) },
	}
}

// exactly refuses another number of arguments.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return problem.New(problem.Usage, "want %s", what)
		}
		return nil
	}
}

// lotShow is an error where the lot may not move: a script that asks and does not look must not go on.
func (p *program) lotShow(ctx context.Context, name string) error {
	client, err := p.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.global.timeout)
	defer cancel()
	l, err := client.Lot(ctx, name)
	if err != nil {
		return err
	}
	if p.global.output == formatJSON {
		err = p.writeJSON(l)
	} else {
		err = p.write(p.lotText(&l))
	}
	if err != nil || l.MayMove {
		return err
	}
	return &problem.Problem{
		Code: problem.RuleRefused, Cause: fmt.Sprintf("lot %s may not move", clean(l.Lot)), Consequence: "it stays where it is",
		Next: "clear what stands against it; a person with the right to release decides, not this command",
	}
}

func (p *program) lotListCommand() *cobra.Command {
	var which string
	c := &cobra.Command{
		Use: "list", Short: "say of every lot that the cloud has told this plant of whether it may move", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			keep, ok := map[string]func(localapi.Lot) bool{
				"all":  func(localapi.Lot) bool { return true },
				"free": func(l localapi.Lot) bool { return l.MayMove },
				"held": func(l localapi.Lot) bool { return !l.MayMove },
			}[which]
			if !ok {
				return problem.New(problem.Usage, "state %q: want all, free or held", which)
			}
			return p.lotList(c.Context(), keep)
		},
	}
	c.Flags().StringVar(&which, "state", "all", "all, free (may move) or held (may not)")
	return c
}

func (p *program) lotList(ctx context.Context, keep func(localapi.Lot) bool) error {
	client, err := p.client()
	if err != nil {
		return err
	}
	all := localapi.Lots{Lots: []localapi.Lot{}}
	for after := ""; ; {
		page, err := p.lotPage(ctx, client, after)
		if err != nil {
			return err
		}
		for _, l := range page.Lots {
			if keep(l) {
				all.Lots = append(all.Lots, l)
			}
		}
		all.Format, all.Plant, all.Agent, all.AsOf = page.Format, page.Plant, page.Agent, page.AsOf
		if after = page.Next; after == "" {
			break
		}
	}
	if p.global.output == formatJSON {
		return p.writeJSON(all)
	}
	return p.write(p.lotsText(&all))
}

func (p *program) lotPage(ctx context.Context, client *localapi.Client, after string) (localapi.Lots, error) {
	ctx, cancel := context.WithTimeout(ctx, p.global.timeout)
	defer cancel()
	return client.Lots(ctx, after)
}

func (p *program) lotText(l *localapi.Lot) string {
	w := new(strings.Builder)
	fmt.Fprintf(w, "Lot %s   %s   as of %s\n", clean(l.Lot), p.verdict(l), p.clock(l.AsOf))
	for _, r := range l.Why {
		fmt.Fprintf(w, "  %s (%s)\n", clean(r.Text), clean(r.Code))
	}
	fmt.Fprintf(w, "The cloud's word is %s.%s\n", heard(l.AgeKnown, l.Age), expiry(l))
	if l.Version > 0 {
		decision := l.Disposition
		if decision == "" {
			decision = "none"
		}
		fmt.Fprintf(w, "Status %d of %s   decision %s\n", l.Version, p.date(l.StatusAsOf), clean(decision))
	}
	for _, u := range l.Usage {
		fmt.Fprintf(w, "  %s: %s", clean(u.System), clean(u.Usage))
		if u.Raw != "" {
			fmt.Fprintf(w, " (%s)", clean(u.Raw))
		}
		if u.VerifiedAt.IsZero() {
			fmt.Fprintln(w, ", never read back")
			continue
		}
		fmt.Fprintf(w, ", read back %s\n", p.date(u.VerifiedAt))
	}
	return w.String()
}

func (p *program) verdict(l *localapi.Lot) string {
	if l.MayMove {
		return p.paint(green, "may move")
	}
	return p.paint(red, "may NOT move")
}

// heard says how old the facts behind an answer are, in seconds.
func heard(known bool, old int64) string {
	if !known {
		return "of unknown age"
	}
	return localapi.Age(time.Duration(old)*time.Second) + " old"
}

// expiry says how long an answer holds. One against moving does as long as what stands against it; one that only lacks
// the cloud's word ends with that word.
func expiry(l *localapi.Lot) string {
	if l.MayMove {
		return fmt.Sprintf(" The answer expires in %s.", seconds(l.ExpiresIn))
	}
	for _, r := range l.Why {
		if r.Code != string(downlink.Expired) && r.Code != string(downlink.UnknownLot) {
			return " A held lot stays held, however old that word gets."
		}
	}
	return ""
}

func (p *program) lotsText(all *localapi.Lots) string {
	w := new(strings.Builder)
	fmt.Fprintf(w, "Plant %s   agent %s   %s   as of %s\n", all.Plant, all.Agent, localapi.Things(len(all.Lots), "lot"), p.clock(all.AsOf))
	if len(all.Lots) == 0 {
		return w.String()
	}
	rows := [][]cell{cells("LOT", "MAY MOVE", "DECISION", "STATUS OF", "EXPIRES IN", "WHY NOT")}
	for i := range all.Lots {
		l := &all.Lots[i]
		may, decision, expires, colour := "no", "-", "-", red
		if l.MayMove {
			may, expires, colour = "yes", seconds(l.ExpiresIn), green
		}
		if l.Disposition != "" {
			decision = clean(l.Disposition)
		}
		codes := make([]string, len(l.Why))
		for j, r := range l.Why {
			codes[j] = clean(r.Code)
		}
		row := cells(clean(l.Lot), may, decision, p.date(l.StatusAsOf), expires, strings.Join(codes, ", "))
		row[1].colour = colour
		rows = append(rows, row)
	}
	p.table(w, rows)
	return w.String()
}

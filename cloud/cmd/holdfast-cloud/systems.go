package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) systemsCommand() *cobra.Command {
	c := &cobra.Command{Use: "systems", Short: "ERP, QMS and other systems, and whether they are written to", RunE: needVerb}
	c.AddCommand(p.systemsList(), p.systemsPause(), p.systemsResume(), p.systemsDispatch())
	return c
}

func (p *program) systemsList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "list systems, what waits for each, and whether it is written to", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := p.systems(c)
			if err != nil {
				return err
			}
			return p.printSystems(list)
		},
	}
}

func (p *program) systems(c *cobra.Command) (*api.SystemList, error) {
	cl, err := p.client()
	if err != nil {
		return nil, err
	}
	list := new(api.SystemList)
	return list, cl.get(c.Context(), "/systems", nil, list)
}

func (p *program) printSystems(list *api.SystemList) error {
	switch p.global.output {
	case formatJSON:
		return p.printJSON(list)
	case formatLines:
		return printLines(p.out, list.Systems)
	}
	var b strings.Builder
	for i := range list.Off {
		b.WriteString(p.offLine(&list.Off[i]) + "\n")
	}
	if len(list.Off) > 0 {
		b.WriteString("\n")
	}
	if err := systemTable(p, list).print(&b); err != nil {
		return err
	}
	_, err := fmt.Fprint(p.out, b.String())
	return err
}

func systemTable(p *program, list *api.SystemList) *table {
	t := newTable("SYSTEM", "DISPATCH", "ANSWERS", "WAITING", "HOLDS AMONG THEM", "OLDEST")
	for i := range list.Systems {
		s := &list.Systems[i]
		oldest := "-"
		if !s.OldestAt.IsZero() {
			oldest = span(p.now().Sub(s.OldestAt))
		}
		t.add(s.ID, word(s.Dispatch, "on", "OFF"), word(s.Answers, "yes", "NO"), strconv.Itoa(s.Waiting), strconv.Itoa(s.Restricting), oldest)
	}
	return t
}

func word(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// offLine says in one line what is not written to, since when, by whom and why.
func (p *program) offLine(o *api.Off) string {
	what := "all systems"
	if o.System != "" {
		what = o.System
	}
	until := ", until a person turns it on"
	if !o.Until.IsZero() {
		until = ", until " + p.at("UTC")(o.Until)
	}
	return p.red(fmt.Sprintf("DISPATCH OFF to %s since %s%s; holds are not enforced there. By %s: %s", what, p.at("UTC")(o.Since), until, plain(o.By), plain(o.Reason)))
}

func (p *program) systemsPause() *cobra.Command {
	var reason string
	var length time.Duration
	c := &cobra.Command{
		Use: "pause SYSTEM --for 30m", Short: "write nothing to a system for a time; its holds wait, too", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if length < time.Second {
				return problem.New(problem.Usage, "no --for: say how long, such as 30m; the pause ends by itself")
			}
			if err := needReason(reason); err != nil {
				return err
			}
			question := fmt.Sprintf("Write nothing to %s for %s? Holds that are placed meanwhile are not enforced there.", args[0], span(length))
			return p.switched(c, question, "/systems/"+url.PathEscape(args[0])+"/pause", api.PauseRequest{Seconds: int64(length / time.Second), Reason: reason})
		},
	}
	c.Flags().DurationVar(&length, "for", 0, "how long, such as 30m; required")
	c.Flags().StringVar(&reason, "reason", "", "why; required")
	return c
}

func (p *program) systemsResume() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "resume SYSTEM", Short: "end a pause", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := needReason(reason); err != nil {
				return err
			}
			return p.switched(c, fmt.Sprintf("Write to %s again?", args[0]), "/systems/"+url.PathEscape(args[0])+"/resume", api.ReasonRequest{Reason: reason})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; required")
	return c
}

func (p *program) systemsDispatch() *cobra.Command {
	var r api.DispatchRequest
	c := &cobra.Command{
		Use: "dispatch on|off [--system S]", Short: "turn writing to systems on or off; after a restore it is off", Args: exactly(1),
		Long: `Turn writing to systems on or off, for one or for all of them.

It is off after the database was restored: what the older copy asks for may have been done since it was made. Turned
on, states are compared with what each system shows, records are looked up before they are made, and messages from
before the restore are not sent. What waits is listed first.

While it is off holds wait, too: no system enforces what is placed meanwhile. Keep such lots where they are by hand.`,
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] != "on" && args[0] != "off" {
				return problem.New(problem.Usage, "dispatch %.40q: want on or off", args[0])
			}
			if err := needReason(r.Reason); err != nil {
				return err
			}
			if r.On = args[0] == "on"; r.On {
				list, err := p.systems(c)
				if err != nil {
					return err
				}
				p.sayPlan(list, r.System)
			}
			question := "Turn dispatch off? Holds that are placed meanwhile are not enforced."
			if r.On {
				question = "Turn dispatch on?"
			}
			return p.switched(c, question, "/dispatch", r)
		},
	}
	c.Flags().StringVar(&r.System, "system", "", "one system; empty = all")
	c.Flags().StringVar(&r.Reason, "reason", "", "why; required")
	return c
}

// sayPlan tells what becomes of what waits when dispatch is turned on.
func (p *program) sayPlan(list *api.SystemList, only string) {
	for i := range list.Systems {
		s := &list.Systems[i]
		if only != "" && s.ID != only {
			continue
		}
		p.say("%s: %d waiting; %d states to compare, %d records to look up, %d messages to close unsent, %d to send",
			s.ID, s.Waiting, s.Plan.Compare, s.Plan.LookUp, s.Plan.CloseUnsent, s.Plan.Send)
	}
}

// switched asks, calls, and shows the systems as they are then.
func (p *program) switched(c *cobra.Command, question, path string, body any) error {
	cl, err := p.client()
	if err != nil {
		return err
	}
	if err := p.confirm(question); err != nil {
		return err
	}
	var list api.SystemList
	if err := cl.post(c.Context(), path, nil, body, &list); err != nil {
		return err
	}
	return p.printSystems(&list)
}

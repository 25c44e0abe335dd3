package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
)

// status is what status shows.
type status struct {
	Overview api.Overview   `json:"overview"`
	Systems  api.SystemList `json:"systems"`
	Alerts   []api.Alert    `json:"alerts"`
}

func (p *program) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "the state of everything, and what a person has to see to", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := p.client()
			if err != nil {
				return err
			}
			var s status
			var alerts api.AlertList
			for path, into := range map[string]any{"/overview": &s.Overview, "/systems": &s.Systems, "/alerts": &alerts} {
				if err := cl.get(c.Context(), path, nil, into); err != nil {
					return err
				}
			}
			s.Alerts = alerts.Alerts
			return p.printStatus(&s)
		},
	}
}

func (p *program) printStatus(s *status) error {
	if p.global.output != formatTable {
		return p.printJSON(s)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Holdfast   as of %s   outbox %d   dead letters %s\n", p.at("UTC")(s.Overview.At), s.Overview.Outbox, letters(s.Overview.Deadletters))
	for i := range s.Systems.Off {
		o := &s.Systems.Off[i]
		b.WriteString(p.offLine(o) + "\n")
		fmt.Fprintf(&b, "  next: holdfast-cloud systems list, then holdfast-cloud %s --reason ...\n", turnOn(o))
	}
	plants := newTable("PLANT", "LOTS", "HELD", "LAST EVENT")
	for i := range s.Overview.Plants {
		o := &s.Overview.Plants[i]
		plants.add(string(o.Plant), strconv.FormatInt(o.Lots, 10), strconv.FormatInt(o.Held, 10), ago(s.Overview.At, o.LastAccepted))
	}
	alerts := newTable("ALERT", "ABOUT", "SINCE", "WHO", "WHAT, AND WHAT NEXT")
	for i := range s.Alerts {
		a := &s.Alerts[i]
		alerts.add(p.red(plain(a.Code)), plain(a.Subject), ago(s.Overview.At, a.Since), plain(a.Owner), plain(a.Detail)+" -> "+plain(a.NextStep))
	}
	for _, t := range []*table{plants, systemTable(p, &s.Systems), alerts} {
		if len(t.rows) > 1 {
			b.WriteString("\n")
			if err := t.print(&b); err != nil {
				return err
			}
		}
	}
	if len(s.Alerts) == 0 {
		b.WriteString("\nNothing needs a person.\n")
	}
	_, err := fmt.Fprint(p.out, b.String())
	return err
}

// letters counts open dead letters, by code.
func letters(counts map[string]int64) string {
	n, list := int64(0), []string{}
	for _, code := range slices.Sorted(maps.Keys(counts)) {
		n += counts[code]
		list = append(list, fmt.Sprintf("%s %d", code, counts[code]))
	}
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", n, strings.Join(list, ", "))
}

// turnOn is the command that ends what keeps effects from being carried out.
func turnOn(o *api.Off) string {
	switch {
	case o.System == "":
		return "systems dispatch on"
	case o.Until.IsZero():
		return "systems dispatch on --system " + o.System
	}
	return "systems resume " + o.System
}

func ago(now, at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return span(max(0, now.Sub(at))) + " ago"
}

package main

import (
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
)

func (p *program) traceCommand() *cobra.Command {
	return &cobra.Command{
		Use: "trace ID", Short: "follow an event, a lot or a case, hop by hop", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := p.client()
			if err != nil {
				return err
			}
			var t api.Trace
			if err := cl.get(c.Context(), "/trace/"+url.PathEscape(args[0]), nil, &t); err != nil {
				return err
			}
			return p.printTrace(&t)
		},
	}
}

func (p *program) printTrace(t *api.Trace) error {
	switch p.global.output {
	case formatJSON:
		return p.printJSON(t)
	case formatLines:
		return printLines(p.out, t.Hops)
	}
	if _, err := fmt.Fprintf(p.out, "Trace of %s %s, from %s\n", t.About, plain(t.ID), p.at(t.Zone)(t.StartedAt)); err != nil {
		return err
	}
	rows := newTable("TIME", "STAGE", "WHERE", "WAIT", "WHAT")
	for i := range t.Hops {
		h := &t.Hops[i]
		wait := ""
		if h.Wait != 0 {
			wait = span(asDuration(h.Wait))
		}
		rows.add(since(asDuration(h.After)), string(h.Stage), plain(h.Where), wait, plain(h.Text))
	}
	return rows.print(p.out)
}

func asDuration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// since writes how long after the start something was.
func since(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("+%.3fs", d.Seconds())
	}
	return "+" + span(d)
}

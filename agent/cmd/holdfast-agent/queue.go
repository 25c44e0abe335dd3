package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent"
	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) queueCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "queue", Short: "look at the queue on disk, or send parts of it again", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.queueStatCommand(), p.replayCommand())
	return c
}

func (p *program) queueStatCommand() *cobra.Command {
	return &cobra.Command{
		Use: "stat", Short: "show depth, bytes, ages and rates of each lane", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			q, live, err := p.queue(c.Context())
			if err != nil {
				return err
			}
			if p.global.output == formatJSON {
				return p.writeJSON(q)
			}
			return p.write(p.lanesText(&q, live))
		},
	}
}

// queue asks the running agent, else reads its files and says so.
func (p *program) queue(ctx context.Context) (q localapi.Queue, live bool, err error) {
	client, err := p.client()
	if err != nil {
		return q, false, err
	}
	asking, cancel := context.WithTimeout(ctx, p.global.timeout)
	defer cancel()
	q, err = client.Queue(asking)
	if problem.CodeOf(err) != problem.APIUnreachable {
		return q, true, err
	}
	cfg, _, loadErr := agent.Load(p.global.config, p.lookupEnv)
	if loadErr != nil {
		return q, false, err // without a configuration there are no files to read
	}
	q, inspectErr := agent.Inspect(ctx, cfg)
	if inspectErr != nil {
		return q, false, fmt.Errorf("%w; its files: %w", err, inspectErr)
	}
	p.say("the agent does not run: this is read from its files in %s, which were not changed", cfg.Data)
	return q, false, nil
}

func (p *program) lanesText(q *localapi.Queue, live bool) string {
	w := new(strings.Builder)
	rows := [][]cell{cells("LANE", "UNSENT", "URGENT", "OLDEST", "BYTES", "QUOTA", "RESERVE USED", "IN/S", "OUT/S", "FULL IN", "DRAINS IN", "SHED")}
	for _, l := range q.Lanes {
		if l.Depth == 0 {
			l.FullIn = 0 // what comes in goes out
		}
		oldest, in, out, shed := "-", "-", "-", "-"
		if !l.Oldest.IsZero() {
			oldest = localapi.Age(q.AsOf.Sub(l.Oldest))
		}
		if live { // a stopped agent has no rates
			in, out, shed = fmt.Sprintf("%.1f", l.Inflow), fmt.Sprintf("%.1f", l.Outflow), localapi.Number(l.Shed)
		}
		rows = append(rows, cells(l.Name, localapi.Number(l.Depth), localapi.Number(l.Urgent), oldest, localapi.Size(l.Bytes), localapi.Size(l.Quota), localapi.Size(l.ReserveUsed),
			in, out, seconds(l.FullIn), seconds(l.DrainIn), shed))
	}
	p.table(w, rows)
	for _, l := range q.Lanes {
		for _, d := range l.Damages {
			fmt.Fprintf(w, "%s: damaged file %s\n", l.Name, clean(d))
		}
	}
	return w.String()
}

// moment reads a time: RFC 3339 with or without seconds, or a duration such as 2h, which means so long ago.
func moment(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, problem.New(problem.Usage, "%q is no time: want such as 2026-11-20T22:00Z, or 2h for two hours ago", text)
}

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/config"
)

// reloadPatience is how long a reload may take at the least: samples run, and sources that are stopped have some seconds.
const reloadPatience = time.Minute

func (p *program) reloadCommand() *cobra.Command {
	var order localapi.Reload
	c := &cobra.Command{
		Use: "reload", Short: "have the running agent take its configuration anew: whole, or not at all", Args: cobra.NoArgs,
		Long: "Has the running agent read its configuration again, and check it as check-config does. What differs is shown. Where anything\n" +
			"is wrong nothing changes, and the agent goes on as before. Sources whose settings stay keep their connection; others are\n" +
			"stopped and read from where they stood. What cannot change while the agent runs is refused by its name: plant, agent, data,\n" +
			"listen, queue, kafka, offline. Who did it, and what changed, is recorded. The signal HUP does the same.\n\n" +
			"Exit code: 0 taken, or nothing differs; 3 the configuration is refused; 4 it cannot be taken now; 6 the agent does not answer.",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := order.Check(); err != nil {
				return err
			}
			return p.reload(c.Context(), order)
		},
	}
	c.Flags().StringVar(&order.Reason, "reason", "", "why; stands in the ledger")
	c.Flags().BoolVar(&order.DryRun, "dry-run", false, "only check, and show what would change")
	return c
}

func (p *program) reload(ctx context.Context, order localapi.Reload) error {
	client, err := p.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, max(p.global.timeout, reloadPatience))
	defer cancel()
	r, err := client.Reload(ctx, order)
	if err != nil {
		if !order.DryRun {
			p.say("the configuration is refused; the agent goes on with the one that it has")
		}
		return err
	}
	if p.global.output == formatJSON {
		return p.writeJSON(r)
	}
	return p.write(p.reloadedText(&r, order.DryRun))
}

// reloadedText is what differs, one key on a line, and what became of the sources.
func (p *program) reloadedText(r *localapi.Reloaded, dryRun bool) string {
	w := new(strings.Builder)
	switch {
	case len(r.Changes) == 0:
		fmt.Fprintf(w, "nothing differs: configuration %s is in force since %s\n", r.Config, p.date(r.Since))
		return w.String()
	case dryRun:
		fmt.Fprintf(w, "would change   configuration %s -> %s\n", r.Before, r.Config)
	default:
		fmt.Fprintf(w, "reloaded   configuration %s -> %s\n", r.Before, r.Config)
	}
	for _, x := range r.Changes {
		p.showChange(w, x)
	}
	for _, list := range []struct {
		name string
		ids  []string
	}{{"started", r.Started}, {"read anew", r.Renewed}, {"stopped", r.Stopped}, {"kept", r.Kept}} {
		if len(list.ids) > 0 {
			fmt.Fprintf(w, "sources %s: %s\n", list.name, strings.Join(list.ids, ", "))
		}
	}
	return w.String()
}

func (p *program) showChange(w *strings.Builder, x config.Change) {
	switch x.Kind {
	case config.Added:
		fmt.Fprintln(w, strings.TrimRight(p.paint(green, "+ "+clean(x.Path))+"   "+clean(x.New), " "))
	case config.Removed:
		fmt.Fprintln(w, strings.TrimRight(p.paint(red, "- "+clean(x.Path))+"   "+clean(x.Old), " "))
	default:
		fmt.Fprintf(w, "%s   %s -> %s\n", p.paint(yellow, "~ "+clean(x.Path)), clean(x.Old), clean(x.New))
	}
}

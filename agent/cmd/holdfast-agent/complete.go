package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
)

// completeLimit bounds what a shell waits for at the tab key.
const completeLimit = time.Second

// offer returns what goes on from what was typed; no shell adds files to it.
func offer(list []string, begun string) ([]string, cobra.ShellCompDirective) {
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !strings.HasPrefix(s, begun) })
	return list, cobra.ShellCompDirectiveNoFileComp
}

// words completes a flag or an argument from a list.
func words(list ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return offer(list, begun)
	}
}

// completeFlags names the values of flags that have few, wherever a command has such a flag.
func completeFlags(c *cobra.Command) {
	for name, list := range map[string][]string{
		"output": {formatTable, formatJSON}, "lane": {"quality", "telemetry"}, "state": {"all", "free", "held"}, "log-format": {"json", "console"},
		"quality": {"good", "uncertain", "bad", "stale", localapi.Unread},
	} {
		if c.Flags().Lookup(name) != nil || c.PersistentFlags().Lookup(name) != nil {
			_ = c.RegisterFlagCompletionFunc(name, words(list...)) // its only error: the flag does not exist
		}
	}
	for _, child := range c.Commands() {
		completeFlags(child)
	}
}

func completeCodes(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	var all []string
	if len(args) > 0 {
		return offer(all, begun)
	}
	for _, p := range cli.Pages() {
		all = append(all, string(p.Code)+"\t"+p.Title)
	}
	return offer(all, begun)
}

// completeThumbprints offers the certificates that wait, or with use "" all.
func (p *program) completeThumbprints(use opcua.Use) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		var prints []string
		all, err := p.certificates()
		if err != nil || len(args) > 0 {
			return offer(prints, begun)
		}
		for i := range all {
			if c := &all[i]; c.Thumbprint != "" && (use == "" || c.Use == string(use)) {
				prints = append(prints, c.Thumbprint+"\t"+c.Use+" "+certificateName(c))
			}
		}
		slices.Sort(prints)
		return offer(slices.Compact(prints), begun)
	}
}

// completeLots offers the lots that the running agent knows, as many as it tells in time.
func (p *program) completeLots(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	var keys []string
	client, err := p.client()
	if err != nil || len(args) > 0 {
		return offer(keys, begun)
	}
	ctx := c.Context()
	if ctx == nil {
		ctx = context.Background() // completion may run without one
	}
	ctx, cancel := context.WithTimeout(ctx, completeLimit)
	defer cancel()
	for after := ""; ; {
		page, err := client.Lots(ctx, after)
		if err != nil {
			break // what was told until then is offered
		}
		for _, l := range page.Lots {
			keys = append(keys, l.Lot)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	return offer(keys, begun)
}

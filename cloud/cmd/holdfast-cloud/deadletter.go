package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) deadletterCommand() *cobra.Command {
	c := &cobra.Command{Use: "deadletter", Short: "records that were not applied", RunE: needVerb}
	c.AddCommand(p.deadletterList(), p.deadletterShow(), p.deadletterExport(), p.deadletterFix(), p.deadletterRedrive(), p.deadletterDrop())
	return c
}

func (p *program) deadletterList() *cobra.Command {
	var all bool
	var lot string
	c := &cobra.Command{
		Use: "list", Short: "list records that were not applied", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := p.client()
			if err != nil {
				return err
			}
			list, err := cl.deadletters(c.Context(), lot, all)
			if err != nil {
				return err
			}
			return p.printDeadletters(list)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "the closed ones, too")
	c.Flags().StringVar(&lot, "lot", "", "only the open ones of this lot")
	return c
}

// deadletters reads all pages of the list.
func (c *client) deadletters(ctx context.Context, lot string, all bool) (*api.DeadletterPage, error) {
	query := url.Values{"limit": {"1000"}, "closed": {strconv.FormatBool(all)}}
	if lot != "" {
		key, err := c.resolve(ctx, lot)
		if err != nil {
			return nil, err
		}
		query.Set("lot", string(key))
	}
	list := &api.DeadletterPage{Deadletters: []api.DeadletterLine{}}
	for {
		var page api.DeadletterPage
		if err := c.get(ctx, "/deadletters", query, &page); err != nil {
			return nil, err
		}
		list.Deadletters = append(list.Deadletters, page.Deadletters...)
		if page.Next == 0 {
			return list, nil
		}
		query.Set("after", strconv.FormatInt(page.Next, 10))
	}
}

func (p *program) printDeadletters(list *api.DeadletterPage) error {
	switch p.global.output {
	case formatJSON:
		return p.printJSON(list)
	case formatLines:
		return printLines(p.out, list.Deadletters)
	}
	t := newTable("ID", "STATE", "KEPT", "KEY", "TYPE", "CODE", "CAUSE")
	for i := range list.Deadletters {
		d := &list.Deadletters[i]
		t.add(strconv.FormatInt(d.ID, 10), string(d.State), p.at("UTC")(d.At), dash(d.Key), dash(string(d.EventType)), string(d.Code), plain(d.Cause))
	}
	return t.print(p.out)
}

func (p *program) deadletterShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "show a record that was not applied, whole", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, path, err := p.deadletterClient(args[0])
			if err != nil {
				return err
			}
			var d api.Deadletter
			if err := cl.get(c.Context(), path, nil, &d); err != nil {
				return err
			}
			return p.printDeadletter(&d)
		},
	}
}

func (p *program) deadletterClient(id string) (*client, string, error) {
	path, err := deadletterPath(id)
	if err != nil {
		return nil, "", err
	}
	cl, err := p.client()
	return cl, path, err
}

func (p *program) printDeadletter(d *api.Deadletter) error {
	if p.global.output != formatTable {
		return p.printJSON(d)
	}
	at := p.at(d.Zone)
	var b strings.Builder
	fmt.Fprintf(&b, "Dead letter %d, %s since %s\n", d.ID, d.State, at(d.At))
	t := newTable("  what", fmt.Sprintf("%s (%s)", plain(d.Cause), d.Code))
	t.add("  so", d.Consequence)
	t.add("  next", d.Next)
	t.add("  key", dash(d.Key))
	t.add("  event", dash(strings.TrimSpace(string(d.EventType)+" "+string(d.EventID))))
	if d.Topic != "" {
		t.add("  read at", fmt.Sprintf("%s p%d@%d", d.Topic, d.Partition, d.Offset))
	}
	if d.Principal != "" {
		t.add("  sent by", plain(d.Principal))
	}
	if d.WaitsFor != "" {
		t.add("  waits for", plain(d.WaitsFor))
	}
	if d.ReplacedBy != "" {
		t.add("  replaced by", string(d.ReplacedBy))
	}
	t.add("  attempts", fmt.Sprintf("%d, last %s", d.Attempts, at(d.UpdatedAt)))
	for _, k := range slices.Sorted(maps.Keys(d.Headers)) {
		t.add("  "+plain(k), plain(d.Headers[k]))
	}
	if err := t.print(&b); err != nil {
		return err
	}
	if d.Text != "" {
		fmt.Fprintf(&b, "\n%s\n", plain(d.Text))
	} else {
		fmt.Fprintf(&b, "\n%d bytes: %q\n", len(d.Raw), d.Raw)
	}
	_, err := fmt.Fprint(p.out, b.String())
	return err
}

func (p *program) deadletterFix() *cobra.Command {
	var file, reason string
	c := &cobra.Command{
		Use: "fix ID", Short: "put corrected data in the place of a record; apply it with redrive", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := needReason(reason); err != nil {
				return err
			}
			cl, path, err := p.deadletterClient(args[0])
			if err != nil {
				return err
			}
			var value json.RawMessage
			if file == "" {
				value, err = p.edit(c.Context(), cl, path)
			} else {
				value, err = p.readValue(file)
			}
			if err != nil {
				return err
			}
			var f api.Fixed
			if err := cl.post(c.Context(), path+"/fix", nil, api.FixRequest{Value: value, Reason: reason}, &f); err != nil {
				return err
			}
			if p.global.output != formatTable {
				return p.printJSON(f)
			}
			_, err = fmt.Fprintf(p.out, "dead letter %d takes the place of %d; apply it with: holdfast-cloud deadletter redrive %d --reason ...\n",
				f.ID, f.Replaces, f.ID)
			return err
		},
	}
	c.Flags().StringVar(&file, "file", "", "file with the corrected data (JSON); - reads stdin; empty opens EDITOR")
	c.Flags().StringVar(&reason, "reason", "", "why; required")
	return c
}

// readValue reads the corrected data of an event from a file or stdin.
func (p *program) readValue(file string) (json.RawMessage, error) {
	var b []byte
	var err error
	if file == "-" {
		b, err = io.ReadAll(p.in)
	} else {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, problem.New(problem.Usage, "read corrected data: %w", err)
	}
	return checkValue(b)
}

func checkValue(b []byte) (json.RawMessage, error) {
	if !json.Valid(b) {
		return nil, problem.New(problem.Usage, "the corrected data is not JSON")
	}
	return b, nil
}

func (p *program) deadletterRedrive() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "redrive ID", Short: "apply a record again, with those that wait behind it", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := needReason(reason); err != nil {
				return err
			}
			cl, path, err := p.deadletterClient(args[0])
			if err != nil {
				return err
			}
			var r api.Redriven
			if err := cl.post(c.Context(), path+"/redrive", nil, api.ReasonRequest{Reason: reason}, &r); err != nil {
				return err
			}
			return p.printRedriven(&r)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; required")
	return c
}

func (p *program) printRedriven(r *api.Redriven) error {
	if p.global.output != formatTable {
		if err := p.printJSON(r); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(p.out, "applied %d, %d still wait\n", r.Applied, r.Left); err != nil {
		return err
	}
	if r.Applied == len(r.Results) {
		return nil
	}
	last := r.Results[len(r.Results)-1]
	p.say("dead letter %d: %s (%s)", last.Deadletter, plain(last.Cause), last.Code)
	return cli.ErrPartial
}

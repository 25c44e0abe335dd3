package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
)

func (p *program) deadletterExport() *cobra.Command {
	var all bool
	var lot string
	c := &cobra.Command{
		Use: "export", Short: "write records whole, a JSON object a line; with --all the dropped ones, too", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := p.client()
			if err != nil {
				return err
			}
			list, err := cl.deadletters(c.Context(), lot, all)
			if err != nil {
				return err
			}
			for i := range list.Deadletters {
				var d api.Deadletter
				if err := cl.get(c.Context(), fmt.Sprintf("/deadletters/%d", list.Deadletters[i].ID), nil, &d); err != nil {
					return err
				}
				if err := printLines(p.out, []api.Deadletter{d}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&all, "all", false, "the closed ones, too: applied, replaced, dropped")
	c.Flags().StringVar(&lot, "lot", "", "only the open ones of this lot")
	return c
}

func (p *program) deadletterDrop() *cobra.Command {
	var r api.DropRequest
	var by signing
	c := &cobra.Command{
		Use: "drop ID --signer USER --signer USER", Short: "never apply a record; two persons sign, and the record stays to be shown", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := deadletterPath(args[0])
			if err != nil {
				return err
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
			var d api.Deadletter
			if err := cl.get(c.Context(), path, nil, &d); err != nil {
				return err
			}
			p.say("Dead letter %d, %s: %s (%s)", d.ID, d.State, plain(d.Cause), d.Code)
			if err := p.confirm("Each signer approves that this record is never applied. What waits for it, a release above all, goes on. Drop it?"); err != nil {
				return err
			}
			if r.Signers, err = by.passwords(c.Context(), p); err != nil {
				return err
			}
			var done api.Dropped
			if err := cl.post(c.Context(), path+"/drop", nil, r, &done); err != nil {
				return err
			}
			return p.printDropped(&done)
		},
	}
	c.Flags().StringVar(&r.Reason, "reason", "", "why it is not needed; required")
	by.flags(c, "two at least")
	return c
}

func (p *program) printDropped(d *api.Dropped) error {
	if p.global.output != formatTable {
		return p.printJSON(d)
	}
	if _, err := fmt.Fprintf(p.out, "dropped: dead letter %d   its bytes stay, SHA-256 %s\n", d.ID, d.RawSHA256); err != nil {
		return err
	}
	if err := p.signatures(d.Signatures).print(p.out); err != nil {
		return err
	}
	if len(d.Left) > 0 {
		p.say("%d records of the same key still wait; apply them with: holdfast-cloud deadletter redrive %d --reason ...", len(d.Left), d.Left[0])
	}
	return nil
}

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

func (p *program) rebuildCommand() *cobra.Command {
	var path, keep string
	c := &cobra.Command{
		Use: "rebuild", Short: "build the state anew from the inbox, offline, and compare it with what is stored", Args: exactly(0),
		Long: `Build the state anew from the inbox, in a database of its own, and compare it with what is stored: every lot, hold,
decision and gap follows from the events that were accepted, in their order, or the two differ.

The database must not be in use: stop the cloud, or let the configuration name a copy. No fact in it is changed. With
--keep the rebuilt database stays; dispatch is off there until a person turns it on.`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := cloud.Load(path, p.lookupEnv)
			if err != nil {
				return err
			}
			if _, err := os.Stat(keep); keep != "" && err == nil {
				return problem.New(problem.Usage, "--keep %s exists: name a file that does not", keep)
			}
			r, err := cloud.Rebuild(c.Context(), cfg, keep, telemetry.NewLogger(p.err, telemetry.FormatConsole))
			if err != nil {
				return err
			}
			if err := p.printRebuilt(&r); err != nil || r.Same {
				return err
			}
			return problem.New(problem.StateDiffers, "the stored state has hash %.12s, the one rebuilt from %d events has %.12s", r.Stored, r.Events, r.Rebuilt)
		},
	}
	c.Flags().StringVar(&path, "config", defaultConfig, "configuration file")
	c.Flags().StringVar(&keep, "keep", "", "file to keep the rebuilt database in; empty = it is thrown away")
	return c
}

func (p *program) printRebuilt(r *cloud.Rebuilt) error {
	if p.global.output != formatTable {
		return p.printJSON(r)
	}
	word := "the same as stored"
	if !r.Same {
		word = "NOT what is stored"
	}
	_, err := fmt.Fprintf(p.out, "%d events lead to state %s: %s\n", r.Events, r.Rebuilt, word)
	if r.Kept != "" {
		p.say("the rebuilt database is %s; dispatch is off there", r.Kept)
	}
	return err
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "tell which build this is", Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			v := api.BuildVersion()
			if p.global.output != formatTable {
				return p.printJSON(v)
			}
			commit := v.Commit
			if v.Changed {
				commit += " with changes"
			}
			_, err := fmt.Fprintf(p.out, "holdfast-cloud %s %s %s %s/%s\n", v.Version, commit, v.Go, v.OS, v.Arch)
			return err
		},
	}
}

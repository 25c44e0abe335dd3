package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/pkg/cli"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "tell which build this is", Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			v := cli.BuildVersion()
			if p.global.output != formatTable {
				return p.printJSON(v)
			}
			_, err := fmt.Fprintln(p.out, v.Line("holdfast-cloud"))
			return err
		},
	}
}

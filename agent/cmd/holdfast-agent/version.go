package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/pkg/cli"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "tell which build this is", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := cli.BuildVersion()
			if p.global.output == formatJSON {
				return json.NewEncoder(p.out).Encode(v)
			}
			_, err := fmt.Fprintln(p.out, v.Line("holdfast-agent"))
			return err
		},
	}
}

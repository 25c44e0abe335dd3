package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "tell which build this is", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := agent.BuildVersion()
			if p.global.output == formatJSON {
				return json.NewEncoder(p.out).Encode(v)
			}
			commit := v.Commit
			if v.Changed {
				commit += " with changes"
			}
			_, err := fmt.Fprintf(p.out, "holdfast-agent %s %s %s %s/%s\n", v.Version, commit, v.Go, v.OS, v.Arch)
			return err
		},
	}
}

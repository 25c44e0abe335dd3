package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain [CODE]", Short: "say what a code such as E-2101 means, what follows, and what to do; without one: all codes",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return problem.New(problem.Usage, "want one code, or none")
			}
			return nil
		},
		ValidArgsFunction: completeCodes,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return p.explainAll()
			}
			page, err := cli.ParseCode(args[0])
			if err != nil {
				return err
			}
			if p.global.output == formatJSON {
				return p.writeJSON(page)
			}
			return p.write(page.Text())
		},
	}
}

func (p *program) explainAll() error {
	if p.global.output == formatJSON {
		return p.writeJSON(cli.Pages())
	}
	w := new(strings.Builder)
	rows := [][]cell{cells("CODE", "MEANS", "AREA")}
	for _, page := range cli.Pages() {
		rows = append(rows, cells(string(page.Code), page.Title, page.Area))
	}
	p.table(w, rows)
	return p.write(w.String())
}

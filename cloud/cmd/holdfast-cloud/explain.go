package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain [CODE]", Short: "say what a code such as E-7101 means, what follows, and what to do; without one: all codes",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return problem.New(problem.Usage, "want one code, or none")
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var codes []string
			for _, page := range cli.Pages() {
				if len(args) == 0 {
					codes = append(codes, string(page.Code)+"\t"+page.Title)
				}
			}
			return codes, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return p.explainAll()
			}
			page, err := cli.ParseCode(args[0])
			if err != nil {
				return err
			}
			if p.global.output != formatTable {
				return p.printJSON(page)
			}
			_, err = io.WriteString(p.out, page.Text())
			return err
		},
	}
}

func (p *program) explainAll() error {
	switch p.global.output {
	case formatJSON:
		return p.printJSON(cli.Pages())
	case formatLines:
		return printLines(p.out, cli.Pages())
	}
	t := newTable("CODE", "MEANS", "AREA")
	for _, page := range cli.Pages() {
		t.add(string(page.Code), page.Title, page.Area)
	}
	return t.print(p.out)
}

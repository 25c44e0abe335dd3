package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// program is what the commands see of the world.
type program struct {
	in        io.Reader
	out, err  io.Writer
	lookupEnv func(string) (string, bool)
	now       func() time.Time
	global    global
}

// global are the flags of every command.
type global struct {
	url, tokenFile string
	output         string
	noColor, utc   bool
	quiet, yes     bool
	timeout        time.Duration
}

func now() time.Time { return failpoint.Now() }

// main runs one command line and returns the exit code.
func (p *program) main(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	err := root.ExecuteContext(ctx)
	if err != nil {
		cli.Explain(p.err, err)
	}
	return cli.ExitOf(err)
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use: "holdfast-cloud", Short: "the cloud side of Holdfast: intake, workflow, ERP and QMS, ledger, API",
		SilenceUsage: true, SilenceErrors: true, Args: cobra.ArbitraryArgs, RunE: needVerb,
		PersistentPreRunE: func(*cobra.Command, []string) error { return p.checkGlobal() },
	}
	f := root.PersistentFlags()
	f.StringVar(&p.global.url, "url", "", "address of the API, such as http://127.0.0.1:7490 (HOLDFAST_URL)")
	f.StringVar(&p.global.tokenFile, "token-file", "", "file with your token, mode 0600 (HOLDFAST_TOKEN_FILE)")
	f.StringVarP(&p.global.output, "output", "o", formatTable, "table, json or jsonl")
	f.BoolVar(&p.global.noColor, "no-color", false, "no colour (NO_COLOR)")
	f.BoolVar(&p.global.utc, "utc", false, "times in UTC rather than in the plant's time zone")
	f.BoolVarP(&p.global.quiet, "quiet", "q", false, "no prose on stderr")
	f.BoolVarP(&p.global.yes, "yes", "y", false, "do not ask")
	f.DurationVar(&p.global.timeout, "timeout", 10*time.Second, "how long to wait for an answer")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return problem.New(problem.Usage, "%w", err) })
	root.AddCommand(p.runCommand(), p.checkConfigCommand(), p.lotsCommand(), p.coverageCommand(), p.traceCommand(), p.agentsCommand(), p.systemsCommand(), p.statusCommand(), p.rebuildCommand(),
		p.deadletterCommand(), p.userCommand(), p.ledgerCommand(), p.explainCommand(), p.versionCommand())
	return root
}

// Output formats.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatLines = "jsonl"
)

func (p *program) checkGlobal() error {
	switch p.global.output {
	case formatTable, formatJSON, formatLines:
		return nil
	}
	return problem.New(problem.Usage, "output %q: want table, json or jsonl", p.global.output)
}

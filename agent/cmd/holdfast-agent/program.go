package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// program is what the commands see of the world.
type program struct {
	in        io.Reader
	out, err  io.Writer
	lookupEnv func(string) (string, bool)
	now       func() time.Time
	examine   func(ctx context.Context, cfg *agent.Config, only []string, report func(agent.Finding))
	global    global
}

// global are the flags of every command.
type global struct {
	config, socket string
	output         string
	noColor, utc   bool
	quiet, yes     bool
	timeout        time.Duration
}

// Output formats.
const (
	formatTable = "table"
	formatJSON  = "json"
)

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
		Use: "holdfast-agent", Short: "the plant side of Holdfast: sources, mapping, queue on disk, uplink to Kafka",
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return p.checkGlobal() },
	}
	f := root.PersistentFlags()
	f.StringVar(&p.global.config, "config", p.defaultConfig(), "configuration file")
	f.StringVar(&p.global.socket, "socket", "", "local socket of the running agent; empty: the one in the configuration's data directory")
	f.StringVarP(&p.global.output, "output", "o", formatTable, "table or json")
	f.BoolVar(&p.global.noColor, "no-color", false, "no colour (NO_COLOR)")
	f.BoolVar(&p.global.utc, "utc", false, "times in UTC rather than in this host's time zone")
	f.BoolVarP(&p.global.quiet, "quiet", "q", false, "no prose on stderr")
	f.BoolVarP(&p.global.yes, "yes", "y", false, "do not ask")
	f.DurationVar(&p.global.timeout, "timeout", 10*time.Second, "how long to wait for an answer")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return problem.New(problem.Usage, "%w", err) })
	root.AddCommand(p.runCommand(), p.checkConfigCommand(), p.statusCommand(), p.reloadCommand(), p.lotCommand(), p.queueCommand(), p.tapCommand(), p.certCommand(), p.doctorCommand(), p.explainCommand(), p.versionCommand())
	root.AddCommand(p.checkFileCommands()...)
	completeFlags(root)
	return root
}

// defaultConfig is the file in the service's configuration directory, else the one in the current directory.
func (p *program) defaultConfig() string {
	const name = "agent.yaml"
	if dir, ok := p.lookupEnv("CONFIGURATION_DIRECTORY"); ok && dir != "" {
		if path := filepath.Join(dir, name); isFile(path) {
			return path
		}
	}
	return name
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

func (p *program) checkGlobal() error {
	switch p.global.output {
	case formatTable, formatJSON:
		return nil
	}
	return problem.New(problem.Usage, "output %q: want table or json", p.global.output)
}

// say writes a line of prose to stderr, unless the caller wants none.
func (p *program) say(format string, args ...any) {
	if !p.global.quiet {
		_, _ = fmt.Fprintf(p.err, format+"\n", args...)
	}
}

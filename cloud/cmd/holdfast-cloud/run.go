package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

const defaultConfig = "cloud.yaml"

func (p *program) runCommand() *cobra.Command {
	var path, format string
	c := &cobra.Command{
		Use: "run", Short: "work until SIGTERM", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if format != telemetry.FormatJSON && format != telemetry.FormatConsole {
				return problem.New(problem.Usage, "log format %q: want json or console", format)
			}
			cfg, err := cloud.Load(path, p.lookupEnv)
			if err != nil {
				return err
			}
			running := cloud.New(cfg, telemetry.NewLogger(p.err, format))
			running.Notifier = telemetry.NewNotifier(p.lookupEnv)
			return running.Run(c.Context())
		},
	}
	c.Flags().StringVar(&path, "config", defaultConfig, "configuration file")
	c.Flags().StringVar(&format, "log-format", telemetry.FormatJSON, "json or console")
	return c
}

func (p *program) checkConfigCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "check-config", Short: "check the configuration, all of it at once", Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			if _, err := cloud.Load(path, p.lookupEnv); err != nil {
				return err
			}
			p.say("%s is valid", path)
			return nil
		},
	}
	c.Flags().StringVar(&path, "config", defaultConfig, "configuration file")
	return c
}

// say writes a line of prose to stderr, unless the caller wants none.
func (p *program) say(format string, args ...any) {
	if !p.global.quiet {
		fmt.Fprintf(p.err, format+"\n", args...)
	}
}

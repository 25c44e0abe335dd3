package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent"
	"github.com/holdfast-mesh/holdfast/agent/downlink"
	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

func (p *program) runCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "run", Short: "read, store and send until SIGTERM; SIGHUP has the configuration taken anew", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if format != telemetry.FormatJSON && format != telemetry.FormatConsole {
				return problem.New(problem.Usage, "log format %q: want json or console", format)
			}
			hangups := make(chan os.Signal, 1) // of several that come at once one is enough
			signal.Notify(hangups, syscall.SIGHUP)
			defer signal.Stop(hangups)
			cfg, mapper, err := agent.Load(p.global.config, p.lookupEnv)
			if err != nil {
				return err
			}
			logger := telemetry.NewLogger(p.err, format)
			// The OPC UA library writes to the standard logger. Its lines belong into the one log there is.
			log.SetFlags(0)
			log.SetOutput(logger)
			a := agent.New(cfg, mapper, logger)
			a.Notifier = telemetry.NewNotifier(p.lookupEnv)
			a.File, a.LookupEnv, a.Hangups = p.global.config, p.lookupEnv, hangups
			return a.Run(c.Context())
		},
	}
	c.Flags().StringVar(&format, "log-format", telemetry.FormatJSON, "json or console")
	return c
}

// checked is what check-config says of a good configuration.
type checked struct {
	File     string `json:"file"`
	Sources  int    `json:"sources"`
	Mappings int    `json:"mappings"`
	Samples  int    `json:"samples"` // run, each with the result that it states
}

func (p *program) checkConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check-config", Short: "check the configuration, all of it at once, with the secrets and certificates that it names, and run the mappings' samples", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := agent.Check(p.global.config, p.lookupEnv)
			if err != nil {
				return err
			}
			result := checked{File: p.global.config, Sources: len(cfg.Sources), Mappings: len(cfg.Mappings)}
			for _, m := range cfg.Mappings {
				result.Samples += len(m.Samples)
			}
			if p.global.output == formatJSON {
				return json.NewEncoder(p.out).Encode(result)
			}
			_, err = fmt.Fprintf(p.out, "ok   %s   sources %d   mappings %d   samples run %d\n", result.File, result.Sources, result.Mappings, result.Samples)
			return err
		},
	}
}

// checkSegmentCommand is what the agent runs as a child process on each queue file before it opens it.
// checkFileCommands are what the agent runs itself by, to check a file in a process of its own.
func (p *program) checkFileCommands() []*cobra.Command {
	var all []*cobra.Command
	for name, check := range map[string]func(string) error{agent.CommandCheckSegment: queue.CheckSegment, agent.CommandCheckDownlink: downlink.CheckFile} {
		all = append(all, &cobra.Command{
			Use: name + " PATH", Short: "tell whether a file of the agent is sound", Hidden: true,
			RunE: func(_ *cobra.Command, args []string) error {
				if len(args) != 1 {
					return problem.New(problem.Usage, "%s takes one path", name)
				}
				return check(args[0])
			},
		})
	}
	return all
}

package main

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// needReason refuses an act without a reason before anything is sent.
func needReason(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return problem.New(problem.ReasonNeeded, "no reason: give --reason")
	}
	return nil
}

// confirm asks a person on a terminal. A script has said what it wants by calling.
func (p *program) confirm(question string) error {
	if p.global.yes || !cli.IsTerminal(p.in) {
		return nil
	}
	fmt.Fprintf(p.err, "%s [y/N] ", question)
	line, err := bufio.NewReader(p.in).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); err == nil && (answer == "y" || answer == "yes") {
		return nil
	}
	return problem.New(problem.Usage, "nothing was changed: not confirmed")
}

// exactly wants n arguments.
func exactly(n int) cobra.PositionalArgs { return between(n, n) }

// between wants low to high arguments.
func between(low, high int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < low || len(args) > high {
			return problem.New(problem.Usage, "%d arguments: want %s", len(args), c.UseLine())
		}
		return nil
	}
}

// needVerb refuses a command that only groups others.
func needVerb(c *cobra.Command, args []string) error {
	var verbs []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			verbs = append(verbs, sub.Name())
		}
	}
	if len(args) > 0 {
		return problem.New(problem.Usage, "%s has no command %q: want one of %s", c.CommandPath(), args[0], strings.Join(verbs, ", "))
	}
	return problem.New(problem.Usage, "%s wants a command: %s", c.CommandPath(), strings.Join(verbs, ", "))
}

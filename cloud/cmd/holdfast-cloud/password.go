package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// password reads a password from a file, or asks a person for it. An argument would stand in the list of processes.
func (p *program) password(ctx context.Context, what, file string) (string, error) {
	if file != "" {
		secret, err := config.ReadSecret(file)
		return secret.Reveal(), err
	}
	in, ok := p.in.(*os.File)
	if !ok || !cli.IsTerminal(in) {
		return "", problem.New(problem.Usage, "no terminal to ask for the %s: name a file with it", what)
	}
	restore, err := hideInput(in)
	if err != nil {
		return "", problem.New(problem.Usage, "hide what is typed: %w", err)
	}
	defer func() {
		restore()
		_, _ = fmt.Fprintln(p.err) // the line break that was typed was hidden, too
	}()
	_, _ = fmt.Fprintf(p.err, "%s: ", what)
	line := make(chan string, 1)
	go func() { // a read of a terminal cannot be ended; after an interrupt the process ends it
		text, err := bufio.NewReader(in).ReadString('\n')
		if err != nil {
			text = ""
		}
		line <- text
	}()
	select {
	case <-ctx.Done():
		return "", problem.New(problem.Usage, "nothing was done: interrupted")
	case text := <-line:
		if text = strings.TrimRight(text, "\r\n"); text == "" {
			return "", problem.New(problem.Usage, "no %s was typed", what)
		}
		return text, nil
	}
}

// newPassword reads a new password; a person types it twice.
func (p *program) newPassword(ctx context.Context, user, file string) (string, error) {
	first, err := p.password(ctx, "new password of "+user, file)
	if err != nil || file != "" {
		return first, err
	}
	second, err := p.password(ctx, "the same once more", "")
	if err == nil && first != second {
		err = problem.New(problem.Usage, "the two passwords differ")
	}
	return first, err
}

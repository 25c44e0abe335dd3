package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// edit lets a person correct the data of a record in their editor.
func (p *program) edit(ctx context.Context, cl *client, path string) (value json.RawMessage, err error) {
	editor, _ := p.lookupEnv("EDITOR")
	if editor == "" || !cli.IsTerminal(p.in) {
		return nil, problem.New(problem.Usage, "fix wants the corrected data: give --file, or set EDITOR on a terminal")
	}
	var d api.Deadletter
	if err := cl.get(ctx, path, nil, &d); err != nil {
		return nil, err
	}
	before := d.Raw
	var pretty bytes.Buffer
	if json.Indent(&pretty, d.Raw, "", "  ") == nil {
		before = append(pretty.Bytes(), '\n')
	}
	file, err := os.CreateTemp("", "deadletter-*.json") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("make file to edit: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	_, werr := file.Write(before)
	if err := errors.Join(werr, file.Close()); err != nil {
		return nil, fmt.Errorf("write file to edit: %w", err)
	}
	words := append(strings.Fields(editor), file.Name())
	run := exec.CommandContext(ctx, words[0], words[1:]...)
	run.Stdin, run.Stdout, run.Stderr = p.in, p.out, p.err
	if err := run.Run(); err != nil {
		return nil, fmt.Errorf("editor %s: %w", words[0], err)
	}
	after, err := os.ReadFile(file.Name())
	if err != nil {
		return nil, fmt.Errorf("read edited file: %w", err)
	}
	if bytes.Equal(before, after) {
		return nil, problem.New(problem.Usage, "nothing was edited")
	}
	return checkValue(after)
}

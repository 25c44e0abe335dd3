package stack

import (
	"context"
	"fmt"
	"os"
)

// WithPrograms builds agent, cloud and the other main packages named into a directory of its own, calls run with it, and
// removes it. It returns what run returns, the exit code of a TestMain, or 1 where nothing could be built.
func WithPrograms(run func(bin string) int, others ...string) int {
	dir, err := os.MkdirTemp("", "hf-") // short: sockets may stand below it
	if err != nil {
		return complain(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := Build(context.Background(), dir, others...); err != nil {
		return complain(err)
	}
	return run(dir)
}

// complain says on stderr why nothing was run.
func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// Command holdfast-agent runs the plant side of Holdfast, and is the command line to a running one.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/holdfast-mesh/holdfast/agent"
)

func main() {
	// A second signal ends the process at once: the first one has put the default back.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	p := program{in: os.Stdin, out: os.Stdout, err: os.Stderr, lookupEnv: os.LookupEnv, now: time.Now, examine: agent.Examine}
	os.Exit(p.main(ctx, os.Args[1:]))
}

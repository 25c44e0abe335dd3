// Command holdfast-demo runs five plants, their cloud and their business systems on one machine: agents and cloud are the
// real programs from beside this one; brokers, machines, Kafka and the business systems are simulated, in processes of
// their own. Parts fail, links break and programs die at the press of a key.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// commit is set by the build.
var commit = "unknown"

func main() {
	// A child may be told to die with the thread that started it, so all are started from the main thread.
	runtime.LockOSThread()
	began := time.Now()
	log.SetOutput(io.Discard) // the library of the press lines' servers writes there what it does
	ctx, hurry, stop := untilSignal()
	defer stop()
	if err := root(began, hurry).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "holdfast-demo:", err)
		os.Exit(exitOf(err))
	}
}

// untilSignal returns a context that ends with the first signal, and a channel that is closed with the second: who sends
// one does not want to wait for a good end.
func untilSignal() (ctx context.Context, hurry <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	// A link that breaks is what we are here for; a terminal that is gone shows in what is written to it.
	signal.Ignore(syscall.SIGPIPE)
	signals, second := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, endSignals()...)
	go func() { // ends with the process
		<-signals
		cancel()
		<-signals
		close(second)
	}()
	return ctx, second, cancel
}

// usageError is a command line that cannot be meant.
type usageError struct{ error }

func exitOf(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

func root(began time.Time, hurry <-chan struct{}) *cobra.Command {
	root := &cobra.Command{
		Use: "holdfast-demo", Short: "five plants, a cloud and their systems on this machine: fail a part and watch its batch",
		SilenceUsage: true, SilenceErrors: true, Version: commit,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	run := runCommand(began, hurry)
	root.AddCommand(run, checkCommand(), kafkaRole(), systemsRole(), plantRole())
	root.RunE, root.Args = run.RunE, cobra.NoArgs
	root.Flags().AddFlagSet(run.Flags())
	return root
}

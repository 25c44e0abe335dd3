// Package cli is what the command lines of the two programs have in common, so that a script that knows one knows
// the other: exit codes, the words for an error, and which build it is.
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Exit codes. A service's unit does not start its program again after 2, 3 and 4.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitConfig      = 3
	ExitRefused     = 4 // by a guard: authority, a newer format, an exposed secret
	ExitPartial     = 5 // what was not done stands on stdout
	ExitUnreachable = 6 // agent or API
)

// ErrPartial is in the error of a command that did a part of its work.
var ErrPartial = errors.New("not everything was done")

// ExitOf returns the exit code of an error; nil gives [ExitOK].
func ExitOf(err error) int {
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, ErrPartial):
		return ExitPartial
	}
	if _, ok := errors.AsType[config.Errors](err); ok {
		return ExitConfig
	}
	switch code := codeOf(err); {
	case code == problem.Usage, code == problem.ReasonNeeded:
		return ExitUsage
	case code == problem.APIUnreachable:
		return ExitUnreachable
	case code == problem.LedgerUnanchored:
		return ExitPartial
	case code == problem.ObjectHidden:
		return ExitFailed
	case code == problem.QueueVersion, code == problem.ConfigSecret, code == problem.RuleRefused, strings.HasPrefix(string(code), "E-8"):
		return ExitRefused
	case strings.HasPrefix(string(code), "E-1"):
		return ExitConfig
	}
	return ExitFailed
}

// codeOf returns the code of an error. The command line parser has no code for a command that does not exist.
func codeOf(err error) problem.Code {
	code := problem.CodeOf(err)
	if code == problem.Internal && strings.HasPrefix(err.Error(), "unknown command") {
		return problem.Usage
	}
	return code
}

// Explain tells on w what went wrong, what follows, and what to do next. The findings of a configuration stand one on a
// line, with their places.
func Explain(w io.Writer, err error) {
	if list, ok := errors.AsType[config.Errors](err); ok {
		_, _ = fmt.Fprintln(w, list.Error())
		return
	}
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok && errors.Is(err, ErrPartial) {
		_, _ = fmt.Fprintln(w, err) // the command has said what it did
		return
	}
	if !ok {
		p = problem.New(codeOf(err), "%w", err)
		err = p
	}
	// With what the layers above the problem knew.
	_, _ = fmt.Fprintf(w, "%v\n  so:   %s\n  next: %s\n", err, p.Consequence, p.Next)
}

// IsTerminal tells whether v is a terminal: a person reads it as it is written, or types it. The null device is a
// character device, too.
func IsTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

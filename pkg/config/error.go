package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Place is where a value stands. Line and Column count from 1; both are 0 where File names a variable of the
// environment instead of a file.
type Place struct {
	File         string
	Line, Column int
}

// String returns file:line:column, or the file alone where there is no line.
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Error is one finding in a configuration.
type Error struct {
	Place
	Path    string // YAML path, such as sources[0].mqtt.broker; empty for the file as a whole
	Problem *problem.Problem
}

// Error returns place, cause and code on one line.
func (e *Error) Error() string {
	return fmt.Sprintf("%s   %s   (%s)", e.Place, e.Problem.Cause, e.Problem.Code)
}

// Unwrap returns the problem.
func (e *Error) Unwrap() error { return e.Problem }

// Errors are all findings of one load, sorted by place. It is never empty where an error is returned.
type Errors []*Error

// Error returns one line per finding.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the findings, so that errors.As finds the first problem.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// sorted returns the findings by place, those of the main file first.
func (e Errors) sorted(main string) Errors {
	rank := func(one *Error) int {
		if one.File == main {
			return 0
		}
		return 1
	}
	out := slices.Clone(e)
	slices.SortStableFunc(out, func(a, b *Error) int {
		return cmp.Or(
			cmp.Compare(rank(a), rank(b)),
			strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
	return out
}

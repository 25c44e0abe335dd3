// Package problem is how an error reaches a person: what happened, what follows from it, what to do next, and a
// code that stays the same over releases.
//
// A code is only ever added, never reused. Each code has a page in the catalogue; [New] and [Wrap] take the
// consequence and the next step from there, so that the same fault reads the same in CLI, API, log and page.
package problem

import (
	"errors"
	"fmt"
)

// Code names one kind of problem, written E-nnnn. The thousands digit is the area: 1 configuration, mapping and
// usage; 2 links, TLS and certificates; 3 the host (clock, disk, memory); 4 sources; 5 queue, epoch and salvage;
// 6 events, schema and quarantine; 7 effects and connectors; 8 identity and policy; 9 internal.
type Code string

// Page explains a code. No field is empty.
type Page struct {
	Title       string // what the code names, a few words
	Consequence string // what follows for plant, lot or user while it lasts
	Next        string // what a person does about it
}

// Problem is an error that a person reads. Its cause stands in the wrapped error.
type Problem struct {
	Code        Code
	Cause       string // one sentence without a full stop, naming the subject
	Consequence string
	Next        string
	Err         error // what caused it; nil if the cause says all
}

// New returns a problem whose cause is formatted like [fmt.Sprintf]. Consequence and next step come from the
// catalogue. A %w verb in format makes its operand the wrapped error.
func New(code Code, format string, args ...any) *Problem {
	page := Explain(code)
	err := fmt.Errorf(format, args...)
	return &Problem{Code: code, Cause: err.Error(), Consequence: page.Consequence, Next: page.Next, Err: errors.Unwrap(err)}
}

// Wrap returns err as a problem under code, its text kept as the cause. A nil err gives nil.
func Wrap(code Code, err error) error {
	if err == nil {
		return nil
	}
	page := Explain(code)
	return &Problem{Code: code, Cause: err.Error(), Consequence: page.Consequence, Next: page.Next, Err: err}
}

// Error returns cause and code; [Problem.Explain] has the rest.
func (p *Problem) Error() string { return fmt.Sprintf("%s (%s)", p.Cause, p.Code) }

// Unwrap returns the wrapped error.
func (p *Problem) Unwrap() error { return p.Err }

// Explain returns the three sentences that a person reads, one a line.
func (p *Problem) Explain() string {
	return fmt.Sprintf("%s (%s)\n  so:   %s\n  next: %s", p.Cause, p.Code, p.Consequence, p.Next)
}

// CodeOf returns the code of the first problem in err's chain, or [Internal] where there is none.
func CodeOf(err error) Code {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Code
	}
	return Internal
}

// Explain returns the page of code, or that of [Internal] for a code that does not exist.
func Explain(code Code) Page {
	if page, ok := catalogue[code]; ok {
		return page
	}
	return catalogue[Internal]
}

// Codes returns every code of the catalogue, in no order.
func Codes() []Code {
	codes := make([]Code, 0, len(catalogue))
	for code := range catalogue {
		codes = append(codes, code)
	}
	return codes
}

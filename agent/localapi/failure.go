package localapi

import (
	"errors"
	"net/http"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Failure is an answer that is no success: RFC 9457 problem details with the code that stays the same over releases.
type Failure struct {
	Title       string       `json:"title"`
	Status      int          `json:"status"`
	Detail      string       `json:"detail"`
	Code        problem.Code `json:"code"`
	Consequence string       `json:"consequence"`
	Next        string       `json:"next"`
	Findings    []Finding    `json:"findings,omitempty"` // in a configuration; detail has all of them
}

// Finding is one thing that is wrong with a configuration.
type Finding struct {
	File   string       `json:"file"`
	Line   int          `json:"line,omitempty"` // from 1; absent: the file is a variable of the environment
	Column int          `json:"column,omitempty"`
	Path   string       `json:"path,omitempty"` // YAML path; absent: the file as a whole
	Code   problem.Code `json:"code"`
	Detail string       `json:"detail"`
}

// newFailure shows an error. The socket is the owner's alone, so it may say all.
func newFailure(err error) *Failure {
	code := problem.CodeOf(err)
	page := problem.Explain(code)
	f := &Failure{
		Title: page.Title, Status: http.StatusInternalServerError, Code: code, Consequence: page.Consequence, Next: page.Next,
		Detail: strings.TrimSuffix(err.Error(), " ("+string(code)+")"),
	}
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		f.Consequence, f.Next = p.Consequence, p.Next
	}
	if found, ok := errors.AsType[config.Errors](err); ok {
		f.Status = http.StatusUnprocessableEntity
		for _, e := range found {
			f.Findings = append(f.Findings, Finding{e.File, e.Line, e.Column, e.Path, e.Problem.Code, e.Problem.Cause})
		}
	}
	switch code {
	case problem.Usage, problem.ReasonNeeded:
		f.Status = http.StatusUnprocessableEntity
	case problem.RuleRefused:
		f.Status = http.StatusConflict
	case problem.RoleRefused:
		f.Status = http.StatusForbidden
	}
	return f
}

// problem is the error that the agent met, at the caller.
func (f *Failure) problem() error {
	if len(f.Findings) == 0 {
		return &problem.Problem{Code: f.Code, Cause: f.Detail, Consequence: f.Consequence, Next: f.Next}
	}
	all := make(config.Errors, len(f.Findings))
	for i, x := range f.Findings {
		p := problem.New(x.Code, "%s", x.Detail)
		all[i] = &config.Error{Place: config.Place{File: x.File, Line: x.Line, Column: x.Column}, Path: x.Path, Problem: p}
	}
	return all
}

package localapi

import (
	"errors"
	"net/http"
	"strings"

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
	return &problem.Problem{Code: f.Code, Cause: f.Detail, Consequence: f.Consequence, Next: f.Next}
}

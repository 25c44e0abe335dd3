package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Failure is the body of every answer that is no success: RFC 9457 problem details with the code that stays the same
// over releases, what follows, and what to do next.
type Failure struct {
	Title       string       `json:"title" doc:"what the code names"`
	Status      int          `json:"status" doc:"HTTP status"`
	Detail      string       `json:"detail" doc:"what happened"`
	Code        problem.Code `json:"code" doc:"E-nnnn"`
	Consequence string       `json:"consequence" doc:"what follows"`
	Next        string       `json:"next" doc:"what to do about it"`
}

// Error returns detail and code.
func (f *Failure) Error() string { return f.Detail + " (" + string(f.Code) + ")" }

// GetStatus returns the HTTP status.
func (f *Failure) GetStatus() int { return f.Status }

// ContentType returns application/problem+json.
func (f *Failure) ContentType(string) string { return "application/problem+json" }

var _ huma.StatusError = (*Failure)(nil)

// statuses are the HTTP statuses of the codes that handlers return; any other one is a fault of ours.
var statuses = map[problem.Code]int{
	problem.TokenRefused: http.StatusUnauthorized,
	problem.RoleRefused:  http.StatusForbidden,
	problem.ObjectHidden: http.StatusNotFound,
	problem.ReasonNeeded: http.StatusUnprocessableEntity,
	problem.EventInvalid: http.StatusUnprocessableEntity,
	problem.Usage:        http.StatusUnprocessableEntity,
	problem.StateMoved:   http.StatusPreconditionFailed,

	problem.PasswordRefused:  http.StatusUnauthorized,
	problem.UserLocked:       http.StatusUnauthorized,
	problem.SignatureRefused: http.StatusForbidden,
	problem.SignerRepeated:   http.StatusConflict,

	problem.RuleRefused:   http.StatusConflict,
	problem.EventConflict: http.StatusConflict,
	problem.EventWaiting:  http.StatusConflict,
	problem.EventPoison:   http.StatusConflict,
	problem.EventParked:   http.StatusConflict,
	problem.EventLate:     http.StatusConflict,
}

// fail makes an answer of an error. What is no problem is a fault of ours: the caller learns no more than that, the log
// has the rest.
func (s *server) fail(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		err = problem.New(problem.ObjectHidden, "there is no such object")
	}
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok || statuses[p.Code] == 0 {
		s.log.Error().Err(err).Msg("request not answered")
		p = problem.New(problem.Internal, "the request could not be answered")
	}
	status := statuses[p.Code]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	return failure(status, p)
}

func failure(status int, p *problem.Problem) *Failure {
	return &Failure{
		Title: problem.Explain(p.Code).Title, Status: status, Detail: p.Cause, Code: p.Code, Consequence: p.Consequence, Next: p.Next,
	}
}

// write answers from a middleware.
func (s *server) write(ctx huma.Context, status int, err error) {
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok {
		p = problem.New(problem.Internal, "%w", err)
	}
	ctx.SetHeader("Content-Type", "application/problem+json")
	ctx.SetStatus(status)
	_ = s.api.Marshal(ctx.BodyWriter(), "application/json", failure(status, p)) // the caller may have gone
}

// translate gives the framework's own errors, such as those of validation, the form of a [Failure].
func translate(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	details := []string{m.Detail}
	for _, d := range m.Errors {
		text := d.Message
		if d.Location != "" {
			text = d.Location + ": " + text
		}
		details = append(details, text) // never the value: it may be large, or not for the log of a proxy
	}
	code := problem.Usage
	if m.Status >= http.StatusInternalServerError {
		code, details = problem.Internal, details[:1]
	}
	details = slices.DeleteFunc(details, func(s string) bool { return s == "" })
	return failure(m.Status, problem.New(code, "%s", strings.Join(details, "; "))), nil
}

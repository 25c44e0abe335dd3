package api

import (
	"context"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// guard refuses what no operation takes, before anything is read of it: a body over the limit, or one that is not JSON.
func (s *server) guard(ctx huma.Context, next func(huma.Context)) {
	ctx.SetHeader("Cache-Control", "no-store")
	ctx.SetHeader("X-Content-Type-Options", "nosniff")
	r, _ := humago.Unwrap(ctx)
	switch {
	case r.ContentLength > maxBody:
		s.write(ctx, http.StatusRequestEntityTooLarge, problem.New(problem.Usage, "the body has %d bytes: want at most %d", r.ContentLength, maxBody))
		return
	case r.Method == http.MethodPost && r.ContentLength != 0 && !isJSON(ctx.Header("Content-Type")):
		s.write(ctx, http.StatusUnsupportedMediaType, problem.New(problem.Usage, "content type %q: want application/json", ctx.Header("Content-Type")))
		return
	}
	next(ctx)
}

func isJSON(contentType string) bool {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "application/json" {
		return false
	}
	charset, ok := params["charset"]
	return !ok || strings.EqualFold(charset, "utf-8")
}

// record enters an attempt that was refused into the ledger: once a minute for the same caller, act and object, so that
// a loop of attempts does not fill it.
func (s *server) record(ctx context.Context, c *Caller, act, about, why string) {
	now := s.cfg.Now()
	data := &event.ActRecorded{Act: event.Name(act), Principal: event.Name(c.Principal), About: about, Reason: why}
	data.Provenance.Source, data.Provenance.Transport = "api", "api"
	e := &event.Event{
		ID:     event.NaturalID("", "api", []string{c.Principal, act, about, event.At(now.Truncate(time.Minute)).String()}, data.Type(), 0),
		Source: "/api", Time: now, Recorded: now, Data: data,
	}
	results, err := s.engine.Apply(ctx, []workflow.Input{{Event: e, Principal: c.Principal, Reason: why}}, nil)
	if err == nil {
		err = results[0].Cause
	}
	if err != nil {
		s.log.Warn().Err(err).Msg("attempt was not entered into the ledger")
	}
}

package localapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// Agent is what the socket shows and does. Its methods may be called from several goroutines.
type Agent interface {
	Status() Status
	Queue() Queue
	// Lot tells whether the lot with this key, or this number, may move.
	Lot(ctx context.Context, name string) (Lot, error)
	// Lots tells the same of up to [MaxLots] lots that follow after.
	Lots(ctx context.Context, after string) (Lots, error)
	// Reload reads the configuration again, and replaces the one in force whole, or not at all: then the error says why. It
	// is recorded for good before anything changes. The order has been checked.
	Reload(ctx context.Context, principal string, order Reload) (Reloaded, error)
	// PlanReplay tells what Replay would send, and changes nothing. The order has been checked.
	PlanReplay(ctx context.Context, order Replay) (Plan, error)
	// Replay records the act for good, then sends. It calls progress on its own goroutine, and returns after the last
	// record is confirmed, or with what was sent until an error. The order has been checked.
	Replay(ctx context.Context, act Act, progress func(Progress)) (Progress, error)
	// Tap shows events as they become durable, until ctx ends or show returns an error. It calls show from one goroutine
	// at a time, and holds nothing up that show is slow with. The order has been checked.
	Tap(ctx context.Context, tap Tap, show func(Tapped) error) error
}

const (
	maxRequest = 64 << 10
	// reloadLimit bounds a reload: samples run, and each source that is stopped has some seconds.
	reloadLimit = 2 * time.Minute
	// lineLimit is how long a caller may take to read one line of a replay.
	lineLimit = 30 * time.Second
	// lineEvery is how often progress is told: often enough for a person.
	lineEvery = 500 * time.Millisecond
)

// Serve answers on a listener of [Listen] until ctx ends, which also ends what requests have begun. It returns when all
// of them are answered or cut.
func Serve(ctx context.Context, l net.Listener, agent Agent, log zerolog.Logger) error {
	h := &handler{agent: agent, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, agent.Status()) })
	mux.HandleFunc("GET /v1/queue", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, agent.Queue()) })
	mux.HandleFunc("GET /v1/lot", h.lot)
	mux.HandleFunc("GET /v1/lots", h.lots)
	mux.HandleFunc("GET /v1/tap", h.tap)
	mux.HandleFunc("POST /v1/reload", h.reload)
	mux.HandleFunc("POST /v1/queue/replay", h.replay)
	server := telemetry.NewServer(h.identify(mux), log)
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		name, err := principal(c)
		return context.WithValue(ctx, callerKey{}, caller{name, err})
	}
	return telemetry.Serve(ctx, l, server)
}

type handler struct {
	agent Agent
	log   zerolog.Logger
}

type callerKey struct{}

// caller is who is at the other end of a connection.
type caller struct {
	name string
	err  error
}

// identify refuses a caller whom the system doesn't name, or who is neither the agent's user nor root.
func (h *handler) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(callerKey{}).(caller)
		if c.err != nil {
			h.log.Warn().Err(c.err).Msg("caller of local socket refused")
			fail(w, c.err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (h *handler) lot(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	if name == "" {
		fail(w, problem.New(problem.Usage, "the name of a lot is missing"))
		return
	}
	l, err := h.agent.Lot(r.Context(), name)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, l)
}

func (h *handler) lots(w http.ResponseWriter, r *http.Request) {
	l, err := h.agent.Lots(r.Context(), r.URL.Query().Get("after"))
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, l)
}

func (h *handler) reload(w http.ResponseWriter, r *http.Request) {
	var order Reload
	if err := readOrder(w, r, &order); err != nil {
		fail(w, err)
		return
	}
	if err := order.Check(); err != nil {
		fail(w, err)
		return
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // else a caller would count as gone where sources take long to stop
	_ = rc.SetWriteDeadline(time.Now().Add(reloadLimit))
	who, _ := r.Context().Value(callerKey{}).(caller)
	done, err := h.agent.Reload(r.Context(), who.name, order)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, done)
}

// readOrder reads the body of a request.
func readOrder(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return problem.New(problem.Usage, "read order: %w", err)
	}
	return nil
}

func (h *handler) replay(w http.ResponseWriter, r *http.Request) {
	var order Replay
	if err := readOrder(w, r, &order); err != nil {
		fail(w, err)
		return
	}
	if err := order.Check(); err != nil {
		fail(w, err)
		return
	}
	lines := newLines(w)
	plan, err := h.agent.PlanReplay(r.Context(), order)
	if err != nil {
		fail(w, err)
		return
	}
	lines.send(Update{Plan: &plan})
	if !order.Execute {
		return
	}
	who, _ := r.Context().Value(callerKey{}).(caller)
	done, err := h.agent.Replay(r.Context(), Act{who.name, order, plan}, lines.progress)
	h.log.Info().Str("principal", who.name).Int64(telemetry.KeyCount, done.Sent).Int64("total", done.Total).Bool("whole", err == nil).Msg("replay ended")
	if err != nil {
		err = fmt.Errorf("after %d of %d records: %w", done.Sent, done.Total, err)
		lines.send(Update{Progress: &done})
		lines.send(Update{Failure: newFailure(err)})
		return
	}
	lines.send(Update{Done: &done})
}

func (h *handler) tap(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	order := Tap{Lane: event.Lane(q.Get("lane")), Find: q.Get("find"), Quality: q.Get("quality")}
	if err := order.Check(); err != nil {
		fail(w, err)
		return
	}
	lines := newLines(w)
	_ = lines.rc.Flush() // the caller knows from here that nothing is missed; one that is gone ends the request's context
	if err := h.agent.Tap(r.Context(), order, func(e Tapped) error { return lines.write(e) }); err != nil && r.Context().Err() == nil {
		lines.send(Tapped{Failure: newFailure(err)})
	}
}

// lines writes JSON objects as they come.
type lines struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	last time.Time
}

// newLines takes the limits of a short answer off the connection: a replay takes as long as its rate asks, and a tap until
// its caller has seen enough.
func newLines(w http.ResponseWriter) *lines {
	l := &lines{w: w, rc: http.NewResponseController(w)}
	_ = l.rc.SetReadDeadline(time.Time{}) // else the caller would count as gone after it
	_ = l.rc.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/jsonl")
	return l
}

// send writes one line. A caller that is gone ends the request's context, so that the error says nothing new.
func (l *lines) send(line any) { _ = l.write(line) }

func (l *lines) write(line any) error {
	l.last = time.Now()
	_ = l.rc.SetWriteDeadline(l.last.Add(lineLimit))
	e := json.NewEncoder(l.w)
	e.SetEscapeHTML(false) // an event is shown as it is
	if err := e.Encode(line); err != nil {
		return err
	}
	return l.rc.Flush()
}

func (l *lines) progress(p Progress) {
	if time.Since(l.last) >= lineEvery {
		l.send(Update{Progress: &p})
	}
}

func answer(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document) // a caller that is gone needs no answer
}

func fail(w http.ResponseWriter, err error) {
	f := newFailure(err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(f.Status)
	_ = json.NewEncoder(w).Encode(f)
}

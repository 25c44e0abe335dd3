package telemetry

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// Limits of a server. A slow or silent client holds a connection for seconds, not for ever; a scrape of some 1,000
// series takes milliseconds.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = time.Minute
	closeTimeout  = 3 * time.Second // for answers in hand when the program stops
	maxHeader     = 16 << 10
	maxScrapes    = 4
)

// NewRegistry returns a registry with the metrics of the Go runtime, the process and the build.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return reg
}

// NewMux returns a mux with /metrics, /healthz and /readyz, to which a program adds its own pages. Ready returns why
// the program is not ready, one sentence each, and nothing when it is; it must not block, and may be called from
// several goroutines at once.
func NewMux(reg *prometheus.Registry, ready func() []string) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, Timeout: readTimeout}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reasons := ready(); len(reasons) > 0 {
			say(w, http.StatusServiceUnavailable, reasons...)
			return
		}
		say(w, http.StatusOK, "ready")
	})
	return mux
}

func say(w http.ResponseWriter, code int, lines ...string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, strings.Join(lines, "\n")+"\n")
}

// NewServer returns a server for handler with a limit on everything that a client could hold open. What goes wrong
// with one connection is logged at level debug.
func NewServer(handler http.Handler, logger zerolog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(serverLog{logger}, "", 0),
	}
}

// Serve serves on ln until ctx ends, then lets answers in hand finish for 3 s and closes the rest. It returns nil
// after an end by ctx, and closes ln in every case.
func Serve(ctx context.Context, ln net.Listener, server *http.Server) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// The context has ended; closing needs a moment of its own.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := server.Shutdown(closing); err != nil {
		_ = server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serverLog makes log lines of what net/http prints.
type serverLog struct{ log zerolog.Logger }

// Write implements io.Writer.
func (s serverLog) Write(line []byte) (int, error) {
	s.log.Debug().Str(KeyError, strings.TrimSpace(string(line))).Msg("http server")
	return len(line), nil
}

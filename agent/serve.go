package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// serve answers on the loopback port until ctx ends.
func (a *Agent) serve(ctx context.Context, listener net.Listener, mux *http.ServeMux, fail context.CancelCauseFunc) {
	if err := telemetry.Serve(ctx, listener, telemetry.NewServer(mux, a.log)); err != nil {
		fail(fmt.Errorf("serve %s: %w", listener.Addr(), err))
	}
}

// serveSocket answers on the local socket until ctx ends.
func (a *Agent) serveSocket(ctx context.Context, socket net.Listener, fail context.CancelCauseFunc) {
	if err := localapi.Serve(ctx, socket, &operator{agent: a}, a.log); err != nil {
		fail(fmt.Errorf("serve local socket: %w", err))
	}
}

package opcua

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Examined is what a server says of itself to whoever asks.
type Examined struct {
	Application string // URI
	Security    string // of the endpoint that the source would use
	Thumbprint  string // of its certificate; "" = none is used
	Login       string // user, or anonymous
	Warning     string // what a person should know of a server that would be taken
}

// Examine asks a server for its endpoints and judges them as a source would, up to the session: it logs in nowhere, so
// that it takes no session from a small controller and locks no user out. The certificate of a server that no person has
// accepted is left in the folder rejected, unless the agent has not run yet.
func Examine(ctx context.Context, cfg Config, pki string, now time.Time) (x Examined, err error) {
	want, err := parseSecurity(cfg.Security)
	if err != nil {
		return x, problem.New(problem.ConfigValue, "security %w", err)
	}
	t := trust{cfg.TrustFolder(pki).Dir}
	if _, err := os.Stat(filepath.Dir(t.dir)); err == nil { // else the agent makes it all at its first start, as its own user
		if err := t.prepare(); err != nil {
			return x, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	endpoints, err := opcua.GetEndpoints(ctx, cfg.Endpoint, opcua.DialTimeout(dialTimeout), opcua.RequestTimeout(requestTimeout))
	if err != nil {
		return x, problem.New(problem.SourceDown, "ask server %s for its endpoints: %w", cfg.Endpoint, err)
	}
	ep, err := choose(endpoints, want)
	if err != nil {
		return x, err
	}
	x.Application, x.Security = ep.Server.ApplicationURI, want.String()
	inClear, err := cfg.excepted(now)
	switch {
	case ep.SecurityMode != ua.MessageSecurityModeNone:
		if leaf := leafOf(ep.ServerCertificate); leaf != nil {
			x.Thumbprint = thumbprintOf(leaf)
		}
		u, _ := url.Parse(cfg.Endpoint) // was checked
		if x.Warning, err = t.judge(peer{der: ep.ServerCertificate, uri: ep.Server.ApplicationURI, host: u.Hostname()}, now); err != nil {
			return x, err
		}
	case err != nil:
		return x, err
	case !inClear:
		return x, problem.New(problem.LinkInsecure, "security is None, and no exception is configured")
	default:
		x.Warning = "anyone on the way reads and changes values, until the exception of " + cfg.Exception.Owner + " ends on " + cfg.Exception.Until
	}
	x.Login = "anonymous"
	if cfg.User != "" {
		x.Login = "user " + cfg.User
	}
	_, _, err = token(ep, cfg.User, inClear)
	return x, err
}

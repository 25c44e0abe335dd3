package opcua

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

const (
	dialTimeout    = 2 * time.Second
	requestTimeout = 3 * time.Second
	sessionTimeout = 60 * time.Second
	askTimeout     = 5 * time.Second  // for the server's endpoints: a line that swallows must not hold us for longer
	openTimeout    = 10 * time.Second // for channel and session, whose cryptography takes a small machine seconds
	goodbye        = time.Second      // for closing a session; a server that hangs has no more

	maxMessage = 16 << 20 // bytes of one answer
	maxChunks  = 512
)

// errLogin says that the server refuses user or password, which must not be tried often.
var errLogin = errors.New("server refuses user or password")

// connect opens channel and session as configured, or says in a sentence why it does not.
func (l *life) connect(ctx context.Context) (warn string, err error) {
	if err := l.trust.prepare(); err != nil {
		return "", err
	}
	if l.own, err = ownIdentity(&l.cfg, l.trust, ApplicationURI(l.deps.Plant, l.deps.Agent), l.deps.Now()); err != nil {
		return "", err
	}
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	endpoints, err := opcua.GetEndpoints(asking, l.cfg.Endpoint, opcua.DialTimeout(dialTimeout), opcua.RequestTimeout(requestTimeout))
	if err != nil {
		return "", problem.New(problem.SourceDown, "ask server %s for its endpoints: %w", l.cfg.Endpoint, err)
	}
	ep, err := choose(endpoints, l.security)
	if err != nil {
		return "", l.audited(ctx, err, "opcua.endpoint_refused", nil)
	}
	if warn, err = l.judgeServer(ctx, ep); err != nil {
		return "", err
	}
	if err := l.except(ctx, ep); err != nil {
		return "", err
	}
	options, err := l.options(ep)
	if err != nil {
		return "", l.audited(ctx, err, "opcua.login_refused", nil)
	}
	if l.client, err = opcua.NewClient(l.cfg.Endpoint, options...); err != nil {
		return "", problem.New(problem.ConfigValue, "make client: %w", err)
	}
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := l.client.Connect(opening); err != nil {
		return "", l.explain(err)
	}
	if err := l.verify(ctx); err != nil {
		return "", err
	}
	l.noted = ""
	return warn, nil
}

// judgeServer looks at the server's certificate before anything is sent to it, and remembers the accepted one.
func (l *life) judgeServer(ctx context.Context, ep *ua.EndpointDescription) (warn string, err error) {
	thumb := ""
	if leaf := leafOf(ep.ServerCertificate); leaf != nil && ep.SecurityMode != ua.MessageSecurityModeNone {
		thumb = thumbprintOf(leaf)
	}
	if ep.SecurityMode != ua.MessageSecurityModeNone {
		warn, err = l.trust.judge(peer{der: ep.ServerCertificate, uri: ep.Server.ApplicationURI, host: l.host()}, l.deps.Now())
	}
	if err != nil {
		if old := l.at.Certificate; old != "" && thumb != "" && old != thumb {
			err = problem.New(problem.ServerTrust, "server certificate changed from %s to %s: %w", old, thumb, err)
		}
		if l.told == thumb {
			return "", err
		}
		l.told = thumb
		return "", l.audited(ctx, err, "opcua.certificate_refused", map[string]string{"old": l.at.Certificate, "new": thumb})
	}
	uri := ep.Server.ApplicationURI
	if uri == "" {
		uri = "opc.tcp://" + l.cfg.address() // a server that says nothing of itself
	}
	c := claim{source: l.deps.ID, address: l.cfg.address(), certificate: thumb}
	if err := l.deps.Servers.claim(uri, c); err != nil {
		return "", err
	}
	if l.told != "" && l.told == thumb {
		_ = l.audited(ctx, nil, "opcua.certificate_accepted", map[string]string{"old": l.at.Certificate, "new": thumb})
	}
	l.told = ""
	l.at.Certificate, l.at.Server = thumb, uri
	return warn, nil
}

// except lets a link without security through only while someone answers for it by name, and says so once.
func (l *life) except(ctx context.Context, ep *ua.EndpointDescription) error {
	if ep.SecurityMode != ua.MessageSecurityModeNone {
		return nil
	}
	ok, err := l.cfg.excepted(l.deps.Now())
	switch {
	case err != nil:
		return l.audited(ctx, err, "opcua.exception_ended", nil)
	case !ok:
		return l.audited(ctx, problem.New(problem.LinkInsecure, "security is None, and no exception is configured"), "opcua.endpoint_refused", nil)
	case !l.allowed:
		l.allowed = true
		e := l.cfg.Exception
		return l.audited(ctx, nil, "opcua.exception_used", map[string]string{"owner": e.Owner, "reason": e.Reason, "until": e.Until})
	}
	return nil
}

// audited passes an error on, after it is in the audit. What cannot be audited does not happen.
func (l *life) audited(ctx context.Context, err error, act string, detail map[string]string) error {
	reason := "accepted"
	if err != nil {
		reason = err.Error()
	}
	if err != nil && l.noted == act+reason {
		return err // the next try of the same
	}
	l.noted = act + reason
	l.deps.Log.Warn().Str("act", act).Str(telemetry.KeyAddress, l.cfg.Endpoint).Str("reason", reason).Msg("opcua security")
	if l.deps.Audit == nil {
		return err
	}
	if failed := l.deps.Audit(ctx, act, l.cfg.Endpoint, reason, detail); failed != nil && err == nil {
		return fmt.Errorf("audit %s: %w", act, failed)
	}
	return err
}

// options are the library's, in the order that it needs: later ones take from what earlier ones have set.
func (l *life) options(ep *ua.EndpointDescription) ([]opcua.Option, error) {
	readable, err := l.cfg.excepted(l.deps.Now())
	if err != nil {
		return nil, err
	}
	one, kind, err := token(ep, l.cfg.User, readable)
	if err != nil {
		return nil, err
	}
	options := []opcua.Option{opcua.SecurityFromEndpoint(one, kind)}
	if ep.SecurityMode != ua.MessageSecurityModeNone {
		options = append(options, opcua.RemoteCertificate(ep.ServerCertificate), opcua.Certificate(l.own.der), opcua.PrivateKey(l.own.key))
	}
	if l.cfg.User != "" {
		password, err := l.cfg.PasswordFile.Read()
		if err != nil {
			return nil, err
		}
		options = append(options, opcua.AuthUsername(l.cfg.User, password.Reveal()))
	}
	return append(options,
		opcua.SessionName("holdfast/"+l.deps.Agent+"/"+l.deps.ID), opcua.ApplicationName("Holdfast"), opcua.AutoReconnect(false),
		opcua.DialTimeout(dialTimeout), opcua.RequestTimeout(requestTimeout), opcua.SessionTimeout(sessionTimeout),
		opcua.MaxMessageSize(maxMessage), opcua.MaxChunkCount(maxChunks), opcua.StateChangedFunc(l.stateChanged),
	), nil
}

// verify reads the server's state: a session whose signature did not hold is only logged by the library.
func (l *life) verify(ctx context.Context) error {
	res, err := l.client.Read(ctx, &ua.ReadRequest{NodesToRead: []*ua.ReadValueID{{NodeID: numeric(0, 2259)}}})
	if err != nil {
		return l.explain(err)
	}
	if len(res.Results) != 1 || quality(res.Results[0].Status) == "bad" {
		return problem.New(problem.SourceRefused, "server %s lets us in and does not let its state be read", l.cfg.Endpoint)
	}
	return nil
}

// explain says in plain words why there is no connection.
func (l *life) explain(err error) error {
	var status ua.StatusCode
	where := l.cfg.Endpoint
	ours := "none"
	if l.own.leaf != nil {
		ours = thumbprint(l.own.leaf)
	}
	switch {
	case errors.As(err, &status):
		switch ua.StatusCode(uint32(status) & factBits) {
		case ua.StatusBadUserAccessDenied, ua.StatusBadIdentityTokenRejected, ua.StatusBadIdentityTokenInvalid:
			return problem.New(problem.SourceRefused, "log in to server %s as %q: %w: %w", where, l.cfg.User, errLogin, err)
		case ua.StatusBadCertificateURIInvalid:
			return problem.New(problem.ClientTrust, "server %s refuses our certificate %s, since it has no or another application URI: %w", where, ours, err)
		case ua.StatusBadSecurityChecksFailed, ua.StatusBadCertificateUntrusted, ua.StatusBadCertificateInvalid, ua.StatusBadCertificateTimeInvalid,
			ua.StatusBadCertificateChainIncomplete, ua.StatusBadCertificateRevoked, ua.StatusBadCertificateUseNotAllowed:
			return problem.New(problem.ClientTrust, "server %s does not trust our certificate %s: %w", where, ours, err)
		case ua.StatusBadTooManySessions:
			return problem.New(problem.SourceRefused, "server %s has no session left for us: %w", where, err)
		}
	case errors.Is(err, io.EOF) && l.at.Certificate != "":
		return problem.New(problem.SourceDown, "server %s hung up while the channel was opened; it is known by the certificate %s, and we by %s: %w", where, l.at.Certificate, ours, err)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return problem.New(problem.SourceDown, "server %s cannot be reached: %w", where, err)
	}
	if strings.Contains(err.Error(), "x509") {
		return problem.New(problem.ServerTrust, "certificate of server %s: %w", where, err)
	}
	return problem.New(problem.SourceDown, "connect to server %s: %w", where, err)
}

func (l *life) host() string {
	u, err := url.Parse(l.cfg.Endpoint)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

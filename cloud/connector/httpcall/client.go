// Package httpcall makes the HTTP calls of the connectors, under one policy for all of them.
//
// GET and HEAD are tried three times at the most, with jitter, ten seconds in all; every other method is tried once,
// because a repeated write may be a second effect. Answers are limited in size and time, redirects to another host are
// refused, a log-in is tried at most twice in a row, and no secret leaves in an error, a log line or evidence.
// [Answer.Result] gives every ending of a call one meaning.
package httpcall

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/rs/zerolog"
)

// Limits of a call.
const (
	// MaxBody bounds an answer after decompression, in bytes. A page of 500 stock rows has some 300 kB.
	MaxBody = 1 << 20
	// Budget bounds a call with all its tries. What takes longer waits as a row, not in a goroutine.
	Budget = 10 * time.Second
	// readTimeout bounds one try of a read, so that a second one fits into the budget.
	readTimeout = 4 * time.Second
	// maxTries bounds the tries of a read.
	maxTries = 3
	// maxHeader bounds an answer's header, in bytes.
	maxHeader = 64 << 10
	// maxRedirects bounds how often a read follows a redirect on its own host.
	maxRedirects = 3
)

// Config says whom to call and how.
type Config struct {
	BaseURL string      // scheme and host, and a path prefix if there is one; without credentials
	TLS     *tls.Config // nil = the system's certificates, TLS 1.2 or newer
	// Authorise adds the credentials to a request. Nil: none.
	Authorise func(*http.Request)
	// Secrets are kept out of all that leaves this package, in every common encoding.
	Secrets []string
	// Cookies tells whether the system's session cookies are sent back.
	Cookies bool
	Log     zerolog.Logger
	Now     func() time.Time // nil = time.Now
	Random  func() float64   // for jitter, in [0,1); nil = no jitter but the half of each wait
}

// Client calls one system. It is safe for concurrent use and starts no goroutine of its own.
type Client struct {
	cfg   Config
	base  *url.URL
	read  *retryablehttp.Client
	write *retryablehttp.Client
	login login
	hide  redactor
}

// New returns a client. An error says what is wrong with the address.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(cfg.BaseURL)
	switch { // the address itself is not named: it may hold a password
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		return nil, errors.New("url is no http or https address")
	case base.User != nil:
		return nil, errors.New("url holds a user: credentials belong into their own settings")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = func() float64 { return 0.5 }
	}
	c := &Client{cfg: cfg, base: base, login: newLogin()}
	c.hide.add(cfg.Secrets...)
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure(cfg.TLS), ForceAttemptHTTP2: true,
		MaxIdleConns: 32, MaxIdleConnsPerHost: 16, IdleConnTimeout: 60 * time.Second,
		TLSHandshakeTimeout: readTimeout, MaxResponseHeaderBytes: maxHeader,
	}
	var jar http.CookieJar
	if cfg.Cookies {
		jar, _ = cookiejar.New(nil) // New has no way to fail without options
	}
	c.read = c.policy(&http.Client{Transport: transport, Jar: jar, Timeout: readTimeout, CheckRedirect: sameHost}, maxTries-1)
	c.write = c.policy(&http.Client{Transport: transport, Jar: jar, Timeout: Budget, CheckRedirect: noRedirect}, 0)
	return c, nil
}

func secure(cfg *tls.Config) *tls.Config {
	if cfg == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return cfg.Clone()
}

// Request is one call.
type Request struct {
	Method string
	Path   string // below the base URL, escaped
	Query  url.Values
	Header http.Header // nil = none
	Body   []byte      // nil = none
}

func (r *Request) reads() bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// Do makes a call and reads its answer whole. A refused log-in is tried once more, by one caller at a time; after the
// second refusal in a row no request leaves until [Client.Reset].
func (c *Client) Do(ctx context.Context, req Request) Answer {
	ctx, cancel := context.WithTimeout(ctx, Budget)
	defer cancel()
	for {
		turn, err := c.login.enter(ctx)
		if err != nil {
			return c.seal(req, Answer{Err: err})
		}
		if a, again := c.attempt(ctx, req, turn); !again {
			return c.seal(req, a)
		}
	}
}

// attempt makes the call and gives the caller's turn back, whatever happens.
func (c *Client) attempt(ctx context.Context, req Request, turn pass) (a Answer, again bool) {
	defer func() { again = c.login.leave(turn, a.Status) }()
	return c.once(ctx, req), false
}

// Reset lets log-ins be tried again after a refusal.
func (c *Client) Reset() { c.login.reset() }

// Hide keeps one more secret, such as a session token, out of all that leaves this package.
func (c *Client) Hide(secret string) { c.hide.add(secret) }

// once makes the call with the tries that its method allows.
func (c *Client) once(ctx context.Context, req Request) Answer {
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	r, err := c.request(ctx, req)
	if err != nil {
		return Answer{Err: err}
	}
	client := c.write
	if req.reads() {
		client = c.read
	}
	resp, err := client.Do(r)
	if err != nil {
		if resp != nil {
			_ = resp.Body.Close()
		}
		return Answer{Err: err, Sent: sent.Load()}
	}
	a := Answer{Status: resp.StatusCode, Header: resp.Header, Sent: true}
	a.Body, a.Err = limited(resp.Body)
	return a
}

// limited reads a body whole and closes it.
func limited(body io.ReadCloser) ([]byte, error) {
	defer func() { _ = body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(body, MaxBody+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > MaxBody {
		return nil, errTooLarge
	}
	return raw, nil
}

func (c *Client) request(ctx context.Context, req Request) (*retryablehttp.Request, error) {
	target := *c.base
	path := target.EscapedPath() + req.Path
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", path, err)
	}
	// Both forms are set, so that an escaped slash or quote in a key stays escaped on the wire.
	target.Path, target.RawPath, target.RawQuery = decoded, path, encode(req.Query)
	var body any
	if req.Body != nil {
		body = req.Body
	}
	r, err := retryablehttp.NewRequestWithContext(ctx, req.Method, target.String(), body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "Holdfast")
	for name, values := range req.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	if c.cfg.Authorise != nil {
		c.cfg.Authorise(r.Request)
	}
	return r, nil
}

// encode writes a query with blanks as %20: not every OData server takes a plus sign for one.
func encode(query url.Values) string { return strings.ReplaceAll(query.Encode(), "+", "%20") }

// seal completes an answer with what its evidence needs.
func (c *Client) seal(req Request, a Answer) Answer {
	a.reads, a.now, a.hide = req.reads(), c.cfg.Now(), &c.hide
	a.request = req
	return a
}

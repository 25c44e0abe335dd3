package httpcall

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/rs/zerolog"
)

// Reasons why a call ends without an answer that can be used.
var (
	errTooLarge = errors.New("answer is larger than is read")
	errRedirect = errors.New("redirect to another host is not followed")
	errRefused  = errors.New("log-in was refused twice; no further one is tried")
)

// policy wraps an HTTP client; retries is how often a failed try may be repeated.
func (c *Client) policy(h *http.Client, retries int) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: h, Logger: quiet{c.cfg.Log, &c.hide}, RetryMax: retries,
		RetryWaitMin: 100 * time.Millisecond, RetryWaitMax: time.Second,
		CheckRetry: worthAnother, Backoff: c.backoff, ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
}

// worthAnother tells whether a read is tried again: after a cut connection and after what a busy gateway answers. A
// system that says when it wants to be asked again is not asked before.
func worthAnother(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, nil
	}
	if err != nil {
		return !errors.Is(err, errRedirect) && !untrusted(err), nil
	}
	switch resp.StatusCode {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return resp.Header.Get("Retry-After") == "", nil
	}
	return false, nil
}

// untrusted tells whether the other side's certificate was not accepted, which no repetition changes.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &invalid) || errors.As(err, &host)
}

// backoff doubles from the shortest wait to the longest and takes a random part of it, so that callers spread out.
func (c *Client) backoff(shortest, longest time.Duration, attempt int, _ *http.Response) time.Duration {
	wait := min(shortest<<min(attempt, 10), longest)
	return time.Duration(float64(wait) * c.cfg.Random())
}

// sameHost lets a read follow redirects, but not with our credentials to someone else.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > maxRedirects || req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
		return fmt.Errorf("%w: %s", errRedirect, req.URL.Host)
	}
	return nil
}

// noRedirect leaves a redirected write as it is answered: following one would send it twice.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// quiet lets go-retryablehttp log at level debug alone: what ends a call is returned, not logged.
type quiet struct {
	log  zerolog.Logger
	hide *redactor
}

var _ retryablehttp.LeveledLogger = quiet{}

func (q quiet) Error(msg string, pairs ...any) { q.line(msg, pairs) }
func (q quiet) Warn(msg string, pairs ...any)  { q.line(msg, pairs) }
func (q quiet) Info(msg string, pairs ...any)  { q.line(msg, pairs) }
func (q quiet) Debug(msg string, pairs ...any) { q.line(msg, pairs) }

func (q quiet) line(msg string, pairs []any) {
	e := q.log.Debug()
	if !e.Enabled() {
		return
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		e = e.Str(fmt.Sprint(pairs[i]), q.hide.clean(fmt.Sprint(pairs[i+1])))
	}
	e.Msg(msg)
}

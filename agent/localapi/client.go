package localapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// maxLine bounds a line of an answer.
const maxLine = 1 << 20

// Client speaks with the agent behind a socket. Several goroutines may use it at once.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client for the agent whose socket is at path. It connects with each request. What cannot be
// reached gives a problem with the code [problem.APIUnreachable].
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{socket: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status returns how the agent stands.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.get(ctx, "/v1/status", &s)
}

// Queue returns how its lanes stand.
func (c *Client) Queue(ctx context.Context) (q Queue, err error) {
	return q, c.get(ctx, "/v1/queue", &q)
}

// Lot tells whether a lot may move. Name is its key, or its number where only one lot has it.
func (c *Client) Lot(ctx context.Context, name string) (l Lot, err error) {
	return l, c.get(ctx, "/v1/lot?name="+url.QueryEscape(name), &l)
}

// Lots tells the same of the lots that follow after, in the order of their keys; "" = from the first.
func (c *Client) Lots(ctx context.Context, after string) (l Lots, err error) {
	return l, c.get(ctx, "/v1/lots?after="+url.QueryEscape(after), &l)
}

// Reload has the agent read its configuration again. What is wrong with it is a [config.Errors].
func (c *Client) Reload(ctx context.Context, order Reload) (r Reloaded, err error) {
	body, err := json.Marshal(order)
	if err != nil {
		return r, fmt.Errorf("encode order of reload: %w", err)
	}
	return r, c.read(ctx, http.MethodPost, "/v1/reload", body, &r)
}

// Replay sends an order and calls each with every line of the answer but a failure, which is the error. An answer that
// ends before its last line is an error, too. The replay ends with ctx.
func (c *Client) Replay(ctx context.Context, order Replay, each func(Update)) error {
	body, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("encode order of replay: %w", err)
	}
	answer, err := c.do(ctx, http.MethodPost, "/v1/queue/replay", body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	lines := bufio.NewScanner(answer)
	lines.Buffer(nil, maxLine)
	whole := false
	for lines.Scan() {
		var u Update
		if err := json.Unmarshal(lines.Bytes(), &u); err != nil {
			return fmt.Errorf("read answer of agent: %w", err)
		}
		if u.Failure != nil {
			return u.Failure.problem()
		}
		whole = whole || u.Done != nil || (u.Plan != nil && !order.Execute)
		each(u)
	}
	switch err := lines.Err(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return problem.New(problem.APIUnreachable, "the agent's answer was cut: %w", err)
	case !whole:
		return problem.New(problem.APIUnreachable, "the agent stopped answering before the end")
	}
	return nil
}

// Tap calls began once the agent has taken the order, then show with every event, until ctx ends or show returns an
// error, which it returns. An answer that ends by itself is an error.
func (c *Client) Tap(ctx context.Context, tap Tap, began func(), show func(Tapped) error) error {
	query := url.Values{"lane": {string(tap.Lane)}, "find": {tap.Find}, "quality": {tap.Quality}}
	answer, err := c.do(ctx, http.MethodGet, "/v1/tap?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	began()
	lines := bufio.NewScanner(answer)
	lines.Buffer(nil, 2*maxLine)
	for lines.Scan() {
		var e Tapped
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read answer of agent: %w", err)
		}
		if e.Failure != nil {
			return e.Failure.problem()
		}
		if err := show(e); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return problem.New(problem.APIUnreachable, "the agent stopped answering: %w", errors.Join(lines.Err(), io.ErrUnexpectedEOF))
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	return c.read(ctx, http.MethodGet, path, nil, into)
}

// read sends a request whose answer is one document.
func (c *Client) read(ctx context.Context, method, path string, body []byte, into any) error {
	answer, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	if err := json.NewDecoder(answer).Decode(into); err != nil {
		return fmt.Errorf("read answer of agent: %w", err)
	}
	return nil
}

// do returns the body of an answer that is a success.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // method and address of it are ours alone
		}
		return nil, problem.New(problem.APIUnreachable, "no agent answers on %s: %w", c.socket, err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer func() { _ = res.Body.Close() }()
	var f Failure
	if err := json.NewDecoder(io.LimitReader(res.Body, maxLine)).Decode(&f); err != nil || f.Code == "" {
		return nil, fmt.Errorf("agent answers %s to %s %s", res.Status, method, path)
	}
	return nil, f.problem()
}

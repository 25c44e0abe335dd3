package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	defaultURL = "http://127.0.0.1:7490"
	maxAnswer  = 64 << 20 // far above a page of 1,000 ledger entries
)

// client calls the API with the caller's own identity.
type client struct {
	base  string
	token config.Secret
	http  *http.Client
}

// client makes one from flags and environment.
func (p *program) client() (*client, error) {
	base, file := p.global.url, p.global.tokenFile
	if base == "" {
		base, _ = p.lookupEnv("HOLDFAST_URL")
	}
	if base == "" {
		base = defaultURL
	}
	if file == "" {
		file, _ = p.lookupEnv("HOLDFAST_TOKEN_FILE")
	}
	if file == "" {
		return nil, problem.New(problem.Usage, "no token: give --token-file or HOLDFAST_TOKEN_FILE")
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, problem.New(problem.Usage, "address %.100q is no http or https URL", base)
	}
	token, err := config.ReadSecret(file)
	if err != nil {
		return nil, err
	}
	c := &client{base: strings.TrimSuffix(base, "/") + api.Base, token: token, http: &http.Client{Timeout: p.global.timeout}}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token is for this host
	return c, nil
}

// confidential refuses an address to which passwords would go for everyone on the way to read.
func (c *client) confidential() error {
	u, err := url.Parse(c.base)
	if err != nil || u.Scheme == "https" || u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback() {
		return err
	}
	return problem.New(problem.Usage, "%s is neither https nor this host: passwords are not sent there", u.Host)
}

// get reads into out.
func (c *client) get(ctx context.Context, path string, query url.Values, out any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	_, err := c.call(ctx, http.MethodGet, path, nil, nil, out)
	return err
}

// post asks for a change, under a key of its own. It returns the answer's headers.
func (c *client) post(ctx context.Context, path string, header http.Header, body, out any) error {
	if header == nil {
		header = http.Header{}
	}
	header.Set("Idempotency-Key", rand.Text())
	header.Set("Content-Type", "application/json")
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, err = c.call(ctx, http.MethodPost, path, header, b, out)
	return err
}

// call makes one request. Out may be nil; the whole answer is returned.
func (c *client) call(ctx context.Context, method, path string, header http.Header, body []byte, out any) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, problem.New(problem.Usage, "%w", err)
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, problem.New(problem.APIUnreachable, "call API: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read only
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, problem.New(problem.APIUnreachable, "read answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, refusal(c.base, answer.StatusCode, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			return nil, problem.New(problem.APIUnreachable, "the answer of %s is not one of Holdfast: %w", c.base, err)
		}
	}
	return b, nil
}

// refusal makes a problem of an answer that is no success.
func refusal(base string, status int, body []byte) error {
	var f api.Failure
	if err := json.Unmarshal(body, &f); err != nil || f.Code == "" {
		return problem.New(problem.APIUnreachable, "%s answered with status %d and is not the API of Holdfast", base, status)
	}
	return &problem.Problem{Code: f.Code, Cause: f.Detail, Consequence: f.Consequence, Next: f.Next}
}

// secretClient makes a client that passwords may be given to.
func (p *program) secretClient() (*client, error) {
	c, err := p.client()
	if err != nil {
		return nil, err
	}
	return c, c.confidential()
}

// lotPath returns the path of a lot.
func lotPath(key event.LotKey) string { return "/lots/" + url.PathEscape(string(key)) }

// resolve returns the key of a lot that is named by its key, or by its number where that is unique.
func (c *client) resolve(ctx context.Context, name string) (event.LotKey, error) {
	if strings.HasPrefix(name, "lot:") {
		return event.LotKey(name), nil
	}
	var page api.LotPage
	if err := c.get(ctx, "/lots", url.Values{"number": {name}}, &page); err != nil {
		return "", err
	}
	switch len(page.Lots) {
	case 0:
		return "", problem.New(problem.ObjectHidden, "there is no lot %s", name)
	case 1:
		return page.Lots[0].Key, nil
	}
	keys := make([]string, len(page.Lots))
	for i := range page.Lots {
		keys[i] = string(page.Lots[i].Key)
	}
	return "", problem.New(problem.Usage, "%d lots have the number %s: name one by its key: %s", len(keys), name, strings.Join(keys, ", "))
}

// entries calls f for every page of the ledger behind an entry.
func (c *client) entries(ctx context.Context, query url.Values, f func(*api.LedgerPage) error) error {
	query.Set("limit", "1000")
	for {
		var page api.LedgerPage
		if err := c.get(ctx, "/ledger", query, &page); err != nil {
			return err
		}
		if err := f(&page); err != nil {
			return err
		}
		if page.Next == 0 {
			return nil
		}
		query.Set("after", strconv.FormatInt(page.Next, 10))
	}
}

func deadletterPath(id string) (string, error) {
	if n, err := strconv.ParseInt(id, 10, 64); err != nil || n < 1 {
		return "", problem.New(problem.Usage, "%.40q is no dead letter's number", id)
	}
	return fmt.Sprintf("/deadletters/%s", id), nil
}

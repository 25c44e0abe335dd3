package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// user is a person of the demo who can log in to the console.
type user struct {
	Name, Printed, Person string
	Roles                 []string
}

// users are the people of the demo. The visitor is the first: she holds, lifts, corrects, signs, and reads everything. The
// second signs beside her; the third manages users.
func users() []user {
	return []user{
		{"vera", "Vera Visser", "1001", []string{"operator", "quality", "auditor"}},
		{"otto", "Otto Brandt", "1002", []string{"quality"}},
		{"rita", "Rita Root", "1003", []string{"admin"}},
	}
}

// newPassword returns a password for all of them, of one demo alone.
func newPassword() string { return "demo-" + strings.ToLower(rand.Text()[:14]) }

// logInLimit bounds one page: a password is meant to take a while to check, and all programs start at the same time.
const logInLimit = 15 * time.Second

// browser is a client that walks through the console's pages as a person's browser does.
type browser struct {
	base   string // of the console
	client *http.Client
}

func newBrowser(base string) (*browser, error) {
	jar, err := cookiejar.New(nil)
	return &browser{base, &http.Client{
		Jar: jar, Timeout: logInLimit, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, err
}

var formToken = regexp.MustCompile(`name="token" value="([^"]+)"`)

// submit fills in the form of a page. It is refused unless the page leads somewhere else then.
func (b *browser) submit(ctx context.Context, page, path string, form url.Values) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+page, nil)
	if err != nil {
		return err
	}
	text, _, err := b.ask(r)
	if err != nil {
		return err
	}
	token := formToken.FindStringSubmatch(text)
	if token == nil {
		return fmt.Errorf("%s has no form", page)
	}
	form.Set("token", token[1])
	if r, err = http.NewRequestWithContext(ctx, http.MethodPost, b.base+path, strings.NewReader(form.Encode())); err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if _, status, err := b.ask(r); err != nil || status != http.StatusSeeOther {
		return errors.Join(err, fmt.Errorf("%s is refused with status %d", path, status))
	}
	return nil
}

func (b *browser) ask(r *http.Request) (text string, status int, err error) {
	res, err := b.client.Do(r)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = res.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return string(body), res.StatusCode, err
}

// logIn logs a user in.
func (b *browser) logIn(ctx context.Context, name, password string) error {
	return b.submit(ctx, "/login", "/login", url.Values{"name": {name}, "password": {password}})
}

// session returns the cookies of the browser, which are its session at the console.
func (b *browser) session() ([]*http.Cookie, error) {
	u, err := url.Parse(b.base)
	if err != nil {
		return nil, err
	}
	return b.client.Jar.Cookies(u), nil
}

// addUsers makes the people of the demo: the last by the link that the cloud printed at its start, the others by her, and
// each chooses the password that counts.
func addUsers(ctx context.Context, cloud *stack.Process, password string) error {
	link, err := firstLink(ctx, cloud)
	if err != nil {
		return err
	}
	base, all := "http://"+cloud.Address, users()
	root := all[len(all)-1]
	admin, err := newBrowser(base)
	if err != nil {
		return err
	}
	first := url.Values{"link": {link}, "name": {root.Name}, "printed_name": {root.Printed}, "person": {root.Person}, "password": {password}}
	if err := admin.submit(ctx, "/first?token="+url.QueryEscape(link), "/first", first); err != nil {
		return err
	}
	if err := admin.logIn(ctx, root.Name, password); err != nil {
		return err
	}
	for _, u := range all[:len(all)-1] {
		given := newPassword()
		form := url.Values{"name": {u.Name}, "printed_name": {u.Printed}, "person": {u.Person}, "role": u.Roles, "password": {given}}
		if err := admin.submit(ctx, "/users", "/users", form); err != nil {
			return fmt.Errorf("add user %s: %w", u.Name, err)
		}
		own, err := newBrowser(base)
		if err != nil {
			return err
		}
		if err := own.logIn(ctx, u.Name, given); err != nil {
			return err
		}
		if err := own.submit(ctx, "/account", "/account/password", url.Values{"old": {given}, "new": {password}, "again": {password}}); err != nil {
			return fmt.Errorf("change password of %s: %w", u.Name, err)
		}
	}
	return nil
}

// firstLink finds in the cloud's log the token of the link that makes the first administrator.
func firstLink(ctx context.Context, cloud *stack.Process) (string, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for line := range strings.Lines(cloud.Tail()) {
			var l struct{ Address string }
			if json.Unmarshal([]byte(strings.TrimSpace(line)), &l) == nil {
				if _, token, ok := strings.Cut(l.Address, "/first?token="); ok {
					return token, nil
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", fmt.Errorf("the cloud has printed no link for its first administrator: %w", ctx.Err())
		}
	}
}

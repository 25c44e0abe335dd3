package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Desk takes the calls of callers inside this process: the users of the console. Each call takes the way of a request by
// HTTP but for the token, so that what a page shows and does is what a token could, by the same rights and rules and with
// the same entries in the ledger.
type Desk struct {
	server  *server
	handler http.Handler
}

// Act says when a call that changes state is done: once for a key, and only while its object has the version that the
// caller read.
type Act struct {
	Key     string // Idempotency-Key; empty = each call is one act
	Version int64  // 0 = any
}

// Get calls an operation that reads, and decodes what it answers into out. The error is a [*Failure] where the API
// refuses.
func (d *Desk) Get(ctx context.Context, c *Caller, path string, out any) error {
	return d.call(ctx, c, http.MethodGet, path, Act{}, nil, out)
}

// Post calls an operation that changes state.
func (d *Desk) Post(ctx context.Context, c *Caller, path string, act Act, in, out any) error {
	return d.call(ctx, c, http.MethodPost, path, act, in, out)
}

func (d *Desk) call(ctx context.Context, c *Caller, method, path string, act Act, in, out any) error {
	body := []byte(nil)
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	ctx = context.WithValue(ctx, callerKey{}, c)
	r, err := http.NewRequestWithContext(ctx, method, Base+path, bytes.NewReader(body))
	if err != nil {
		return problem.New(problem.Usage, "%q is no path: %w", path, err)
	}
	r.RequestURI = Base + path
	r.Header.Set("Content-Type", "application/json")
	if act.Key != "" {
		r.Header.Set("Idempotency-Key", act.Key)
	}
	if act.Version != 0 {
		r.Header.Set("If-Match", etag(act.Version))
	}
	w := answer{header: http.Header{}, status: http.StatusOK}
	d.handler.ServeHTTP(&w, r)
	if w.status >= http.StatusBadRequest {
		f := &Failure{}
		if err := json.Unmarshal(w.body.Bytes(), f); err != nil || f.Code == "" {
			return fmt.Errorf("%s %s answered %d", method, path, w.status)
		}
		return f
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(w.body.Bytes(), out); err != nil {
		return fmt.Errorf("decode the answer to %s %s: %w", method, path, err)
	}
	return nil
}

// answer takes what a handler writes.
type answer struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if !a.wrote {
		a.status, a.wrote = status, true
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

var _ http.ResponseWriter = (*answer)(nil)

// May tells whether the caller's roles allow an operation, named by method and path: "POST /lots/{key}/holds". One that
// does not exist is allowed to nobody.
func (d *Desk) May(c *Caller, operation string) bool {
	op := d.operation(operation)
	return op != nil && may(c.Roles, action(op.Metadata[metaAction].(string)))
}

// Knows tells whether an operation exists.
func (d *Desk) Knows(operation string) bool { return d.operation(operation) != nil }

func (d *Desk) operation(name string) *huma.Operation {
	method, path, _ := strings.Cut(name, " ")
	item := d.server.api.OpenAPI().Paths[Base+path]
	switch {
	case item == nil:
		return nil
	case method == http.MethodGet:
		return item.Get
	case method == http.MethodPost:
		return item.Post
	}
	return nil
}

// Principals of those who are not known yet.
const (
	logInDoor = "console"
	firstDoor = "first-administrator-link"
)

// LogIn returns the user whose name and password these are, and enters the log-in into the ledger. Wrong ones are counted
// like those given at a signing.
func (d *Desk) LogIn(ctx context.Context, name, password string) (*store.UserRow, error) {
	ctx = context.WithValue(ctx, callerKey{}, &Caller{Principal: logInDoor})
	u, err := d.server.verify(ctx, name, password)
	if err != nil {
		return nil, d.server.fail(err)
	}
	d.server.record(ctx, &Caller{Principal: u.Name}, "session.begin", "user:"+u.Name, "logged in at the console")
	return u, nil
}

// LogOut enters the end of a session into the ledger.
func (d *Desk) LogOut(ctx context.Context, c *Caller) {
	d.server.record(ctx, c, "session.end", "user:"+c.Principal, "logged out at the console")
}

// FirstUser adds a user as an administrator, with a password that nobody else knows. It is refused once there is a user.
func (d *Desk) FirstUser(ctx context.Context, r UserRequest) error {
	s := d.server
	r.Roles, r.Plants = []string{RoleAdmin}, nil
	if err := checkUser(&r); err != nil {
		return s.fail(err)
	}
	password, err := s.cfg.Hashing.hash(r.Password)
	if err != nil {
		return s.fail(err)
	}
	now := s.cfg.Now()
	ctx = context.WithValue(ctx, callerKey{}, &Caller{Principal: firstDoor})
	const reason = "by the link that the program printed at its start, when there was no user"
	if _, err = s.changeUser(ctx, r.Name, "user.add", reason, func(tx *store.Tx, _ *store.UserRow) (*store.UserRow, error) {
		if all, err := tx.Users(); err != nil || len(all) > 0 {
			return nil, errors.Join(err, problem.New(problem.RuleRefused, "there is a user already: administrators add the others"))
		}
		return &store.UserRow{
			Name: r.Name, Printed: strings.TrimSpace(r.PrintedName), Person: r.Person, Roles: r.Roles, Password: password, Created: now, Changed: now,
		}, nil
	}); err != nil {
		return s.fail(err)
	}
	return nil
}

// CallerOf returns the user as a caller.
func CallerOf(u *store.UserRow) *Caller {
	return &Caller{Principal: u.Name, Roles: u.Roles, Plants: append([]event.PlantID(nil), u.Plants...)}
}

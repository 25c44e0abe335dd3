package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Passwords hold the canary, so that one that is answered, logged or entered into the ledger fails the test.
const (
	firstPassword = "first " + canary
	ownPassword   = "own " + canary
)

// request of a user as an administrator makes it.
func user(name, printed, person string, roles ...string) map[string]any {
	return map[string]any{"name": name, "printed_name": printed, "person": person, "roles": roles, "password": firstPassword}
}

// addUser adds a user who has a password of their own.
func (f *fixture) addUser(name, printed, person string, roles ...string) {
	f.t.Helper()
	var u api.User
	f.post("admin", "/users", nil, user(name, printed, person, roles...)).into(f.t, &u)
	f.post("viewer", "/users/"+name+"/password", nil, map[string]string{"old": firstPassword, "new": ownPassword}).into(f.t, &u)
	if u.Given {
		f.t.Fatalf("user is %+v", u)
	}
}

// silent asserts that no password went into log or ledger.
func (f *fixture) silent() {
	f.t.Helper()
	if strings.Contains(f.log.String(), canary) {
		f.t.Errorf("the log tells a secret: %s", f.log)
	}
	if err := f.store.View(f.t.Context(), func(tx *store.Tx) error {
		entries, err := tx.Entries(0, 1000)
		for _, e := range entries {
			if strings.Contains(fmt.Sprint(e), canary) || strings.Contains(fmt.Sprint(e), "argon2") {
				f.t.Errorf("the ledger tells a secret: %+v", e)
			}
		}
		users, err2 := tx.Users()
		for _, u := range users {
			if strings.Contains(u.Password, canary) || !strings.HasPrefix(u.Password, "$argon2id$") {
				f.t.Errorf("stored for %s is %s", u.Name, u.Password)
			}
		}
		if err == nil {
			err = err2
		}
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
}

func TestAPI_Users(t *testing.T) {
	f := newFixture(t)
	var u api.User
	golden(t, "user", f.post("admin", "/users", nil, user("alice", "Alice Weber", "4711", "quality", "viewer")))
	f.post("admin", "/users", nil, user("alice", "Alice Weber", "4711", "quality")).refused(t, http.StatusConflict, problem.RuleRefused)
	for name, change := range map[string]map[string]any{
		"ErrName":      {"name": "Alice W"},
		"ErrNoName":    {"name": ""},
		"ErrPrinted":   {"printed_name": " "},
		"ErrControl":   {"printed_name": "Alice\x1b[2J"},
		"ErrPerson":    {"person": ""},
		"ErrRole":      {"roles": []string{"king"}},
		"ErrNoRole":    {"roles": []string{}},
		"ErrRoleTwice": {"roles": []string{"viewer", "viewer"}},
		"ErrPlant":     {"plants": []string{"Halle 1"}},
		"ErrPassword":  {"password": "short"},
		"ErrOwnName":   {"password": "carol-carol-1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := user("carol", "Carol Lind", "4713", "viewer")
			for k, v := range change {
				r[k] = v
			}
			f.post("admin", "/users", nil, r).refused(t, http.StatusUnprocessableEntity, problem.Usage)
		})
	}

	path := "/users/alice/password"
	t.Run("password", func(t *testing.T) {
		f.post("viewer", path, nil, map[string]string{"new": ownPassword}).refused(t, http.StatusForbidden, problem.RoleRefused)
		f.post("admin", path, nil, map[string]string{"new": ownPassword}).refused(t, http.StatusUnprocessableEntity, problem.ReasonNeeded)
		f.post("viewer", path, nil, map[string]string{"old": "wrong", "new": ownPassword}).refused(t, http.StatusUnauthorized, problem.PasswordRefused)
		f.post("viewer", path, nil, map[string]string{"old": firstPassword, "new": firstPassword}).refused(t, http.StatusUnprocessableEntity, problem.Usage)
		f.post("viewer", path, nil, map[string]string{"old": firstPassword, "new": "short"}).refused(t, http.StatusUnprocessableEntity, problem.Usage)
		f.post("viewer", path, nil, map[string]string{"old": firstPassword, "new": ownPassword}).into(t, &u)
		if u.Given || u.Version != 2 {
			t.Errorf("after a change by herself alice is %+v", u)
		}
		f.post("admin", path, nil, map[string]string{"new": "another one " + canary, "reason": "forgotten"}).into(t, &u)
		if !u.Given || u.Version != 3 {
			t.Errorf("after a change by an administrator alice is %+v", u)
		}
		f.post("admin", "/users/carol/password", nil, map[string]string{"new": ownPassword, "reason": "x"}).refused(t, http.StatusNotFound, problem.ObjectHidden)
	})
	t.Run("disable", func(t *testing.T) {
		f.post("admin", "/users/alice/disable", nil, map[string]string{"reason": " "}).refused(t, http.StatusUnprocessableEntity, problem.ReasonNeeded)
		f.post("admin", "/users/carol/disable", nil, map[string]string{"reason": "x"}).refused(t, http.StatusNotFound, problem.ObjectHidden)
		f.post("admin", "/users/alice/disable", nil, map[string]string{"reason": "left"}).into(t, &u)
		if !u.Disabled {
			t.Errorf("alice is %+v", u)
		}
		f.post("viewer", path, nil, map[string]string{"old": "another one " + canary, "new": ownPassword}).refused(t, http.StatusUnauthorized, problem.PasswordRefused)
		f.post("admin", "/users/alice/enable", nil, map[string]string{"reason": "back"}).into(t, &u)
		f.post("viewer", path, nil, map[string]string{"old": "another one " + canary, "new": ownPassword}).into(t, &u)
	})
	golden(t, "users", f.get("auditor", "/users"))
	t.Run("ledger", func(t *testing.T) {
		acts := map[string]int{}
		if err := f.store.View(t.Context(), func(tx *store.Tx) error {
			entries, err := tx.Entries(0, 1000)
			for _, e := range entries {
				if e.Object == "user:alice" {
					acts[e.Act+" by "+e.Principal]++
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"user.add by admin": 1, "user.passwd by viewer": 2, "user.passwd by admin": 1, "user.disable by admin": 1, "user.enable by admin": 1}
		if fmt.Sprint(acts) != fmt.Sprint(want) {
			t.Errorf("entries are %v, want %v", acts, want)
		}
	})
	f.silent()
}

func TestAPI_LockOut(t *testing.T) {
	f := newFixture(t)
	f.addUser("alice", "Alice Weber", "4711", "quality")
	try := func(name, password string) *answer {
		return f.post("viewer", "/users/"+name+"/password", nil, map[string]string{"old": password, "new": "new one " + canary})
	}
	for _, name := range []string{"alice", "nobody"} { // the answers do not tell who exists
		for n := range 4 {
			t.Run(fmt.Sprintf("%s is wrong for the %d. time", name, n+1), func(t *testing.T) {
				try(name, "guess").refused(t, http.StatusUnauthorized, problem.PasswordRefused)
			})
		}
		try(name, "guess").refused(t, http.StatusUnauthorized, problem.UserLocked)
		try(name, ownPassword).refused(t, http.StatusUnauthorized, problem.UserLocked) // not even the right one
	}
	var list api.UserList
	f.get("admin", "/users").into(t, &list)
	if until := list.Users[0].LockedUntil; !until.Equal(f.now.Add(time.Minute)) {
		t.Errorf("alice is locked until %v, want a minute", until)
	}
	for _, length := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		f.get("admin", "/users").into(t, &list)
		f.now = list.Users[0].LockedUntil.Add(time.Millisecond)
		try("alice", "guess").refused(t, http.StatusUnauthorized, problem.UserLocked)
		f.get("admin", "/users").into(t, &list)
		if got := list.Users[0].LockedUntil.Sub(f.now); got != length*time.Minute {
			t.Errorf("locked for %v, want %v minutes", got, int64(length))
		}
	}
	t.Run("the right password ends it", func(t *testing.T) {
		f.now = f.now.Add(time.Hour + time.Second)
		var u api.User
		try("alice", ownPassword).into(t, &u)
		f.post("viewer", "/users/alice/password", nil, map[string]string{"old": "guess", "new": ownPassword}).
			refused(t, http.StatusUnauthorized, problem.PasswordRefused)
	})
	t.Run("so does a new one by an administrator", func(t *testing.T) {
		for range 5 {
			try("alice", "guess")
		}
		var u api.User
		f.post("admin", "/users/alice/password", nil, map[string]string{"new": firstPassword, "reason": "locked out"}).into(t, &u)
		if !u.LockedUntil.IsZero() {
			t.Errorf("alice is still locked until %v", u.LockedUntil)
		}
		try("alice", firstPassword).into(t, &u)
	})
	t.Run("of many tries at once none passes unseen", func(t *testing.T) {
		answers := make(chan int, 20)
		for range 20 {
			go func() { answers <- try("bob", "guess").status }()
		}
		for range 20 {
			if status := <-answers; status != http.StatusUnauthorized {
				t.Errorf("status %d", status)
			}
		}
		if err := f.store.View(t.Context(), func(tx *store.Tx) error {
			login, err := tx.Login("bob")
			if login.Failures != 5 {
				t.Errorf("%d passwords were looked at, want 5", login.Failures)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
	if f.acts("login.refused") == 0 {
		t.Error("wrong passwords are not in the ledger")
	}
	f.silent()
}

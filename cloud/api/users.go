package api

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// User is a person who signs, and logs in at the console.
type User struct {
	Name        string          `json:"name" doc:"of the account"`
	Version     int64           `json:"version"`
	PrintedName string          `json:"printed_name" doc:"as signatures show it"`
	Person      string          `json:"person" doc:"id of the person; two accounts of one are one signer"`
	Roles       []string        `json:"roles"`
	Plants      []event.PlantID `json:"plants" doc:"that the user may see; none = all"`
	Disabled    bool            `json:"disabled"`
	Given       bool            `json:"password_given" doc:"an administrator chose the password: it has to be changed before it signs"`
	CreatedAt   time.Time       `json:"created_at"`
	ChangedAt   time.Time       `json:"password_changed_at"`
	LockedUntil time.Time       `json:"locked_until,omitzero" doc:"after wrong passwords"`
}

// UserList is all users, by name.
type UserList struct {
	Users []User `json:"users"`
}

// UserRequest asks for a user.
type UserRequest struct {
	Name        string          `json:"name" maxLength:"64"`
	PrintedName string          `json:"printed_name" maxLength:"128"`
	Person      string          `json:"person" maxLength:"64"`
	Roles       []string        `json:"roles" minItems:"1" maxItems:"5"`
	Plants      []event.PlantID `json:"plants,omitempty" maxItems:"1000"`
	Password    string          `json:"password" maxLength:"256" doc:"the user changes it before it signs"`
}

// PasswordRequest asks for a new password: with the old one for one's own, with a reason for another's.
type PasswordRequest struct {
	Old    string `json:"old,omitempty" maxLength:"256"`
	New    string `json:"new" maxLength:"256"`
	Reason string `json:"reason,omitempty" maxLength:"4000"`
}

type userInput struct{ Body UserRequest }

type userActInput struct {
	Name string `path:"name"`
	Body ReasonRequest
}

type passwordInput struct {
	Name string `path:"name"`
	Body PasswordRequest
}

// userPattern is the form of user names: no letters that look like others, no case.
var userPattern = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,63}$`)

func (s *server) users(ctx context.Context, _ *struct{}) (*view[UserList], error) {
	list := UserList{Users: []User{}}
	err := s.read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Users()
		for i := range rows {
			u, err := s.userView(tx, &rows[i])
			if err != nil {
				return err
			}
			list.Users = append(list.Users, u)
		}
		return err
	})
	return &view[UserList]{list}, err
}

func (s *server) userView(tx *store.Tx, r *store.UserRow) (User, error) {
	u := User{
		Name: r.Name, Version: r.Version, PrintedName: r.Printed, Person: r.Person, Roles: r.Roles, Plants: r.Plants, Disabled: r.Disabled,
		Given: r.Given, CreatedAt: r.Created, ChangedAt: r.Changed,
	}
	if u.Plants == nil {
		u.Plants = []event.PlantID{}
	}
	login, err := tx.Login(r.Name)
	if login.Until.After(s.cfg.Now()) {
		u.LockedUntil = login.Until
	}
	return u, err
}

func (s *server) addUser(ctx context.Context, in *userInput) (*view[User], error) {
	r := &in.Body
	if err := checkUser(r); err != nil {
		return nil, err
	}
	password, err := s.cfg.Hashing.hash(r.Password)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	return s.changeUser(ctx, r.Name, "user.add", "", func(_ *store.Tx, was *store.UserRow) (*store.UserRow, error) {
		if was != nil {
			return nil, problem.New(problem.RuleRefused, "there is a user %s already", r.Name)
		}
		return &store.UserRow{
			Name: r.Name, Printed: strings.TrimSpace(r.PrintedName), Person: r.Person, Roles: r.Roles, Plants: r.Plants, Password: password,
			Given: true, Created: now, Changed: now,
		}, nil
	})
}

func checkUser(r *UserRequest) error {
	switch {
	case !userPattern.MatchString(r.Name):
		return problem.New(problem.Usage, "user name %.80q: want a small letter, then small letters, digits, dots, hyphens and underscores, at most 64", r.Name)
	case strings.TrimSpace(r.PrintedName) == "" || strings.ContainsFunc(r.PrintedName, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return problem.New(problem.Usage, "the printed name is empty or holds control characters: want the person's name as a signature shows it")
	case r.Person == "" || strings.ContainsAny(r.Person, " \t\r\n"):
		return problem.New(problem.Usage, "person id %.80q: want a word that names the person, such as the personnel number", r.Person)
	}
	for i, role := range r.Roles {
		if err := CheckRole(role); err != nil {
			return problem.New(problem.Usage, "%w", err)
		}
		if slices.Contains(r.Roles[:i], role) {
			return problem.New(problem.Usage, "role %s stands twice", role)
		}
	}
	for _, p := range r.Plants {
		if err := event.CheckPlant(string(p)); err != nil {
			return problem.New(problem.Usage, "%w", err)
		}
	}
	return checkPassword(r.Password, r.Name, r.PrintedName)
}

func (s *server) disableUser(ctx context.Context, in *userActInput) (*view[User], error) {
	return s.setDisabled(ctx, in, "user.disable", true)
}

func (s *server) enableUser(ctx context.Context, in *userActInput) (*view[User], error) {
	return s.setDisabled(ctx, in, "user.enable", false)
}

func (s *server) setDisabled(ctx context.Context, in *userActInput, act string, disabled bool) (*view[User], error) {
	if err := needReason(in.Body.Reason); err != nil {
		return nil, err
	}
	return s.changeUser(ctx, in.Name, act, in.Body.Reason, func(_ *store.Tx, was *store.UserRow) (*store.UserRow, error) {
		if was == nil {
			return nil, noUser(in.Name)
		}
		now := *was
		now.Disabled = disabled
		return &now, nil
	})
}

func noUser(name string) error {
	return problem.New(problem.ObjectHidden, "there is no user %.80s", name)
}

// changePassword takes a new password from the user, who gives the old one, or from an administrator. Only the former
// may sign with it: nobody else knows it.
func (s *server) changePassword(ctx context.Context, in *passwordInput) (*view[User], error) {
	own := in.Body.Old != ""
	c := callerOf(ctx)
	switch {
	case own && in.Body.Old == in.Body.New:
		return nil, problem.New(problem.Usage, "the new password is the old one")
	case own:
		if _, err := s.verify(ctx, in.Name, in.Body.Old); err != nil {
			return nil, err
		}
	case !may(c.Roles, actUsers):
		s.record(ctx, c, "access.refused", "user:"+in.Name, "password of another user")
		return nil, problem.New(problem.RoleRefused, "without the old password it takes the role %s to set another one", rolesFor(actUsers))
	default:
		if err := needReason(in.Body.Reason); err != nil {
			return nil, err
		}
	}
	if err := checkPassword(in.Body.New, in.Name); err != nil {
		return nil, err
	}
	hash, err := s.cfg.Hashing.hash(in.Body.New)
	if err != nil {
		return nil, err
	}
	reason := in.Body.Reason
	if own {
		reason = "by the user, with the old password"
	}
	return s.changeUser(ctx, in.Name, "user.passwd", reason, func(_ *store.Tx, was *store.UserRow) (*store.UserRow, error) {
		if was == nil {
			return nil, noUser(in.Name)
		}
		if err := checkPassword(in.Body.New, was.Name, was.Printed); err != nil {
			return nil, err
		}
		now := *was
		now.Password, now.Given, now.Changed = hash, !own, s.cfg.Now()
		return &now, nil
	})
}

// changeUser stores what f makes of a user, with its entry in the ledger. F gets nil for one that does not exist.
func (s *server) changeUser(ctx context.Context, name, act, reason string, f func(*store.Tx, *store.UserRow) (*store.UserRow, error)) (*view[User], error) {
	var out User
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		was, err := tx.User(name)
		if err != nil {
			return err
		}
		now, err := f(tx, was)
		if err != nil {
			return err
		}
		now.Version++
		if err := tx.PutUser(now); err != nil {
			return fmt.Errorf("store user %s: %w", name, err)
		}
		if act == "user.passwd" {
			if err := tx.DropLogin(name); err != nil {
				return err
			}
		}
		entry := store.Entry{
			At: s.cfg.Now(), Principal: callerOf(ctx).Principal, Act: act, Object: "user:" + name, Version: now.Version, Reason: reason,
			Was: userText(was), Now: userText(now),
		}
		if err := tx.AddEntry(&entry); err != nil {
			return fmt.Errorf("enter %s of %s into the ledger: %w", act, name, err)
		}
		out, err = s.userView(tx, now)
		return err
	})
	return &view[User]{out}, err
}

// userText is what the ledger says of a user: all but the hash of the password.
func userText(r *store.UserRow) string {
	if r == nil {
		return ""
	}
	b, err := json.Marshal(struct {
		Name     string          `json:"name"`
		Printed  string          `json:"printed_name"`
		Person   string          `json:"person"`
		Roles    []string        `json:"roles"`
		Plants   []event.PlantID `json:"plants,omitempty"`
		Disabled bool            `json:"disabled"`
		Given    bool            `json:"password_given"`
		Changed  time.Time       `json:"password_changed_at"`
	}{r.Name, r.Printed, r.Person, r.Roles, r.Plants, r.Disabled, r.Given, r.Changed.UTC()})
	if err != nil {
		return "" // texts, flags and a time do encode
	}
	return string(b)
}

package api

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Lock-out: a person who mistypes has some tries, then each wrong password costs twice as long as the one before. An hour
// at the most, so that nobody can lock a user out for good.
const (
	freeTries   = 5
	firstLock   = time.Minute
	longestLock = time.Hour
	forgetAfter = 24 * time.Hour
)

// logins looks at passwords, one at a time: of many tried at once none passes between look and count, and the memory
// that a hash takes is taken once.
type logins struct {
	turn  chan struct{} // holds one token
	decoy func() (storedHash, error)
}

func newLogins(h Hashing) logins {
	l := logins{turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	// Compared where there is no such user, so that the time does not tell.
	l.decoy = sync.OnceValues(func() (storedHash, error) {
		text, err := h.hash("nobody has this password")
		if err != nil {
			return storedHash{}, err
		}
		return parseHash(text)
	})
	return l
}

// verify returns the user whose name and password these are. A wrong password, a user that does not exist and one that is
// disabled are answered alike, and count alike.
func (s *server) verify(ctx context.Context, name, password string) (*store.UserRow, error) {
	if !userPattern.MatchString(name) || password == "" || len(password) > maxPassword {
		return nil, problem.New(problem.PasswordRefused, "user name or password is wrong")
	}
	select {
	case <-s.logins.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { s.logins.turn <- struct{}{} }()
	var user *store.UserRow
	var login store.LoginRow
	if err := s.store.View(ctx, func(tx *store.Tx) (err error) {
		if user, err = tx.User(name); err != nil {
			return err
		}
		login, err = tx.Login(name)
		return err
	}); err != nil {
		return nil, err
	}
	if s.cfg.Now().Before(login.Until) {
		return nil, locked(&login)
	}
	right, err := s.matches(user, password)
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, s.failed(ctx, &login)
	}
	if login.Failures > 0 {
		if err := s.store.Update(ctx, func(tx *store.Tx) error { return tx.DropLogin(name) }); err != nil {
			return nil, err
		}
	}
	return user, nil
}

// matches compares the password with the user's, or with one that nobody has.
func (s *server) matches(user *store.UserRow, password string) (bool, error) {
	if user == nil {
		hash, err := s.logins.decoy()
		if err != nil {
			return false, err
		}
		hash.matches(password)
		return false, nil
	}
	hash, err := parseHash(user.Password)
	if err != nil {
		return false, err
	}
	return hash.matches(password) && !user.Disabled, nil
}

// failed counts a wrong password, and locks the name where there were several.
func (s *server) failed(ctx context.Context, login *store.LoginRow) error {
	now := s.cfg.Now()
	login.Failures, login.At = login.Failures+1, now
	if over := login.Failures - freeTries; over >= 0 {
		login.Until = now.Add(min(firstLock<<min(over, 10), longestLock))
	}
	if err := s.store.Update(ctx, func(tx *store.Tx) error { return tx.PutLogin(login, now.Add(-forgetAfter)) }); err != nil {
		return err
	}
	s.record(ctx, callerOf(ctx), "login.refused", "user:"+login.Name, "wrong user name or password")
	if login.Until.After(now) {
		return locked(login)
	}
	return problem.New(problem.PasswordRefused, "user name or password is wrong")
}

func locked(login *store.LoginRow) error {
	return problem.New(problem.UserLocked, "%d wrong passwords were given for user name %s: it is locked until %s", login.Failures, login.Name, event.At(login.Until))
}

package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// A browser holds a random token in a cookie from its first visit on. A log-in gives it a new one, whose hash names the
// session in the store.
const cookieName = "holdfast"

// seenStep is how exactly it is known when a session was last used: one row a minute is written for it at most.
const seenStep = time.Minute

var cookiePattern = regexp.MustCompile(`^[A-Z2-7]{52}$`)

// newToken returns 260 random bits.
func newToken() string { return rand.Text() + rand.Text() }

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// giveToken puts a new token into the browser, in the place of the one that it has.
func (v *visit) giveToken() {
	v.token = newToken()
	http.SetCookie(v.w, &http.Cookie{
		Name: cookieName, Value: v.token, Path: v.c.cfg.BasePath + "/", HttpOnly: true, Secure: v.secure(), SameSite: http.SameSiteLaxMode,
	})
}

// secure tells whether the browser came by TLS, to us or to the proxy in front. A header that somebody else set only makes
// the cookie more careful.
func (v *visit) secure() bool {
	return v.r.TLS != nil || strings.EqualFold(v.r.Header.Get("X-Forwarded-Proto"), "https")
}

// findSession finds the user whose session the browser's token names.
func (v *visit) findSession(ctx context.Context) error {
	cookie, err := v.r.Cookie(cookieName)
	if err != nil || !cookiePattern.MatchString(cookie.Value) {
		return nil
	}
	v.token = cookie.Value
	var row *store.SessionRow
	err = v.c.Store.View(ctx, func(tx *store.Tx) error {
		var user *store.UserRow
		if row, err = tx.Session(hashOf(v.token)); err != nil || row == nil {
			return err
		}
		if user, err = tx.User(row.Name); err != nil {
			return err
		}
		if v.c.lives(row, user, v.Now) {
			v.User, v.caller = user, api.CallerOf(user)
		}
		return nil
	})
	if err != nil || v.User == nil || v.Now.Sub(row.Seen) < seenStep || v.background() {
		return err
	}
	row.Seen = v.Now
	return v.c.Store.Update(ctx, func(tx *store.Tx) error { return tx.PutSession(row, v.Now.Add(-v.c.cfg.Longest)) })
}

// lives tells whether a session goes on. It ends by time, and with the password that it was begun with or its user's right
// to log in.
func (c *Console) lives(row *store.SessionRow, user *store.UserRow, now time.Time) bool {
	return user != nil && !user.Disabled && !user.Changed.After(row.Started) &&
		now.Sub(row.Seen) < c.cfg.Idle && now.Sub(row.Started) < c.cfg.Longest
}

// background tells that the page asks by itself: a page left open does not keep its session alive.
func (v *visit) background() bool { return v.r.Header.Get("HX-Trigger") == "live" }

// begin begins the session of a user, with a token that nobody has seen before.
func (v *visit) begin(user *store.UserRow) error {
	was := v.token
	v.giveToken()
	row := store.SessionRow{Hash: hashOf(v.token), Name: user.Name, Started: v.Now, Seen: v.Now}
	return v.c.Store.Update(v.r.Context(), func(tx *store.Tx) error {
		if err := tx.DropSession(hashOf(was)); err != nil {
			return err
		}
		return tx.PutSession(&row, v.Now.Add(-v.c.cfg.Longest))
	})
}

// end ends the session.
func (v *visit) end() error {
	was := v.token
	v.giveToken()
	return v.c.Store.Update(v.r.Context(), func(tx *store.Tx) error { return tx.DropSession(hashOf(was)) })
}

// FormToken returns the token that each form of the visit carries: the session's own under a random mask, so that
// compressing the page tells nothing of it.
func (v *visit) FormToken() string {
	own := v.formToken()
	mask := make([]byte, len(own))
	_, _ = rand.Read(mask) // never returns an error
	for i := range own {
		own[i] ^= mask[i]
	}
	return base64.RawURLEncoding.EncodeToString(append(mask, own...))
}

func (v *visit) formToken() []byte {
	mac := hmac.New(sha256.New, []byte(v.token))
	mac.Write([]byte("form"))
	return mac.Sum(nil)
}

// checkToken refuses a form that did not come from a page of ours.
func (v *visit) checkToken() error {
	if err := v.c.origins.Check(v.r); err != nil {
		return problem.New(problem.FormForeign, "the form was sent by a page of another host")
	}
	if err := v.r.ParseForm(); err != nil {
		return problem.New(problem.Usage, "the form could not be read: %w", err)
	}
	b, err := base64.RawURLEncoding.DecodeString(v.r.PostForm.Get("token"))
	own := v.formToken()
	if err != nil || v.token == "" || len(b) != 2*len(own) {
		return problem.New(problem.FormForeign, "the form carries no token of this session")
	}
	for i := range own {
		b[len(own)+i] ^= b[i]
	}
	if !hmac.Equal(b[len(own):], own) {
		return problem.New(problem.FormForeign, "the form carries the token of another session")
	}
	return nil
}

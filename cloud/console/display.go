package console

import (
	"net/http"
	"net/url"
	"strings"
)

const displayCookie = "holdfast_display"

// readDisplay reads how the browser's user wants pages shown.
func (v *visit) readDisplay() {
	cookie, err := v.r.Cookie(displayCookie)
	if err != nil {
		return
	}
	q, err := url.ParseQuery(cookie.Value)
	if err != nil {
		return
	}
	if t := q.Get("theme"); t == "light" || t == "dark" {
		v.Theme = t
	}
	v.UTC = q.Get("utc") == "1"
}

// setDisplay changes how pages are shown, and goes back to the page.
func (v *visit) setDisplay() error {
	form := v.r.PostForm
	q := url.Values{}
	if t := form.Get("theme"); t == "light" || t == "dark" {
		q.Set("theme", t)
	}
	if form.Get("utc") == "1" {
		q.Set("utc", "1")
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: displayCookie, Value: q.Encode(), Path: v.c.cfg.BasePath + "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, Secure: v.secure(),
		SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(v.w, v.r, v.back(form.Get("back")), http.StatusSeeOther)
	return nil
}

// back returns where to go after a form: a page of ours, never one of another host.
func (v *visit) back(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || strings.ContainsAny(to, "\\\r\n") ||
		!strings.HasPrefix(to, v.c.cfg.BasePath+"/") || strings.HasPrefix(to, "//") {
		return v.URL("/lots")
	}
	return to
}

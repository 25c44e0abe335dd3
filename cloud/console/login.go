package console

import (
	"crypto/subtle"
	"net/http"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// loginData is what the log-in page shows.
type loginData struct {
	Failure *api.Failure
	Name    string
	Back    string
}

func (v *visit) loginPage() error {
	if v.User != nil {
		return v.goTo("/lots")
	}
	return v.showLogin(http.StatusOK, loginData{Back: v.r.URL.Query().Get("back")})
}

func (v *visit) showLogin(status int, d loginData) error {
	title, err := v.T("login.title")
	if err != nil {
		return err
	}
	return v.show(status, "login", view{Title: title, Data: d})
}

// askLogIn sends a visitor to log in, and back afterwards.
func (v *visit) askLogIn() {
	back := v.Here()
	if v.r.Method != http.MethodGet {
		back = ""
	}
	if v.background() {
		v.w.Header().Set("HX-Redirect", v.URL("/login", "back", back)) // the page is left, not a part of it replaced
		v.w.WriteHeader(http.StatusOK)
		return
	}
	_ = v.goTo("/login", "back", back) // never fails
}

func (v *visit) logIn() error {
	form := v.r.PostForm
	d := loginData{Name: form.Get("name"), Back: form.Get("back")}
	refused := func(err error) error {
		d.Failure = v.failureOf(err)
		return v.showLogin(d.Failure.Status, d)
	}
	if !v.c.knocks.allow(v.r, v.Now) {
		return refused(problem.New(problem.LoginsTooMany, "too many log-ins were tried from this address"))
	}
	user, err := v.c.Desk.LogIn(v.r.Context(), d.Name, form.Get("password"))
	if err != nil {
		return refused(err)
	}
	if err := v.begin(user); err != nil {
		return err
	}
	if user.Given {
		return v.goTo("/account", "did", "given")
	}
	http.Redirect(v.w, v.r, v.back(d.Back), http.StatusSeeOther)
	return nil
}

func (v *visit) logOut() error {
	v.c.Desk.LogOut(v.r.Context(), v.caller)
	if err := v.end(); err != nil {
		return err
	}
	return v.goTo("/login", "did", "logout")
}

// firstData is what the page that makes the first administrator shows.
type firstData struct {
	Failure *api.Failure
	Token   string
	Request api.UserRequest
}

func (v *visit) firstPage() error {
	token := v.r.URL.Query().Get("token")
	if err := v.c.checkFirst(token); err != nil {
		return err
	}
	return v.showFirst(http.StatusOK, firstData{Token: token})
}

func (v *visit) showFirst(status int, d firstData) error {
	title, err := v.T("first.title")
	if err != nil {
		return err
	}
	return v.show(status, "first", view{Title: title, Data: d})
}

// checkFirst refuses a link that is none, or was used.
func (c *Console) checkFirst(token string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first.token == "" || subtle.ConstantTimeCompare([]byte(c.first.token), []byte(token)) != 1 || c.Now().After(c.first.until) {
		return problem.New(problem.LinkUsed, "the link for the first administrator is used, too old, or not ours")
	}
	return nil
}

func (v *visit) makeFirst() error {
	form := v.r.PostForm
	d := firstData{Token: form.Get("link"), Request: api.UserRequest{
		Name: form.Get("name"), PrintedName: form.Get("printed_name"), Person: form.Get("person"), Password: form.Get("password"),
	}}
	if !v.c.knocks.allow(v.r, v.Now) {
		return problem.New(problem.LoginsTooMany, "too many log-ins were tried from this address")
	}
	if err := v.c.checkFirst(d.Token); err != nil {
		return err
	}
	err := v.c.Desk.FirstUser(v.r.Context(), d.Request)
	d.Request.Password = ""
	if err != nil {
		d.Failure = v.failureOf(err)
		return v.showFirst(d.Failure.Status, d)
	}
	v.c.mu.Lock()
	v.c.first = firstLink{}
	v.c.mu.Unlock()
	return v.goTo("/login", "did", "first")
}

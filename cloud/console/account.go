package console

import (
	"net/http"
	"net/url"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (v *visit) accountPage() error { return v.showAccount(http.StatusOK, nil) }

func (v *visit) showAccount(status int, f *api.Failure) error {
	title, err := v.T("account.title")
	if err != nil {
		return err
	}
	return v.show(status, "account", view{Title: title, Section: "account", Data: f})
}

// changePassword changes the user's own password. All other sessions of the user end with the old one.
func (v *visit) changePassword() error {
	form := v.r.PostForm
	refused := func(err error) error {
		f := v.failureOf(err)
		return v.showAccount(f.Status, f)
	}
	in := api.PasswordRequest{Old: form.Get("old"), New: form.Get("new")}
	switch {
	case in.Old == "":
		return refused(problem.New(problem.Usage, "the old password is missing"))
	case in.New != form.Get("again"):
		return refused(problem.New(problem.Usage, "the new password was typed in two ways"))
	}
	if err := v.post("/users/"+url.PathEscape(v.User.Name)+"/password", 0, in, nil); err != nil {
		return refused(err)
	}
	var user *store.UserRow
	if err := v.c.Store.View(v.r.Context(), func(tx *store.Tx) (err error) {
		user, err = tx.User(v.User.Name)
		return err
	}); err != nil {
		return err
	}
	v.Now = v.c.Now() // not before the change
	if err := v.begin(user); err != nil {
		return err
	}
	return v.goTo("/account", "did", "password")
}

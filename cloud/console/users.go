package console

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// usersData is what the page of users shows.
type usersData struct {
	Users   []api.User
	Roles   []string
	Failure *api.Failure // of the act that was refused
	Form    url.Values   // of that act
}

func (v *visit) usersPage() error { return v.showUsers(http.StatusOK, nil) }

func (v *visit) showUsers(status int, f *api.Failure) error {
	d := usersData{Roles: api.RoleNames(), Failure: f, Form: v.r.PostForm}
	var list api.UserList
	if err := v.get("/users", &list); err != nil {
		return err
	}
	d.Users = list.Users
	title, err := v.T("users.title")
	if err != nil {
		return err
	}
	return v.show(status, "users", view{Title: title, Section: "users", Data: d})
}

// userAct calls an operation on users, and shows the users again.
func (v *visit) userAct(path string, in any, did string) error {
	if err := v.post(path, 0, in, nil); err != nil {
		f := v.failureOf(err)
		v.r.PostForm.Del("password") // never shown again
		return v.showUsers(f.Status, f)
	}
	return v.goTo("/users", "did", did)
}

func (v *visit) addUser() error {
	form := v.r.PostForm
	in := api.UserRequest{
		Name: form.Get("name"), PrintedName: form.Get("printed_name"), Person: form.Get("person"), Password: form.Get("password"), Roles: form["role"],
	}
	for _, p := range strings.FieldsFunc(form.Get("plants"), func(r rune) bool { return r == ',' || r == ' ' }) {
		in.Plants = append(in.Plants, event.PlantID(p))
	}
	return v.userAct("/users", in, "user_added")
}

func (v *visit) disableUser() error { return v.userSwitch("disable", "user_disabled") }

func (v *visit) enableUser() error { return v.userSwitch("enable", "user_enabled") }

func (v *visit) userSwitch(act, did string) error {
	path := "/users/" + url.PathEscape(v.r.PathValue("name")) + "/" + act
	return v.userAct(path, api.ReasonRequest{Reason: v.r.PostForm.Get("reason")}, did)
}

// givePassword gives a user a new password, which that user changes before it signs.
func (v *visit) givePassword() error {
	form := v.r.PostForm
	path := "/users/" + url.PathEscape(v.r.PathValue("name")) + "/password"
	return v.userAct(path, api.PasswordRequest{New: form.Get("password"), Reason: form.Get("reason")}, "user_password")
}

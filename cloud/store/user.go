package store

import (
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// UserRow is a local user: a person who signs, and logs in at the console.
type UserRow struct {
	Name     string // of the account
	Version  int64  // raised by each change
	Printed  string // name of the person, as signatures show it
	Person   string // id of the person: two accounts of one are one signer
	Roles    []string
	Plants   []event.PlantID // that the user may see; none = all
	Password string          // a hash in PHC form, never the password
	Given    bool            // the password was chosen by another person, who may know it
	Disabled bool
	Created  time.Time
	Changed  time.Time // of the password
}

const userColumns = `name, version, printed, person, roles, plants, password, given, disabled, created, changed`

// Users returns all users, sorted by name.
func (t *Tx) Users() ([]UserRow, error) {
	return t.users(`SELECT ` + userColumns + ` FROM local_user ORDER BY name`)
}

// User returns a user, nil if there is none.
func (t *Tx) User(name string) (*UserRow, error) {
	rows, err := t.users(`SELECT `+userColumns+` FROM local_user WHERE name = ?`, name)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

func (t *Tx) users(query string, args ...any) ([]UserRow, error) {
	var all []UserRow
	err := t.each(func(rows *sql.Rows) error {
		var u UserRow
		var roles, plants, created, changed string
		err := rows.Scan(&u.Name, &u.Version, &u.Printed, &u.Person, &roles, &plants, &u.Password, &u.Given, &u.Disabled, &created, &changed)
		if err != nil {
			return err
		}
		u.Roles = strings.Fields(roles)
		for _, p := range strings.Fields(plants) {
			u.Plants = append(u.Plants, event.PlantID(p))
		}
		if u.Created, err = parse(created); err != nil {
			return err
		}
		u.Changed, err = parse(changed)
		all = append(all, u)
		return err
	}, query, args...)
	return all, err
}

// PutUser stores a user. Roles and plants are words without spaces.
func (t *Tx) PutUser(u *UserRow) error {
	plants := make([]string, len(u.Plants))
	for i, p := range u.Plants {
		plants[i] = string(p)
	}
	return t.exec(`INSERT INTO local_user (`+userColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
		version = excluded.version, printed = excluded.printed, person = excluded.person, roles = excluded.roles, plants = excluded.plants,
		password = excluded.password, given = excluded.given, disabled = excluded.disabled, changed = excluded.changed`,
		u.Name, u.Version, u.Printed, u.Person, strings.Join(u.Roles, " "), strings.Join(plants, " "), u.Password, flag(u.Given), flag(u.Disabled),
		text(u.Created), text(u.Changed))
}

// LoginRow counts the wrong passwords given for a name, of a user or of nobody.
type LoginRow struct {
	Name     string
	Failures int64     // since the last right one
	Until    time.Time // no password is looked at before
	At       time.Time // of the last failure
}

// Login returns the failures of a name; the zero row if there are none.
func (t *Tx) Login(name string) (LoginRow, error) {
	r := LoginRow{Name: name}
	var until, at string
	err := t.row(`SELECT failures, until, at FROM login WHERE name = ?`, name).Scan(&r.Failures, &until, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if r.Until, err = parse(until); err != nil {
		return r, err
	}
	r.At, err = parse(at)
	return r, err
}

// PutLogin stores the failures of a name, and forgets those of all names that are older than before.
func (t *Tx) PutLogin(r *LoginRow, before time.Time) error {
	if err := t.exec(`DELETE FROM login WHERE at < ? AND until < ?`, text(before), text(r.At)); err != nil {
		return err
	}
	return t.exec(`INSERT INTO login (name, failures, until, at) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
		failures = excluded.failures, until = excluded.until, at = excluded.at`, r.Name, r.Failures, text(r.Until), text(r.At))
}

// DropLogin forgets the failures of a name.
func (t *Tx) DropLogin(name string) error { return t.exec(`DELETE FROM login WHERE name = ?`, name) }

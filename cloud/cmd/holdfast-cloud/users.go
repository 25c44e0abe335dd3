package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) userCommand() *cobra.Command {
	c := &cobra.Command{Use: "user", Short: "persons who sign, and log in at the console", RunE: needVerb}
	c.AddCommand(p.userAdd(), p.userList(), p.userSwitch("disable", "let a user sign and log in no more"),
		p.userSwitch("enable", "let a user sign and log in again"), p.userPasswd())
	return c
}

func userPath(name string) string { return "/users/" + url.PathEscape(name) }

func (p *program) userAdd() *cobra.Command {
	var r api.UserRequest
	var plants []string
	var file string
	c := &cobra.Command{
		Use: "add NAME", Short: "add a user; the password is asked for, or read from a file", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			r.Name = args[0]
			for flag, value := range map[string]string{"--printed-name": r.PrintedName, "--person": r.Person, "--role": strings.Join(r.Roles, "")} {
				if value == "" {
					return problem.New(problem.Usage, "no %s", flag)
				}
			}
			for _, plant := range plants {
				r.Plants = append(r.Plants, event.PlantID(plant))
			}
			cl, err := p.secretClient()
			if err != nil {
				return err
			}
			if r.Password, err = p.newPassword(c.Context(), r.Name, file); err != nil {
				return err
			}
			var u api.User
			if err := cl.post(c.Context(), "/users", nil, r, &u); err != nil {
				return err
			}
			p.say("before %s can sign, the password has to become the user's own: holdfast-cloud user passwd %s", u.Name, u.Name)
			return p.printUser(&u, "added")
		},
	}
	c.Flags().StringVar(&r.PrintedName, "printed-name", "", "the person's name as signatures show it; required")
	c.Flags().StringVar(&r.Person, "person", "", "id of the person, such as the personnel number: two accounts of one person are one signer; required")
	c.Flags().StringSliceVar(&r.Roles, "role", nil, "viewer, operator, quality, auditor or admin; may be given several times; required")
	c.Flags().StringSliceVar(&plants, "plant", nil, "plant that the user may see; none = all")
	c.Flags().StringVar(&file, "password-file", "", "file with the password, mode 0600; empty = ask")
	return c
}

func (p *program) userList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "list users", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := p.client()
			if err != nil {
				return err
			}
			var list api.UserList
			if err := cl.get(c.Context(), "/users", nil, &list); err != nil {
				return err
			}
			switch p.global.output {
			case formatJSON:
				return p.printJSON(list)
			case formatLines:
				return printLines(p.out, list.Users)
			}
			t := newTable("NAME", "PRINTED NAME", "PERSON", "ROLES", "PLANTS", "PASSWORD OF", "STATE")
			for i := range list.Users {
				u := &list.Users[i]
				t.add(plain(u.Name), plain(u.PrintedName), plain(u.Person), strings.Join(u.Roles, ", "), plantsOf(u.Plants), p.at("UTC")(u.ChangedAt), p.userState(u))
			}
			return t.print(p.out)
		},
	}
}

func plantsOf(plants []event.PlantID) string {
	if len(plants) == 0 {
		return "all"
	}
	words := make([]string, len(plants))
	for i, plant := range plants {
		words[i] = string(plant)
	}
	return strings.Join(words, ", ")
}

func (p *program) userState(u *api.User) string {
	switch {
	case u.Disabled:
		return "disabled"
	case !u.LockedUntil.IsZero():
		return "locked until " + p.at("UTC")(u.LockedUntil)
	case u.Given:
		return "has to change the password"
	}
	return "active"
}

// userSwitch is the command that disables or enables a user.
func (p *program) userSwitch(verb, does string) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: verb + " NAME", Short: does, Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := needReason(reason); err != nil {
				return err
			}
			cl, err := p.client()
			if err != nil {
				return err
			}
			var u api.User
			if err := cl.post(c.Context(), userPath(args[0])+"/"+verb, nil, api.ReasonRequest{Reason: reason}, &u); err != nil {
				return err
			}
			return p.printUser(&u, verb+"d")
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; required")
	return c
}

func (p *program) userPasswd() *cobra.Command {
	var oldFile, file, reason string
	var reset bool
	c := &cobra.Command{
		Use: "passwd NAME", Short: "change one's own password, which takes the old one; with --reset that of another user", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			r := api.PasswordRequest{Reason: reason}
			if reset {
				if err := needReason(reason); err != nil {
					return err
				}
			}
			cl, err := p.secretClient()
			if err != nil {
				return err
			}
			if !reset {
				if r.Old, err = p.password(c.Context(), "old password of "+args[0], oldFile); err != nil {
					return err
				}
			}
			if r.New, err = p.newPassword(c.Context(), args[0], file); err != nil {
				return err
			}
			var u api.User
			if err := cl.post(c.Context(), userPath(args[0])+"/password", nil, r, &u); err != nil {
				return err
			}
			return p.printUser(&u, "new password")
		},
	}
	c.Flags().StringVar(&oldFile, "old-password-file", "", "file with the old password, mode 0600; empty = ask")
	c.Flags().StringVar(&file, "password-file", "", "file with the new password, mode 0600; empty = ask")
	c.Flags().BoolVar(&reset, "reset", false, "as an administrator: without the old password; the user changes it before it signs")
	c.Flags().StringVar(&reason, "reason", "", "why; required with --reset")
	return c
}

func (p *program) printUser(u *api.User, done string) error {
	if p.global.output != formatTable {
		return p.printJSON(u)
	}
	_, err := fmt.Fprintf(p.out, "%s: %s (%s, person %s)   roles %s   %s\n", done, plain(u.Name), plain(u.PrintedName), plain(u.Person),
		strings.Join(u.Roles, ", "), p.userState(u))
	return err
}

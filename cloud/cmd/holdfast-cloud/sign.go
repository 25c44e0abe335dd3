package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// signing is who signs an act, and where their passwords are.
type signing struct {
	names, files []string
}

// flags adds what names the signers; how says how many it takes.
func (s *signing) flags(c *cobra.Command, how string) {
	c.Flags().StringArrayVar(&s.names, "signer", nil, "user who signs; "+how)
	c.Flags().StringArrayVar(&s.files, "password-file", nil, "file with the password of each signer, in their order, mode 0600; none = ask")
}

// check refuses what can't be signed, before anything is asked or sent.
func (s *signing) check() error {
	switch {
	case len(s.names) == 0:
		return problem.New(problem.Usage, "no --signer: name the persons who sign")
	case len(s.files) != 0 && len(s.files) != len(s.names):
		return problem.New(problem.Usage, "%d --password-file for %d --signer: give one for each, in their order, or none", len(s.files), len(s.names))
	}
	return nil
}

// passwords asks each signer for the password.
func (s *signing) passwords(ctx context.Context, p *program) (all []api.Signer, err error) {
	for i, name := range s.names {
		file := ""
		if len(s.files) > 0 {
			file = s.files[i]
		}
		password, err := p.password(ctx, "password of "+name, file)
		if err != nil {
			return nil, err
		}
		all = append(all, api.Signer{User: name, Password: password})
	}
	return all, nil
}

// signatures is a table of who signed.
func (p *program) signatures(list []event.Signature) *table {
	t := newTable("SIGNED BY", "USER", "AT", "MEANING", "RECORD HASH")
	for _, s := range list {
		t.add(plain(string(s.PrintedName)), plain(string(s.By)), p.at("UTC")(s.At.Time), plain(s.Meaning), string(s.RecordHash))
	}
	return t
}

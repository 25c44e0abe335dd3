package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent"
	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) certRenewCommand() *cobra.Command {
	var use bool
	c := &cobra.Command{
		Use: "renew", Short: "make our next certificate for OPC UA, and with --use show it from then on", Args: cobra.NoArgs,
		Long: "Servers trust our certificate by hand, so that a new one is made in two steps, without a time in which a server knows\n" +
			"neither: renew makes it and names the file for the servers' trust folders; renew --use shows it, once all of them have it.\n" +
			"A certificate that the configuration names is replaced there, not here.",
		RunE: func(*cobra.Command, []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			return p.renew(&cfg, use)
		},
	}
	c.Flags().BoolVar(&use, "use", false, "show the certificate that was prepared from the next connection on")
	return c
}

// renewed is the document of cert renew.
type renewed struct {
	Format      int                  `json:"format"`
	Certificate localapi.Certificate `json:"certificate"`
	Public      string               `json:"public,omitempty"` // file for the servers' trust folders
	InUse       bool                 `json:"in_use"`
	Servers     []string             `json:"servers"`
	Next        string               `json:"next"`
}

func (p *program) renew(cfg *agent.Config, use bool) error {
	var folder opcua.Folder
	var sources []string
	d := renewed{Format: localapi.Format, InUse: use}
	for i := range cfg.Sources {
		s := &cfg.Sources[i]
		if s.OPCUA == nil || s.OPCUA.Certificate != "" {
			continue
		}
		f := s.OPCUA.TrustFolder(cfg.PKI())
		if len(sources) > 0 && f != folder {
			return problem.New(problem.Usage, "the OPC UA sources have several trust folders, each with a certificate of its own: name certificate and key in the configuration, and replace them there")
		}
		folder, sources = f, append(sources, s.ID)
		if !slices.Contains(d.Servers, s.OPCUA.Endpoint) {
			d.Servers = append(d.Servers, s.OPCUA.Endpoint)
		}
	}
	if len(sources) == 0 {
		return problem.New(problem.Usage, "no OPC UA source has a certificate that the agent made: one that the configuration names is replaced there")
	}
	act := p.prepareNext
	if use {
		act = p.useNext
	}
	if err := act(cfg, folder, sources, &d); err != nil {
		return err
	}
	return p.showRenewed(&d)
}

func (p *program) prepareNext(cfg *agent.Config, folder opcua.Folder, sources []string, d *renewed) error {
	next, public, err := folder.Prepare(opcua.ApplicationURI(cfg.Plant, cfg.Agent), p.now())
	if err != nil {
		return err
	}
	d.Certificate, d.Public = agent.ShowCertificate(next, sources, p.now()), public
	d.Next = "put " + clean(public) + " into the trust folder of each server, then: holdfast-agent cert renew --use"
	return nil
}

func (p *program) useNext(_ *agent.Config, folder opcua.Folder, sources []string, d *renewed) error {
	if err := p.ask(fmt.Sprintf("Does each server trust the next certificate (%s)? One that does not will refuse us. Use it? [y/N] ", strings.Join(d.Servers, ", "))); err != nil {
		return err
	}
	own, err := folder.Use()
	if errors.Is(err, opcua.ErrNotPrepared) {
		return &problem.Problem{Code: problem.Usage, Cause: err.Error(), Consequence: "nothing was changed", Next: "make it by holdfast-agent cert renew, and let the servers trust it"}
	}
	if err != nil {
		return err
	}
	d.Certificate = agent.ShowCertificate(own, sources, p.now())
	d.Next = "each source shows it at its next connection; a server that refuses it has it in its rejected folder. The former one is kept as holdfast.previous.pem"
	return nil
}

func (p *program) showRenewed(d *renewed) error {
	if p.global.output == formatJSON {
		return p.writeJSON(d)
	}
	w := new(strings.Builder)
	p.certificateText(w, &d.Certificate)
	fmt.Fprintf(w, "next: %s\n", d.Next)
	return p.write(w.String())
}

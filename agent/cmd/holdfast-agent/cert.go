package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent"
	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) certCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "cert", Short: "certificates: our own, and those of OPC UA servers that a person accepts", Args: cobra.NoArgs,
		Long: "Works on the files in the data folder, whether the agent runs or not.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.certShowCommand(), p.certPendingCommand(), p.certTrustCommand(), p.certRenewCommand())
	return c
}

// certificates is the document of cert show and cert pending.
type certificates struct {
	Format       int                    `json:"format"`
	AsOf         time.Time              `json:"as_of"`
	Certificates []localapi.Certificate `json:"certificates"`
}

func (p *program) certShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show [THUMBPRINT]", Aliases: []string{"list"}, Short: "show all certificates with thumbprint and validity, or one with all it says",
		ValidArgsFunction: p.completeThumbprints(""),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return problem.New(problem.Usage, "want one thumbprint, or none")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := p.certificates()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return p.showCertificates(all)
			}
			name, err := thumbprint(args[0])
			if err != nil {
				return err
			}
			all = slices.DeleteFunc(all, func(c localapi.Certificate) bool { return c.Thumbprint != name && c.SHA256 != name })
			if len(all) == 0 {
				return problem.New(problem.Usage, "no certificate here has the thumbprint %s", name)
			}
			if p.global.output == formatJSON {
				return p.showCertificates(all)
			}
			w := new(strings.Builder)
			for i := range all {
				p.certificateText(w, &all[i])
			}
			return p.write(w.String())
		},
	}
}

func (p *program) certPendingCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pending", Short: "show the servers' certificates that wait for a person", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := p.certificates()
			if err != nil {
				return err
			}
			return p.showCertificates(slices.DeleteFunc(all, func(c localapi.Certificate) bool { return c.Use != string(opcua.UseRejected) }))
		},
	}
}

// load reads the configuration as far as it can be read: what else is wrong with it does not matter to certificates.
func (p *program) load() (agent.Config, error) {
	cfg, _, err := agent.Load(p.global.config, p.lookupEnv)
	if err != nil && len(cfg.Sources) == 0 {
		return cfg, err
	}
	return cfg, nil
}

func (p *program) certificates() ([]localapi.Certificate, error) {
	cfg, err := p.load()
	if err != nil {
		return nil, err
	}
	return cfg.Certificates(p.now())
}

func (p *program) showCertificates(all []localapi.Certificate) error {
	if p.global.output == formatJSON {
		return p.writeJSON(certificates{localapi.Format, p.now().UTC(), all})
	}
	w := new(strings.Builder)
	if len(all) == 0 {
		fmt.Fprintln(w, "none")
		return p.write(w.String())
	}
	rows := [][]cell{cells("USE", "FOR", "NAME", "ENDS", "DAYS", "THUMBPRINT")}
	waiting, unread := 0, ""
	for i := range all {
		c := &all[i]
		switch {
		case c.Problem != "":
			unread += fmt.Sprintf("%s: %s %s, so that nothing is judged by it\n", p.paint(red, c.Use), clean(c.File), clean(c.Problem))
			continue
		case c.Use == string(opcua.UseRejected):
			waiting++
		}
		row := cells(c.Use, strings.Join(c.For, ", "), certificateName(c), c.NotAfter.Format(time.DateOnly), fmt.Sprint(c.Days), c.Thumbprint)
		row[4].colour = daysColour(c.Days)
		rows = append(rows, row)
	}
	p.table(w, rows)
	w.WriteString(unread)
	if waiting > 0 {
		fmt.Fprintf(w, "%s for a person: compare the thumbprint with the one that the server itself shows, then: holdfast-agent cert trust THUMBPRINT\n", waits(waiting))
	}
	return p.write(w.String())
}

func waits(n int) string {
	if n == 1 {
		return "1 certificate waits"
	}
	return localapi.Number(n) + " certificates wait"
}

func daysColour(days int) string {
	switch {
	case days < 0:
		return red
	case days < 30:
		return yellow
	}
	return ""
}

// certificateName is what a person knows a certificate by.
func certificateName(c *localapi.Certificate) string {
	if c.URI != "" {
		return clean(c.URI)
	}
	return clean(c.Subject)
}

func (p *program) certificateText(w *strings.Builder, c *localapi.Certificate) {
	fmt.Fprintf(w, "Certificate %s   %s   for %s\n", c.Thumbprint, c.Use, strings.Join(c.For, ", "))
	rows := [][]cell{cells("  sha-256", c.SHA256), cells("  subject", clean(c.Subject)), cells("  issuer", issuer(c))}
	if c.URI != "" {
		rows = append(rows, cells("  application", clean(c.URI)))
	}
	if len(c.Hosts) > 0 {
		rows = append(rows, cells("  hosts", clean(strings.Join(c.Hosts, ", "))))
	}
	valid := cells("  valid", fmt.Sprintf("%s to %s, %s", c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly), daysLeft(c.Days)))
	valid[1].colour = daysColour(c.Days)
	p.table(w, append(rows, valid, cells("  file", clean(c.File))))
	if c.Authority {
		fmt.Fprintln(w, "  It is an authority: once trusted, so is every certificate that it issues.")
	}
}

func issuer(c *localapi.Certificate) string {
	if c.Issuer == c.Subject {
		return "itself"
	}
	return clean(c.Issuer)
}

func daysLeft(days int) string {
	switch {
	case days < -1:
		return "ended " + localapi.Things(-days-1, "day") + " ago"
	case days < 0:
		return "has ended"
	case days == 0:
		return "ends today"
	}
	return localapi.Things(days, "day") + " left"
}

func thumbprint(text string) (string, error) {
	name, err := opcua.ParseThumbprint(text)
	if err != nil {
		return "", problem.New(problem.Usage, "%w", err)
	}
	return name, nil
}

func (p *program) certTrustCommand() *cobra.Command {
	return &cobra.Command{
		Use: "trust THUMBPRINT", Short: "accept the certificate of an OPC UA server, after showing it", Args: exactly(1, "the thumbprint of a certificate that waits: see holdfast-agent cert pending"),
		ValidArgsFunction: p.completeThumbprints(opcua.UseRejected),
		Long: "Accepts a certificate that a source has refused, so that the source connects at its next try. Compare the thumbprint with\n" +
			"the one that the server itself shows, at its own screen: whoever sits on the line can show you a certificate, too.\n" +
			"One that has expired or that no source would take is not accepted.\n\n" +
			"Exit code: 0 accepted, or it was before; 2 not confirmed, or none such waits; 4 it must not be accepted.",
		RunE: func(c *cobra.Command, args []string) error {
			name, err := thumbprint(args[0])
			if err != nil {
				return err
			}
			return p.trust(c.Context(), name)
		},
	}
}

// waiting is a certificate that waits in a folder.
type waiting struct {
	folder  opcua.Folder
	sources []string
	entry   opcua.Entry
}

// trusted is the document of cert trust.
type trusted struct {
	Format      int                  `json:"format"`
	Certificate localapi.Certificate `json:"certificate"`
	Changed     bool                 `json:"changed"` // false: it was trusted before
	// Others are trusted certificates of the same application, which stay so until their files are removed.
	Others []localapi.Certificate `json:"others"`
	Next   string                 `json:"next"`
}

func (p *program) trust(_ context.Context, name string) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	found, err := p.rejected(&cfg, name)
	if err != nil {
		return err
	}
	for _, x := range found {
		if x.entry.Use != opcua.UseTrusted {
			if err := p.askTrust(found); err != nil {
				return err
			}
			break
		}
	}
	for _, x := range found {
		if err := p.accept(x); err != nil {
			return err
		}
	}
	return nil
}

// rejected finds a certificate in all trust folders. One that must not be accepted is a refusal.
func (p *program) rejected(cfg *agent.Config, name string) ([]waiting, error) {
	folders := cfg.TrustFolders()
	if len(folders) == 0 {
		return nil, problem.New(problem.Usage, "no OPC UA source is configured, so that there is nothing to trust")
	}
	var found []waiting
	byDir := func(a, b opcua.Folder) int { return strings.Compare(a.Dir, b.Dir) }
	for _, folder := range slices.SortedFunc(maps.Keys(folders), byDir) {
		entry, err := folder.Rejected(name, p.now())
		switch {
		case errors.Is(err, opcua.ErrNotRejected):
			continue
		case err != nil && entry.Leaf == nil:
			return nil, err
		case err != nil:
			return nil, p.unfit(entry, err)
		}
		found = append(found, waiting{folder, folders[folder], entry})
	}
	if len(found) > 0 {
		return found, nil
	}
	return nil, &problem.Problem{
		Code: problem.Usage, Cause: "no certificate with the thumbprint " + name + " waits", Consequence: "nothing was changed",
		Next: "see holdfast-agent cert pending; a source puts the certificate there when its server shows it",
	}
}

// unfit refuses in plain words.
func (p *program) unfit(e opcua.Entry, why error) error {
	return &problem.Problem{
		Code: problem.RuleRefused, Cause: fmt.Sprintf("certificate %s %v", e.Thumbprint(), clean(why.Error())),
		Consequence: "it stays rejected: no source would take it, trusted or not", Next: "have the server show a valid certificate of its own; that one will wait here then",
	}
}

// askTrust shows what is to be trusted, and asks.
func (p *program) askTrust(found []waiting) error {
	w := new(strings.Builder)
	for _, x := range found {
		c := agent.ShowCertificate(x.entry, x.sources, p.now())
		p.certificateText(w, &c)
	}
	if _, err := io.WriteString(p.err, w.String()); err != nil {
		return fmt.Errorf("show certificate: %w", err)
	}
	return p.ask("Does the server itself show this thumbprint? Trust it? [y/N] ")
}

// ask wants a y, unless the caller said that it need not be asked for.
func (p *program) ask(question string) error {
	if p.global.yes {
		return nil
	}
	_, _ = fmt.Fprint(p.err, question)
	answer, err := bufio.NewReader(p.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read answer: %w", err)
	}
	if strings.TrimSpace(answer) != "y" {
		return problem.New(problem.Usage, "not confirmed: nothing was changed (without a terminal: -y)")
	}
	return nil
}

func (p *program) accept(x waiting) error {
	others, err := x.folder.Others(x.entry.Leaf)
	if err != nil {
		return err
	}
	now, err := x.folder.Accept(x.entry)
	if err != nil {
		return err
	}
	d := trusted{
		Format: localapi.Format, Certificate: agent.ShowCertificate(now, x.sources, p.now()), Changed: x.entry.Use != opcua.UseTrusted,
		Others: []localapi.Certificate{}, Next: fmt.Sprintf("%s by itself within ten seconds if the agent runs, and records who was accepted", connects(x.sources)),
	}
	for _, o := range others {
		d.Others = append(d.Others, agent.ShowCertificate(o, x.sources, p.now()))
	}
	if p.global.output == formatJSON {
		return p.writeJSON(d)
	}
	w := new(strings.Builder)
	if d.Changed {
		fmt.Fprintf(w, "trusted: %s is now %s\n", d.Certificate.Thumbprint, clean(d.Certificate.File))
	} else {
		fmt.Fprintf(w, "%s was trusted before: nothing was changed\n", d.Certificate.Thumbprint)
	}
	for _, o := range d.Others {
		fmt.Fprintf(w, "note: another certificate of the same application stays trusted, %s (%s); remove %s once the server no longer shows it\n",
			o.Thumbprint, daysLeft(o.Days), clean(o.File))
	}
	fmt.Fprintf(w, "next: %s; see holdfast-agent status\n", d.Next)
	return p.write(w.String())
}

func connects(sources []string) string {
	if len(sources) == 1 {
		return "source " + sources[0] + " connects"
	}
	return "each of the sources " + strings.Join(sources, ", ") + " connects"
}

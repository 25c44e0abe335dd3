package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/ledger"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) ledgerCommand() *cobra.Command {
	c := &cobra.Command{Use: "ledger", Short: "who changed what, why, and the proof of it", RunE: needVerb}
	c.AddCommand(p.ledgerShow(), p.ledgerVerify())
	return c
}

func (p *program) ledgerShow() *cobra.Command {
	var lot string
	c := &cobra.Command{
		Use: "show", Short: "show the ledger; -o jsonl is the export that verify reads", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := p.client()
			if err != nil {
				return err
			}
			query := url.Values{}
			if lot != "" {
				key, err := cl.resolve(c.Context(), lot)
				if err != nil {
					return err
				}
				query.Set("lot", string(key))
			}
			return p.printLedger(c.Context(), cl, query)
		},
	}
	c.Flags().StringVar(&lot, "lot", "", "only entries of this lot")
	return c
}

func (p *program) printLedger(ctx context.Context, cl *client, query url.Values) error {
	if p.global.output == formatLines {
		return cl.entries(ctx, query, func(page *api.LedgerPage) error { return printLines(p.out, page.Entries) })
	}
	all := api.LedgerPage{Entries: []ledger.Line{}}
	if err := cl.entries(ctx, query, func(page *api.LedgerPage) error {
		all.Entries = append(all.Entries, page.Entries...)
		return nil
	}); err != nil {
		return err
	}
	if p.global.output == formatJSON {
		return p.printJSON(all)
	}
	t := newTable("PLACE", "TIME", "WHO", "ACT", "OBJECT", "VERSION", "REASON")
	for i := range all.Entries {
		e := &all.Entries[i]
		place := "-"
		if e.Place > 0 {
			place = strconv.FormatInt(e.Place, 10)
		}
		t.add(place, p.entryTime(e.At), plain(e.Principal), e.Act, plain(e.Object), strconv.FormatInt(e.Version, 10), dash(e.Reason))
	}
	return t.print(p.out)
}

// entryTime writes the time of an entry. Entries of several plants stand side by side, so it is in UTC.
func (p *program) entryTime(text string) string {
	t, err := event.ParseTime(text)
	if err != nil {
		return plain(text)
	}
	return p.at("UTC")(t.Time)
}

func (p *program) ledgerVerify() *cobra.Command {
	var export, anchors, key string
	c := &cobra.Command{
		Use: "verify", Short: "verify the chain: by the API, or without a server from --export, --anchors and --key", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			var report ledger.Report
			var err error
			switch {
			case export != "" && anchors != "" && key != "":
				report, err = verifyFiles(export, anchors, key)
			case export == "" && anchors == "":
				report, err = p.verifyServer(c.Context(), key)
			default:
				err = problem.New(problem.Usage, "without a server verify wants all of --export, --anchors and --key")
			}
			if err != nil {
				return err
			}
			if err := p.printReport(&report); err != nil {
				return err
			}
			return report.Tail(p.now())
		},
	}
	c.Flags().StringVar(&export, "export", "", "file written by ledger show -o jsonl")
	c.Flags().StringVar(&anchors, "anchors", "", "anchor file")
	c.Flags().StringVar(&key, "key", "", "public key in base64, or a file with it")
	return c
}

func verifyFiles(export, anchors, key string) (ledger.Report, error) {
	public, err := publicKey(key)
	if err != nil {
		return ledger.Report{}, err
	}
	e, err := os.Open(export)
	if err != nil {
		return ledger.Report{}, problem.New(problem.Usage, "export: %w", err)
	}
	defer func() { _ = e.Close() }() // it was read only
	a, err := os.Open(anchors)
	if err != nil {
		return ledger.Report{}, problem.New(problem.Usage, "anchors: %w", err)
	}
	defer func() { _ = a.Close() }() // it was read only
	return ledger.Verify(e, a, public)
}

// publicKey reads a key that is given as text or as a file.
func publicKey(key string) (ed25519.PublicKey, error) {
	text := key
	if b, err := os.ReadFile(key); err == nil {
		text = strings.TrimSpace(string(b))
	}
	public, err := ledger.ParseKey(text)
	if err != nil {
		return nil, problem.New(problem.Usage, "%w", err)
	}
	return public, nil
}

// verifyServer verifies what the server exports. The anchors are read first: an anchor made meanwhile would speak of
// entries that the export may lack.
func (p *program) verifyServer(ctx context.Context, key string) (report ledger.Report, err error) {
	cl, err := p.client()
	if err != nil {
		return report, err
	}
	if key == "" {
		var k api.LedgerKey
		if err := cl.get(ctx, "/ledger/key", nil, &k); err != nil {
			return report, err
		}
		key = k.Key
		p.say("key %s is the server's own word; --key with your copy proves more", k.ID)
	}
	public, err := publicKey(key)
	if err != nil {
		return report, err
	}
	anchors, err := cl.call(ctx, http.MethodGet, "/anchors", nil, nil, nil)
	if err != nil {
		return report, err
	}
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() { // ends with the last page, or when the reader is closed
		err := cl.entries(ctx, url.Values{}, func(page *api.LedgerPage) error { return printLines(write, page.Entries) })
		_ = write.CloseWithError(err) // it never fails
		done <- err
	}()
	report, err = ledger.Verify(read, bytes.NewReader(anchors), public)
	_ = read.Close() // it never fails
	if sent := <-done; sent != nil && !errors.Is(sent, io.ErrClosedPipe) {
		err = sent // an export that broke off proves nothing about the chain
	}
	return report, err
}

func (p *program) printReport(r *ledger.Report) error {
	if p.global.output != formatTable {
		return p.printJSON(r)
	}
	text := fmt.Sprintf("The chain is whole: %d entries, %d anchors, all verified. Entries up to %d are proven by an anchor.\n",
		r.Entries, r.Anchors, r.Anchored)
	for _, x := range r.Restores {
		text += fmt.Sprintf("The database was restored at %s: it went on behind entry %d, and entries up to %d were lost with it.\n", p.entryTime(x.At), x.From, x.To)
	}
	if r.Unanchored > 0 {
		text += fmt.Sprintf("%d entries since %s are proven by the database alone.\n", r.Unanchored, p.entryTime(r.TailSince))
	}
	if r.Unsealed > 0 {
		text += fmt.Sprintf("%d entries have no place in the chain yet.\n", r.Unsealed)
	}
	_, err := fmt.Fprint(p.out, text)
	return err
}

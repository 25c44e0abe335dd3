package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (p *program) lotsCommand() *cobra.Command {
	c := &cobra.Command{Use: "lots", Short: "lots: disposition, holds, usage", RunE: needVerb}
	c.AddCommand(p.lotsList(), p.lotsShow(), p.lotsHold(), p.lotsLift())
	return c
}

func (p *program) lotsList() *cobra.Command {
	var state, plant string
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "list lots", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := p.client()
			if err != nil {
				return err
			}
			query := url.Values{}
			for key, value := range map[string]string{"state": state, "plant": plant} {
				if value != "" {
					query.Set(key, value)
				}
			}
			page := api.LotPage{Lots: []api.LotLine{}}
			for len(page.Lots) < limit {
				query.Set("limit", strconv.Itoa(min(limit-len(page.Lots), 1000)))
				next := api.LotPage{}
				if err := cl.get(c.Context(), "/lots", query, &next); err != nil {
					return err
				}
				page.Lots, page.Next = append(page.Lots, next.Lots...), next.Next
				if next.Next == "" {
					break
				}
				query.Set("cursor", next.Next)
			}
			return p.printLots(&page)
		},
	}
	c.Flags().StringVar(&state, "state", "", "held, free, in_inspection, waiting, unenforced or asking")
	c.Flags().StringVar(&plant, "plant", "", "only lots of this plant")
	c.Flags().IntVar(&limit, "limit", 100, "how many at most")
	return c
}

func (p *program) printLots(page *api.LotPage) error {
	switch p.global.output {
	case formatJSON:
		return p.printJSON(page)
	case formatLines:
		return printLines(p.out, page.Lots)
	}
	t := newTable("LOT", "MATERIAL", "PLANT", "DISPOSITION", "HOLDS", "HELD SINCE", "USAGE", "RELEASE", "MAY MOVE", "WAITS FOR")
	for i := range page.Lots {
		l := &page.Lots[i]
		since := "-"
		if l.Holds > 0 {
			since = p.at(l.Zone)(l.HeldSince)
		}
		t.add(plain(l.Number), plain(l.Material), dash(string(l.Plant)), dash(string(l.Disposition)), strconv.Itoa(l.Holds), since, usages(l.Usage),
			dash(string(l.Release)), whyNot(l), waitsFor(l))
	}
	if err := t.print(p.out); err != nil {
		return err
	}
	if page.Next != "" {
		p.say("there are more: raise --limit")
	}
	return nil
}

func usages(list []api.Usage) string {
	if len(list) == 0 {
		return "not read yet"
	}
	parts := make([]string, len(list))
	for i, u := range list {
		parts[i] = u.System + " " + string(u.Usage)
	}
	return strings.Join(parts, ", ")
}

// whyNot says in a few words why a lot may not move.
func whyNot(l *api.LotLine) string {
	if l.MayMove {
		return "yes"
	}
	var why []string
	for _, r := range l.Reasons {
		switch r {
		case event.ReasonOpenHold:
			why = append(why, "held: "+plain(l.HeldFor))
		case event.ReasonUsageNotVerified:
			if len(l.Reasons) == 1 {
				why = append(why, "usage not verified")
			}
		default:
			why = append(why, strings.ReplaceAll(string(r), "_", " "))
		}
	}
	return "no: " + strings.Join(why, "; ")
}

// waitsFor says in words what has to be done first for the lot's release.
func waitsFor(l *api.LotLine) string {
	if len(l.WaitsFor) == 0 {
		return "-"
	}
	first := plain(l.WaitsFor[0].Words)
	if more := len(l.WaitsFor) - 1; more > 0 {
		first += fmt.Sprintf(" (and %d more)", more)
	}
	return first
}

func (p *program) lotsShow() *cobra.Command {
	return &cobra.Command{
		Use: "show LOT", Short: "tell all about a lot, by its key or its number", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := p.client()
			if err != nil {
				return err
			}
			key, err := cl.resolve(c.Context(), args[0])
			if err != nil {
				return err
			}
			var lot api.Lot
			if err := cl.get(c.Context(), lotPath(key), nil, &lot); err != nil {
				return err
			}
			return p.printLot(&lot)
		},
	}
}

func (p *program) lotsHold() *cobra.Command {
	var r api.ScopeHoldRequest
	var kind, scope, plant string
	var version int64
	c := &cobra.Command{
		Use: "hold [LOT]", Short: "hold a lot, or all lots of a scope", Args: between(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 0) == (scope == "") {
				return problem.New(problem.Usage, "hold wants either a lot or --scope")
			}
			if err := needReason(r.Reason); err != nil {
				return err
			}
			r.Kind = event.HoldKind(kind)
			cl, err := p.client()
			if err != nil {
				return err
			}
			var h api.Hold
			if scope != "" {
				if r.Scope, err = parseScope(scope, plant); err != nil {
					return err
				}
				err = cl.post(c.Context(), "/holds", nil, r, &h)
			} else {
				var key event.LotKey
				if key, err = cl.resolve(c.Context(), args[0]); err == nil {
					err = cl.post(c.Context(), lotPath(key)+"/holds", ifMatch(version), r.HoldRequest, &h)
				}
			}
			if err != nil {
				return err
			}
			return p.printHold(&h, "held")
		},
	}
	c.Flags().StringVar(&r.Reason, "reason", "", "why; required")
	c.Flags().StringVar(&kind, "kind", string(event.HoldQuality), "quality, safety, recall or doc")
	c.Flags().StringVar(&scope, "scope", "", "instead of a lot: material=, supplier=, sublot= or equipment= and a value")
	c.Flags().StringVar(&plant, "plant", "", "plant of a scope by material or equipment")
	c.Flags().Int64Var(&version, "if-version", 0, "only if the lot still has this version")
	return c
}

func parseScope(text, plant string) (api.Scope, error) {
	kind, value, ok := strings.Cut(text, "=")
	if !ok || value == "" {
		return api.Scope{}, problem.New(problem.Usage, "scope %.100q: want a kind, = and a value, such as material=MAT-100", text)
	}
	return api.Scope{Kind: event.ScopeKind(kind), Value: value, Plant: event.PlantID(plant)}, nil
}

func ifMatch(version int64) http.Header {
	if version == 0 {
		return nil
	}
	return http.Header{"If-Match": {strconv.Quote(strconv.FormatInt(version, 10))}}
}

func (p *program) lotsLift() *cobra.Command {
	var reason string
	var version int64
	var scope bool
	c := &cobra.Command{
		Use: "lift LOT [HOLD]", Short: "lift a hold of a lot; with --scope HOLD one by scope", Args: between(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if err := needReason(reason); err != nil {
				return err
			}
			cl, err := p.client()
			if err != nil {
				return err
			}
			path := "/holds/" + url.PathEscape(args[0]) + "/lift"
			if !scope {
				if path, err = p.liftPath(c, cl, args); err != nil {
					return err
				}
			}
			if err := p.confirm("Lift it?"); err != nil {
				return err
			}
			var h api.Hold
			if err := cl.post(c.Context(), path, ifMatch(version), api.ReasonRequest{Reason: reason}, &h); err != nil {
				return err
			}
			return p.printHold(&h, "lifted")
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; required")
	c.Flags().Int64Var(&version, "if-version", 0, "only if the lot still has this version")
	c.Flags().BoolVar(&scope, "scope", false, "the argument is a hold by scope")
	return c
}

// liftPath finds the hold that is meant: the one named, or the only one of the lot.
func (p *program) liftPath(c *cobra.Command, cl *client, args []string) (string, error) {
	key, err := cl.resolve(c.Context(), args[0])
	if err != nil {
		return "", err
	}
	var lot api.Lot
	if err := cl.get(c.Context(), lotPath(key), nil, &lot); err != nil {
		return "", err
	}
	var own []string
	for i := range lot.OpenHolds {
		if h := &lot.OpenHolds[i]; h.Scope == nil {
			own = append(own, string(h.ID))
			p.say("%s  %s  since %s by %s: %s", h.ID, h.Kind, p.at(lot.Zone)(h.PlacedAt), plain(h.PlacedBy), plain(h.Reason))
		}
	}
	id := ""
	switch {
	case len(args) == 2:
		id = args[1]
	case len(own) == 1:
		id = own[0]
	case len(own) == 0:
		return "", problem.New(problem.RuleRefused, "lot %s has no open hold of its own", lot.Number)
	default:
		return "", problem.New(problem.Usage, "lot %s has %d holds: name one of %s", lot.Number, len(own), strings.Join(own, ", "))
	}
	return lotPath(key) + "/holds/" + url.PathEscape(id) + "/lift", nil
}

func (p *program) printHold(h *api.Hold, done string) error {
	if p.global.output != formatTable {
		return p.printJSON(h)
	}
	what := string(h.Lot)
	if h.Scope != nil {
		what = fmt.Sprintf("every lot of %s %s", h.Scope.Kind, plain(h.Scope.Value))
	}
	_, err := fmt.Fprintf(p.out, "%s: %s   hold %s (%s)\n", done, what, h.ID, h.Kind)
	return err
}

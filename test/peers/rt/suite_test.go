//go:build unix

package rt

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/connectortest"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
)

// TestSuite runs K1 to K20 of every connector against RT with the mapping that is shipped.
func TestSuite(t *testing.T) {
	server := run(t)
	empty := Database(filepath.Join(t.TempDir(), "empty"))
	if err := server.Database().Save(t.Context(), empty); err != nil {
		t.Fatal(err)
	}
	connectortest.Run(t, func(t *testing.T) *connectortest.Rig {
		if err := server.Database().Restore(t.Context(), empty); err != nil {
			t.Fatal(err)
		}
		return suiteRig(newBench(t, server))
	}, &connectortest.Bare{})
}

// forgetful are what an administrator may have left out: the field, of which RT then takes the value and drops it; or the
// right to set one, with the same end.
var forgetful = map[string]string{
	"missing": `DELETE FROM ObjectCustomFields WHERE CustomField = (SELECT id FROM CustomFields WHERE Name = 'holdfast_ref')`,
	"dropped": `DELETE FROM ACL WHERE RightName IN ('ModifyCustomField', 'SetInitialCustomField')`,
}

// unknownWord is a state that an administrator has thought of since.
const unknownWord = "under appeal"

func suiteRig(b *bench) *connectortest.Rig {
	return &connectortest.Rig{
		System:   b.connect(b.t, Password),
		Client:   func(t *testing.T) connector.System { return b.connect(t, Password) },
		Stranger: func(t *testing.T) connector.System { return b.connect(t, "wrong-"+Password) },
		Refusals: func() int { return int(b.refused.Load()) },
		Effect:   func(_ *testing.T, kind quality.Kind, n int) quality.Effect { return b.effect(kind, n) },
		Count:    b.count,
		Touch: func(_ *testing.T, e quality.Effect) { // an inspection's ticket never changes
			for _, id := range b.tickets(e.Object) {
				_, err := b.server.Change(b.t.Context(), id, map[string]any{"Priority": b.number(`SELECT max(id) FROM Transactions`)})
				b.must(err)
			}
		},
		Break: func(f connectortest.Fault, n int, argument string) {
			out := fault.Fault{Kind: fault.Kind(f), Times: n, RetryAfter: argument}
			switch f {
			case connectortest.LoginPage, connectortest.ErrorBody, connectortest.Garbage, connectortest.Echo, connectortest.Throttle:
				out.On = "any"
			}
			b.faults.Add(out)
		},
		Heal:        b.faults.Clear,
		UnknownWord: unknownWord,
		Unknown: func(*testing.T) connector.Object {
			id := b.open("nc:odd", "odd")
			b.must(b.server.Database().Exec(b.t.Context(), `UPDATE Tickets SET Status = ? WHERE id = ?`, unknownWord, id))
			return connector.Object{Kind: connector.ObjectRecord, ID: id}
		},
		Forgetful: func(t *testing.T, how string) *connectortest.Rig {
			return suiteRig(newBench(t, run(t, forgetful[how])))
		},
		Exact:    func(*testing.T) []connectortest.Exact { return b.exact() },
		Freeze:   b.freeze,
		Snapshot: b.snapshot, Restore: b.restore,
		Secrets: []string{Password},
		Logs:    b.logs.String,
	}
}

// open opens a nonconformance's ticket as a person does.
func (b *bench) open(object, title string) string {
	b.t.Helper()
	id, err := b.server.Open(b.t.Context(), "Nonconformance", title, map[string]any{"holdfast_object": object})
	b.must(err)
	return id
}

// tickets returns the ids of a nonconformance's tickets, as RT finds them.
func (b *bench) tickets(object string) (ids []string) {
	b.t.Helper()
	found, err := b.server.Find(b.t.Context(), `CF.{holdfast_object} = '`+object+`'`)
	b.must(err)
	return found
}

// freeze has all that changes from now on carry one stamp.
func (b *bench) freeze() {
	stamp := time.Now().UTC().Format(time.DateTime)
	for _, when := range []string{"INSERT ON", "UPDATE OF LastUpdated ON"} {
		b.must(b.server.Database().Exec(b.t.Context(), `CREATE TRIGGER "frozen at `+when+`" AFTER `+when+` Tickets WHEN new.LastUpdated <> '`+stamp+`'
			BEGIN UPDATE Tickets SET LastUpdated = '`+stamp+`' WHERE id = new.id; END`))
	}
}

func (b *bench) effect(kind quality.Kind, n int) quality.Effect {
	object := fmt.Sprintf("nc:n-%032d", n)
	e := quality.Effect{Kind: kind, System: "qms1", Object: object, Lot: "lot::MAT-100:L-1", Generation: 1}
	switch kind {
	case quality.InspectionSubmit:
		e.Object = fmt.Sprintf("inspection:mes1:I-%d", n)
		e.Inspection = &quality.InspectionRecord{
			ID: event.ObjectID(e.Object), Lot: e.Lot, Plant: "p1", Type: event.InspectionFinal, Verdict: event.VerdictFail, SpecRev: "C",
			CompletedAt: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC), ResultCount: 12, Supersedes: []event.ObjectID{"inspection:mes1:I-0"},
		}
	default:
		e.Record = &quality.Record{
			Title: fmt.Sprintf("Torque 61.2 N.m above 50, part %d", n), Description: "press 4", Severity: event.Major, State: quality.NCOpened,
			Lots: []event.LotKey{e.Lot, "lot::MAT-100:L-2"}, Source: "press4",
		}
	}
	if kind == quality.NonconformanceAdvance {
		e.Record.State = quality.NCContained
		b.open(object, e.Record.Title)
	}
	e.CommandID = quality.CommandID("w3", e.Object, string(kind), 1)
	e.Ref = quality.Reference(e.CommandID)
	return e
}

// exact are texts and numbers that careless code changes. RT takes line breaks out of titles, so that they stand in the
// description here.
func (b *bench) exact() (all []connectortest.Exact) {
	for i, words := range []string{
		"0007", `He said "no" \ <b>&amp;</b> {{.Ref}} it's`, strings.Repeat("x", 40), "尺寸超差 ±0.001 𝛀", "1234567890.123", "0.001",
	} {
		e := b.effect(quality.NonconformanceEnsure, 100+i)
		e.Record.Title, e.Record.Description = words, words+"\nsecond line\n\nfourth"
		all = append(all, connectortest.Exact{Name: fmt.Sprint(i), Effect: e, Same: func(v connector.View) error {
			if v.Fields["title"] != e.Record.Title || v.Fields["description"] != e.Record.Description || v.Fields["severity"] != "major" {
				return fmt.Errorf("fields %+q, want %+q", v.Fields, e.Record)
			}
			return nil
		}})
	}
	for i, lot := range []event.LotKey{"lot::MAT-100:0007", "lot:p1:000000000000012345:L%2F1%20%22x%22"} {
		e := b.effect(quality.InspectionSubmit, 200+i)
		e.Lot, e.Inspection.Lot, e.Inspection.ResultCount = lot, lot, 9007199254740993
		all = append(all, connectortest.Exact{Name: "inspection " + fmt.Sprint(i), Effect: e, Same: func(v connector.View) error {
			fields, err := b.server.Fields(b.t.Context(), v.ID)
			if err != nil {
				return err
			}
			want := map[string]string{
				"holdfast_object": e.Object, "lot_key": string(lot), "verdict": "failed", "results": "9007199254740993", "spec_rev": "C",
				"plant": "p1", "inspection_type": "final", "completed_at": "2026-11-24T08:00:00Z", "supersedes": "inspection:mes1:I-0",
			}
			for name, text := range want {
				if fields[name] != text {
					return fmt.Errorf("RT has %+q; want %s %q", fields, name, text)
				}
			}
			return nil
		}})
	}
	return all
}

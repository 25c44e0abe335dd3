//go:build unix

package rt

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/connectortest"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// TestAnswers is what RT itself does, where the suite plays it: what it refuses with 200, what it shows in pages, how it reads
// a query. All of it goes by the mapping that is shipped.
func TestAnswers(t *testing.T) {
	b := newBench(t, run(t))
	system := b.connect(t, Password)
	settle := func(e quality.Effect) event.Outcome {
		return (&connectortest.Bare{}).Settle(t.Context(), system, e, func(e quality.Effect) quality.Effect { return e })
	}

	t.Run("Check finds nothing wrong", func(t *testing.T) {
		if found, err := system.Check(t.Context()); err != nil || len(found) != 0 {
			t.Errorf("found %+v, %v", found, err)
		}
	})
	t.Run("a refused change of state is rejected in RT's words", func(t *testing.T) {
		e := b.effect(quality.NonconformanceAdvance, 1)
		id := b.tickets(e.Object)[0]
		said, err := b.server.Change(t.Context(), id, map[string]any{"Status": "voided"})
		b.must(err)
		v, version, err := system.Read(t.Context(), connector.Object{Kind: connector.ObjectRecord, ID: id})
		if err != nil || v.Reached != quality.NCVoided {
			t.Fatalf("read %+v, %v after %q", v, err, said)
		}
		r := system.Write(t.Context(), e, version)
		if r.Outcome != event.Rejected || !strings.Contains(r.Message, "can't change status from 'voided' to 'contained'") {
			t.Errorf("written: %+v", r)
		}
		if got := settle(e); got != event.Rejected || b.count(e) != 0 {
			t.Errorf("settled as %s after %d changes", got, b.count(e))
		}
	})
	t.Run("text that speaks of a refusal refuses nothing", func(t *testing.T) {
		e := b.effect(quality.NonconformanceAdvance, 2)
		e.Record.Description = "press 4: you can't change status, it isn't a valid status, permission denied"
		if got := settle(e); got != event.Applied || b.count(e) != 1 {
			t.Errorf("settled as %s after %d changes", got, b.count(e))
		}
	})
	t.Run("nobody gets out of a query", func(t *testing.T) { b.quotes(t, system) })
	t.Run("a feed longer than RT's answers is read to its end", func(t *testing.T) { b.pages(t, system) })
	t.Run("a comment makes what was read stale", func(t *testing.T) {
		e := b.effect(quality.NonconformanceAdvance, 3)
		id := b.tickets(e.Object)[0]
		_, version, err := system.Read(t.Context(), connector.Object{Kind: connector.ObjectRecord, ID: id})
		b.must(err)
		b.must(b.server.Comment(t.Context(), id, "seen by the shift"))
		if r := system.Write(t.Context(), e, version); r.Outcome != event.Conflict || b.count(e) != 0 {
			t.Errorf("written: %+v", r)
		}
	})
}

// quotes looks for objects whose ids are made to change a query, beside a ticket that such a query would find.
func (b *bench) quotes(t *testing.T, system connector.System) {
	for i, id := range []string{
		`nc:it's`, `nc:x' OR id > '0`, `nc:x\' OR id > \'0`, `nc:\`, `nc:\\`, `nc:"`, `CF.{holdfast_object}`, `nc:%`, "nc:a\nb", "nc:é 尺",
	} {
		e := b.effect(quality.NonconformanceEnsure, 50+i)
		e.Object, e.Record.Title = id, fmt.Sprintf("quotes %d", i)
		found, err := system.Find(t.Context(), quality.Effect{Kind: quality.NonconformanceAdvance, Object: id})
		if err != nil || len(found) != 0 {
			t.Errorf("%q finds %v, %v before it is there", id, found, err)
		}
		if r := system.Write(t.Context(), e, nil); r.Outcome != "" {
			t.Fatalf("%q written: %+v", id, r)
		}
		found, err = system.Find(t.Context(), quality.Effect{Kind: quality.NonconformanceAdvance, Object: id})
		if err != nil || len(found) != 1 {
			t.Errorf("%q finds %v, %v; want its ticket", id, found, err)
		}
	}
	if found, err := system.Find(t.Context(), quality.Effect{Kind: quality.NonconformanceEnsure, Ref: "x' OR id > '0"}); err != nil || len(found) != 0 {
		t.Errorf("a reference with a quote finds %v, %v", found, err)
	}
}

// pages fills the queue with more tickets than RT puts into one answer, and reads the feed in larger pages than that. RT says
// how many there are.
func (b *bench) pages(t *testing.T, system connector.System) {
	const many = 130
	b.copies(many)
	all := b.number(`SELECT count(*) FROM Tickets t JOIN Queues q ON q.id = t.Queue WHERE q.Name = 'Nonconformance' AND t.Status <> 'deleted'`)
	for _, limit := range []int{many / 2, 500} {
		var cursor connector.Cursor
		seen := map[string]bool{}
		for more := true; more; {
			views, next, err := system.Changes(t.Context(), cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range views {
				seen[v.ID] = true
			}
			cursor, more = next, len(views) == limit
		}
		if len(seen) != all {
			t.Errorf("by pages of %d: %d tickets, RT has %d", limit, len(seen), all)
		}
	}
}

// copies makes tickets out of the first one, past RT, which takes half a second for each.
func (b *bench) copies(n int) {
	b.t.Helper()
	b.must(b.server.Database().Exec(b.t.Context(), `INSERT INTO Tickets (EffectiveId, Queue, Type, Owner, Subject, Status, LastUpdatedBy, LastUpdated, Creator, Created)
		WITH RECURSIVE many(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM many WHERE i < ?)
		SELECT 0, t.Queue, t.Type, t.Owner, 'copy ' || i, t.Status, t.LastUpdatedBy, t.LastUpdated, t.Creator, t.Created
		FROM many, (SELECT * FROM Tickets ORDER BY id LIMIT 1) t`, n))
	b.must(b.server.Database().Exec(b.t.Context(), `UPDATE Tickets SET EffectiveId = id WHERE EffectiveId = 0`))
}

// TestCheck_Refuses meets servers that are not set up as deploy/rt says, each in one way.
func TestCheck_Refuses(t *testing.T) {
	b := newBench(t, run(t))
	original := Database(t.TempDir() + "/original")
	b.must(b.server.Database().Save(t.Context(), original))
	for _, c := range []struct{ name, change, want string }{
		{"no field for the reference", forgetful["missing"], "TicketCustomFields[name=holdfast_ref]"},
		{"no field for the nonconformance", `UPDATE CustomFields SET Name = 'holdfast_objekt' WHERE Name = 'holdfast_object'`, "TicketCustomFields[name=holdfast_object]"},
		{"another time zone", `UPDATE Users SET Timezone = 'America/Los_Angeles' WHERE Name = '` + User + `'`, "UTC"},
		{"no queue for inspections", `UPDATE Queues SET Name = 'Inspections' WHERE Name = 'Inspection'`, "/queue/Inspection"},
		{"no right to make tickets", `DELETE FROM ACL WHERE RightName = 'CreateTicket'`, "_hyperlinks[ref=create]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.must(b.server.Database().Restore(t.Context(), original))
			b.must(b.server.Database().Exec(t.Context(), c.change))
			b.must(b.server.Restart(t.Context()))
			found, err := b.connect(t, Password).Check(t.Context())
			named := func(f connector.Finding) bool { return f.Fatal && f.Fix != "" && strings.Contains(f.What, c.want) }
			if err != nil || !slices.ContainsFunc(found, named) {
				t.Errorf("found %+v, %v; want one that names %s", found, err, c.want)
			}
		})
	}
}

// TestFigures says how long RT takes for what the product does with it: one effect from the look-up before it to the read after
// it, and the call that makes a ticket alone.
func TestFigures(t *testing.T) {
	const n = 10
	b := newBench(t, run(t))
	system := b.connect(t, Password)
	var settled, written time.Duration
	duplicates := 0
	for i := range n {
		e := b.effect(quality.NonconformanceEnsure, i)
		began := time.Now()
		if got := (&connectortest.Bare{}).Settle(t.Context(), system, e, func(e quality.Effect) quality.Effect { return e }); got != event.Applied {
			t.Fatalf("settled as %s", got)
		}
		settled += time.Since(began)
		if duplicates += b.count(e) - 1; b.count(e) != 1 {
			t.Errorf("made %d times", b.count(e))
		}
		e = b.effect(quality.NonconformanceEnsure, n+i)
		began = time.Now()
		if r := system.Write(t.Context(), e, nil); r.Outcome != "" {
			t.Fatalf("written: %+v", r)
		}
		written += time.Since(began)
	}
	var version struct{ Version string }
	b.must(b.server.Call(t.Context(), http.MethodGet, "/rt", nil, &version))
	t.Logf("FIGURES server=rt version=%s run=create effects=%d duplicates=%d ms_per_effect=%d ms_per_create=%d",
		version.Version, n, duplicates, settled.Milliseconds()/n, written.Milliseconds()/n)
}

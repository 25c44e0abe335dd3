package store

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func epochNumber(n int) event.Epoch { return event.Epoch(fmt.Sprintf("%032x", n+1)) }

// agentWith stores an agent with former epochs, of which all came and which stated heads, and one that is open.
func agentWith(t testing.TB, tx *Tx, agent string, former int) {
	t.Helper()
	for i := range former + 1 {
		at := noon.Add(time.Duration(i) * time.Minute)
		r := EpochRow{Plant: "p1", Agent: agent, Epoch: epochNumber(i), Prev: event.NoPrev, FirstSeen: at}
		if i < former {
			r.Closed, r.Successor, r.Quality = true, epochNumber(i+1), 4
		}
		cover := CoverageKey{Plant: "p1", Agent: agent, Epoch: r.Epoch, Lane: event.LaneQuality}
		if err := tx.AddCoverage(cover, Ranges{{1, 4}}); err != nil {
			t.Fatal(err)
		}
		if err := tx.PutEpoch(&r); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.MarkWhole("p1", agent, r.Epoch, at); err != nil {
			t.Fatal(err)
		}
		if err := tx.PutHead(&HeadRow{Plant: "p1", Agent: agent, Epoch: r.Epoch, At: at, Stated: []event.HeadEpoch{{Epoch: r.Epoch, Quality: 4}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// asking stores a lot of plant p1 that asks by a barrier.
func asking(t testing.TB, tx *Tx, lot event.LotKey, barrier int64) {
	t.Helper()
	l := quality.Lot{Key: lot, Plant: "p1", MadeAt: noon, CreatedAt: noon, SeenAt: noon, Release: quality.LotRelease{State: quality.Asking, Round: 1}}
	if err := tx.PutLot(&l); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.AddLotPlant(lot, "p1"); err != nil {
		t.Fatal(err)
	}
	if err := tx.PutAsk(lot, quality.Ask{Barrier: barrier, Round: 1, At: noon.Add(time.Duration(barrier) * time.Second)}, false); err != nil {
		t.Fatal(err)
	}
}

// record returns what f asks the database for.
func record(t *testing.T, s *Store, f func(*Tx) error) (queries []string) {
	t.Helper()
	view(t, s, func(tx *Tx) error {
		all, one := tx.query, tx.row
		tx.query = func(q string, args ...any) (*sql.Rows, error) { queries = append(queries, q); return all(q, args...) }
		tx.row = func(q string, args ...any) *sql.Row { queries = append(queries, q); return one(q, args...) }
		return f(tx)
	})
	return queries
}

// plan returns how the database carries a query out.
func plan(t *testing.T, s *Store, query string) (steps []string) {
	t.Helper()
	args := make([]any, strings.Count(query, "?"))
	view(t, s, func(tx *Tx) error {
		return tx.each(func(rows *sql.Rows) error {
			var id, parent, unused int
			var step string
			err := rows.Scan(&id, &parent, &unused, &step)
			steps = append(steps, step)
			return err
		}, "EXPLAIN QUERY PLAN "+query, args...)
	})
	return steps
}

// TestTx_OldEpochs: epochs are never deleted, and a gateway that restarts each day has thousands of them after years.
func TestTx_OldEpochs(t *testing.T) {
	s := openFile(t) // whose plans can be asked for by rule rather than by cost
	update(t, s, func(tx *Tx) error {
		agentWith(t, tx, "gw1", 30)
		asking(t, tx, "lot::M:1", 1)
		return nil
	})
	for name, f := range map[string]func(*Tx) error{
		"Facts":  func(tx *Tx) error { _, err := tx.Facts("lot::M:1"); return err },
		"Silent": func(tx *Tx) error { _, err := tx.Silent(noon.Add(time.Hour)); return err },
		"LotsAnswered": func(tx *Tx) error {
			_, err := tx.LotsAnswered("p1", 0, 9)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, q := range record(t, s, f) {
				for _, step := range plan(t, s, q) {
					if strings.HasPrefix(step, "SEARCH e ") && strings.HasSuffix(step, "autoindex_epoch_1 (plant=?)") || strings.HasPrefix(step, "SCAN e ") && !strings.Contains(step, "epoch_open") {
						t.Errorf("all epochs of the plant are gone through: %s in\n%s", step, q)
					}
				}
			}
		})
	}
	view(t, s, func(tx *Tx) error {
		heads, err := tx.HeadsOf("p1", "gw1")
		if err != nil || len(heads) != 1 || heads[0].Epoch != epochNumber(30) {
			t.Errorf("heads kept: %+v, %v", heads, err)
		}
		f, err := tx.Facts("lot::M:1")
		if err != nil || len(f.Answers) != 1 || !f.Answers[0].HeadAt.Equal(noon.Add(30*time.Minute)) || len(f.Gaps) != 0 {
			t.Errorf("answers %+v, gaps %+v, %v", f.Answers, f.Gaps, err)
		}
		return err
	})
}

func TestTx_Control_Queries(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		update(t, s, func(tx *Tx) error { agentWith(t, tx, "gw1", 2); agentWith(t, tx, "gw2", 30); return nil })
		var sets []Control
		control := func(agent string) int {
			return len(record(t, s, func(tx *Tx) error {
				c, err := tx.Control("p1", agent, noon.Add(time.Hour))
				sets = append(sets, c)
				return err
			}))
		}
		if few, many := control("gw1"), control("gw2"); few != many {
			t.Errorf("%d queries for three epochs, %d for thirty-one", few, many)
		}
		if c := sets[1].Set.Covered; len(c) != 2*coveredEpochs || c[0].Epoch != epochNumber(30) || c[0].Seq != 4 || len(sets[1].Set.Wanted) != 0 {
			t.Errorf("covered %+v, wanted %+v", c, sets[1].Set.Wanted)
		}
	})
}

func TestTx_Silent(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		update(t, s, func(tx *Tx) error {
			agentWith(t, tx, "gw1", 1)
			agentWith(t, tx, "gw2", 0)
			for i := range 20 {
				asking(t, tx, event.LotKey(fmt.Sprintf("lot::M:%02d", i+1)), int64(i+1))
			}
			// gw2 has answered up to 15, and persons for it about lot 17; lot 20 asked too lately.
			if err := tx.PutAgent(&AgentRow{Plant: "p1", Agent: "gw2", Answered: 15}); err != nil {
				return err
			}
			return tx.PutAcceptance(&quality.Acceptance{ID: "x", Lot: "lot::M:17", Plant: "p1", Agent: "gw2", Barrier: 17})
		})
		var got []SilentAgent
		queries := record(t, s, func(tx *Tx) (err error) { got, err = tx.Silent(noon.Add(19 * time.Second)); return err })
		want := []SilentAgent{
			{Plant: "p1", Agent: "gw1", Lots: 19, Since: noon.Add(time.Second), HeadAt: noon.Add(time.Minute)},
			{Plant: "p1", Agent: "gw2", Lots: 3, Since: noon.Add(16 * time.Second), HeadAt: noon},
		}
		if !slices.Equal(got, want) {
			t.Errorf("silent are %+v, want %+v", got, want)
		}
		if len(queries) > 5 {
			t.Errorf("%d queries for 20 lots and two agents", len(queries))
		}
	})
}

func TestTx_LotsAnswered(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		answered := func(agent string, before, barrier int64) (lots []event.LotKey) {
			update(t, s, func(tx *Tx) (err error) {
				if err := tx.PutAgent(&AgentRow{Plant: "p1", Agent: agent, Answered: barrier}); err != nil {
					return err
				}
				lots, err = tx.LotsAnswered("p1", before, barrier)
				return err
			})
			return lots
		}
		update(t, s, func(tx *Tx) error {
			agentWith(t, tx, "gw1", 0)
			agentWith(t, tx, "gw2", 0)
			for i := range 4 {
				asking(t, tx, event.LotKey(fmt.Sprintf("lot::M:%d", i+1)), int64(i+1))
			}
			return tx.PutAcceptance(&quality.Acceptance{ID: "x", Lot: "lot::M:2", Plant: "p1", Agent: "gw2", Barrier: 2})
		})
		if got := answered("gw1", 0, 3); !slices.Equal(got, []event.LotKey{"lot::M:2"}) {
			t.Errorf("gw1 was the last one to answer %v, want the one that persons answered for gw2", got)
		}
		if got := answered("gw2", 0, 1); !slices.Equal(got, []event.LotKey{"lot::M:1"}) {
			t.Errorf("gw2 was the last one to answer %v", got)
		}
		if got := answered("gw2", 1, 4); !slices.Equal(got, []event.LotKey{"lot::M:2", "lot::M:3"}) {
			t.Errorf("gw2 was the last one to answer %v: want none that it answered before or that gw1 has not", got)
		}
	})
}

func BenchmarkTx_Facts(b *testing.B) {
	s, err := Open(b.Context(), "sqlite:"+b.TempDir()+"/holdfast.db")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Update(b.Context(), func(tx *Tx) error {
		for i := range 4 {
			agentWith(b, tx, fmt.Sprint("gw", i), 500)
		}
		asking(b, tx, "lot::M:1", 1)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.View(b.Context(), func(tx *Tx) error { _, err := tx.Facts("lot::M:1"); return err }); err != nil {
			b.Fatal(err)
		}
	}
}

package workflow

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// marks returns how often an agent's control record was to be written since the last call.
func (m *mesh) marks(g *gateway) (n int64) {
	m.t.Helper()
	if err := m.store.Update(m.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.OutboxControl(math.MaxInt64, 10000, store.OutboxExcept{})
		for i := range rows {
			if rows[i].Topic == TopicControl+"/"+string(g.plant) && rows[i].Key == g.name {
				n += rows[i].Changes
			}
			if err == nil {
				err = tx.DropOutbox(&rows[i])
			}
		}
		return err
	}); err != nil {
		m.t.Fatal(err)
	}
	return n
}

func TestControl(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.inspectedLot()
	m.marks(g)
	t.Run("a question is written at once, one for all lots of a transaction", func(t *testing.T) {
		m.want(g.send("b", made("lot::M:B", "M")), Accepted)
		before := m.control(g).Set
		m.marks(g)
		m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
		if n := m.marks(g); n != 1 {
			t.Errorf("%d marks", n)
		}
		if c := m.control(g).Set; c.Barrier <= before.Barrier || c.Version <= before.Version {
			t.Errorf("the record went from %+v to %+v", before, c)
		}
	})
	t.Run("coverage alone waits, and the sign of life comes", func(t *testing.T) {
		g.answer()
		m.fireNow()
		m.marks(g)
		m.want(g.send("c", made("lot::M:C", "MI")), Accepted)
		m.pass(2 * time.Second)
		if n := m.marks(g); n != 0 {
			t.Errorf("%d marks for coverage at once", n)
		}
		m.pass(9 * time.Second)
		if n := m.marks(g); n != 1 {
			t.Errorf("%d marks for coverage after ten seconds", n)
		}
		version := m.control(g).Set.Version
		m.pass(20 * time.Second)
		if n := m.marks(g); n != 0 {
			t.Errorf("%d marks for nothing", n)
		}
		m.pass(11 * time.Second)
		if n := m.marks(g); n != 1 || m.control(g).Set.Version <= version {
			t.Errorf("%d marks after half a minute", n)
		}
	})
	t.Run("what is covered is whole up to the first hole", func(t *testing.T) {
		g.keep("d", made("lot::M:D", "MI"))
		m.want(g.send("e", made("lot::M:E", "MI")), Accepted)
		set := m.control(g).Set
		if len(set.Covered) != 2 || set.Covered[0].Seq != int64(g.seq-2) {
			t.Errorf("covered is %+v, the last seq %d", set.Covered, g.seq)
		}
		g.answer()
		m.pass(6 * time.Second)
		if w := m.control(g).Set.Wanted; len(w) != 1 || w[0].FromSeq != int64(g.seq-1) || w[0].ToSeq != w[0].FromSeq {
			t.Errorf("wanted is %+v", w)
		}
		if n := m.marks(g); n != 1 {
			t.Errorf("%d marks for what is wanted again", n)
		}
		g.drain()
		if w := m.control(g).Set.Wanted; len(w) != 0 {
			t.Errorf("wanted is %+v", w)
		}
	})
}

func TestWaits(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.inspectedLot()
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	waited := func() map[string]store.Waited {
		all := map[string]store.Waited{}
		m.view(func(tx *store.Tx) error {
			rows, err := tx.Waited(m.clock)
			for _, r := range rows {
				all[string(r.Plant)+" "+string(r.Reason)] = r
			}
			return err
		})
		return all
	}
	m.clock = m.clock.Add(10 * time.Second)
	if w := waited()["p1 answer"]; w.Lots != 1 || w.Total < 10*time.Second || w.Total > 11*time.Second {
		t.Errorf("waited: %+v", waited())
	}
	m.want(g.send("hold", held(lotA, "1")), Accepted)
	m.clock = m.clock.Add(20 * time.Second)
	w := waited()
	if w["p1 answer"].Lots != 0 || w["p1 answer"].Total > 11*time.Second || w["p1 hold"].Lots != 1 || w["p1 hold"].Total < 20*time.Second {
		t.Errorf("waited: %+v", w)
	}
	m.want(m.say(freed(lotA, "1")), Accepted)
	m.answerAll()
	m.work()
	m.clock = m.clock.Add(time.Hour)
	for key, x := range waited() {
		if x.Lots != 0 || x.Total > time.Minute || strings.HasSuffix(key, "disposition") {
			t.Errorf("after the release: %s %+v", key, x)
		}
	}
}

func TestAlert_Unenforced(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.releasedLot()
	alerts := func() (all []event.Alert) {
		m.view(func(tx *store.Tx) (err error) { all, err = tx.Alerts(); return err })
		return all
	}
	m.down["s4"] = true
	m.want(g.send("hold", held(lotA, "1")), Accepted)
	m.work()
	m.pass(4 * time.Minute)
	if a := alerts(); len(a) != 0 {
		t.Fatalf("alerts are %+v", a)
	}
	m.pass(2 * time.Minute)
	if a := alerts(); len(a) != 1 || a[0].Code != AlertUnenforced || a[0].About != lotA || a[0].NextStep == "" {
		t.Fatalf("alerts are %+v", a)
	}
	m.down["s4"] = false
	m.work()
	if a := alerts(); len(a) != 0 {
		t.Errorf("alerts are %+v", a)
	}
	var raised, cleared int
	m.view(func(tx *store.Tx) error {
		rows, err := tx.Outbox(10000, store.OutboxExcept{})
		for _, r := range rows {
			if r.Topic == TopicAlert && r.Message.Header(event.HeaderType) == string(event.TypeAlertRaised) {
				raised++
			} else if r.Topic == TopicAlert {
				cleared++
			}
		}
		return err
	})
	if raised != 1 || cleared != 1 {
		t.Errorf("%d alerts were raised, %d cleared", raised, cleared)
	}
}

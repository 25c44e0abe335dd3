package store

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func usageOf(lot string, urgent bool) quality.Intent {
	key := event.LotKey("lot::M:" + lot)
	return quality.Intent{Kind: quality.LotUsageSet, System: "s4", Object: string(key), Lot: key, Urgent: urgent}
}

const leaseLength = 10 * time.Second

// effects is a store with a clock, for one test of effects.
type effects struct {
	t     *testing.T
	store *Store
	now   time.Time
}

func newEffects(t *testing.T, open opener) *effects { return &effects{t: t, store: open(t), now: noon} }

func (e *effects) want(i quality.Intent, generation int64) {
	e.t.Helper()
	update(e.t, e.store, func(tx *Tx) error {
		_, err := tx.WantEffect(i, generation, &event.Event{ID: "c"}, e.now)
		return err
	})
}

func (e *effects) claim(owner string, limit int) (rows []EffectRow) {
	e.t.Helper()
	update(e.t, e.store, func(tx *Tx) (err error) {
		rows, err = tx.ClaimEffects(owner, []string{"s4", "s5", "qms1"}, limit, e.now, leaseLength)
		return err
	})
	return rows
}

func (e *effects) one(owner string) EffectRow {
	e.t.Helper()
	rows := e.claim(owner, 10)
	if len(rows) != 1 {
		e.t.Fatalf("%d effects claimed, want 1", len(rows))
	}
	return rows[0]
}

func (e *effects) mark(r *EffectRow) (ours bool) {
	e.t.Helper()
	update(e.t, e.store, func(tx *Tx) (err error) { ours, err = tx.MarkWrite(r.ID, r.Owner, e.now.Add(leaseLength)); return err })
	return ours
}

func (e *effects) settle(r *EffectRow, state EffectState) (ours bool) {
	e.t.Helper()
	update(e.t, e.store, func(tx *Tx) (err error) {
		ours, err = tx.SettleEffect(r, state, event.Applied, "", "", "", e.now)
		return err
	})
	return ours
}

func (e *effects) get(id string) (r EffectRow) {
	e.t.Helper()
	view(e.t, e.store, func(tx *Tx) (err error) { r, err = tx.Effect(id); return err })
	return r
}

func TestTx_WantEffect(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Run("ten changes are one row", func(t *testing.T) {
			e := newEffects(t, open)
			for g := range int64(10) {
				e.want(usageOf("1", false), g+1)
			}
			if r := e.one("a"); r.Generation != 10 || r.Priority != 1 {
				t.Errorf("row is %+v", r)
			}
		})
		t.Run("a hold makes it urgent, a later lift while it waits does not undo that", func(t *testing.T) {
			e := newEffects(t, open)
			e.want(usageOf("1", false), 1)
			e.want(usageOf("1", true), 2)
			e.want(usageOf("1", false), 3)
			if r := e.one("a"); r.Priority != 0 {
				t.Errorf("priority is %d", r.Priority)
			}
		})
		t.Run("a document is asked for once", func(t *testing.T) {
			e := newEffects(t, open)
			i := quality.Intent{Kind: quality.NonconformanceEnsure, System: "qms1", Object: "nc:1", Lot: "lot::M:1", CommandID: "cmd:w3:nc:1:ensure:1"}
			e.want(i, 1)
			r := e.one("a")
			e.settle(&r, EffectSettled)
			e.want(i, 2)
			if rows := e.claim("a", 10); len(rows) != 0 {
				t.Errorf("claimed again: %+v", rows)
			}
		})
		t.Run("what is asked for again and again keeps its place", func(t *testing.T) {
			e := newEffects(t, open)
			e.want(usageOf("1", false), 1)
			e.now = e.now.Add(time.Second)
			e.want(usageOf("2", false), 2)
			e.now = e.now.Add(time.Second)
			e.want(usageOf("1", false), 3)
			if rows := e.claim("a", 1); len(rows) != 1 || rows[0].Lot != "lot::M:1" || rows[0].Generation != 3 {
				t.Errorf("first goes %+v", rows)
			}
		})
		t.Run("asked for while it stays away, it goes at once", func(t *testing.T) {
			e := newEffects(t, open)
			document := quality.Intent{Kind: quality.UsageDecisionPost, System: "s4", Object: "disposition:qms1:1", Lot: "lot::M:2", CommandID: "cmd:w1:disposition:qms1:1:usage_decision:1"}
			for i, c := range []struct {
				intent  quality.Intent
				outcome event.Outcome
				woken   bool
			}{{usageOf("1", false), event.RetryLater, true}, {document, event.RetryLater, true}, {document, event.Unknown, false}} {
				e.want(c.intent, int64(2*i+1))
				r := e.one("a")
				later := e.now.Add(time.Hour)
				update(t, e.store, func(tx *Tx) error { return tx.DeferEffect(&r, later, c.outcome, "", "") })
				e.want(c.intent, int64(2*i+2))
				if got := e.get(r.ID); got.Due.Equal(e.now) != c.woken {
					t.Errorf("%s after %s is due in %s", c.intent.Kind, c.outcome, got.Due.Sub(e.now))
				}
				if c.woken {
					r = e.one("a")
					e.settle(&r, EffectSettled)
					e.want(c.intent, int64(2*i+2))
				}
				update(t, e.store, func(tx *Tx) error { return tx.exec(`DELETE FROM effect`) })
			}
		})
		t.Run("asked for while leased, it is due again at once", func(t *testing.T) {
			e := newEffects(t, open)
			e.want(usageOf("1", true), 1)
			r := e.one("a")
			e.want(usageOf("1", true), 2)
			if rows := e.claim("b", 10); len(rows) != 0 {
				t.Fatalf("claimed while leased: %+v", rows)
			}
			if !e.settle(&r, EffectSettled) {
				t.Fatal("settle was refused")
			}
			if again := e.one("a"); again.Generation != 2 || again.Settled != 1 || again.Wrote {
				t.Errorf("row is %+v", again)
			}
		})
		t.Run("asked for while leased, it does not wait for the back-off of the attempt", func(t *testing.T) {
			e := newEffects(t, open)
			e.want(usageOf("1", true), 1)
			r := e.one("a")
			e.want(usageOf("1", true), 2)
			update(t, e.store, func(tx *Tx) error { return tx.DeferEffect(&r, e.now.Add(time.Hour), event.RetryLater, "", "") })
			e.one("a")
		})
		t.Run("an exception is tried again when it is asked for anew", func(t *testing.T) {
			e := newEffects(t, open)
			e.want(usageOf("1", true), 1)
			r := e.one("a")
			e.settle(&r, EffectException)
			if rows := e.claim("a", 10); len(rows) != 0 {
				t.Fatal("an exception was claimed")
			}
			e.want(usageOf("1", true), 2)
			e.one("a")
		})
	})
}

func TestTx_ClaimEffects(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		t.Run("urgent ones first, then the longest due", func(t *testing.T) {
			e := newEffects(t, open)
			for _, lot := range []string{"1", "2"} {
				e.want(usageOf(lot, false), 1)
				e.now = e.now.Add(time.Second)
			}
			e.want(usageOf("3", true), 1)
			var got []event.LotKey
			for range 3 {
				got = append(got, e.claim("a", 1)[0].Lot)
			}
			if fmt.Sprint(got) != "[lot::M:3 lot::M:1 lot::M:2]" {
				t.Errorf("order is %v", got)
			}
		})
		t.Run("one of a lot at a time, whatever system it writes to", func(t *testing.T) {
			e := newEffects(t, open)
			second := usageOf("1", true)
			second.System = "s5"
			e.want(usageOf("1", true), 1)
			e.want(second, 1)
			r := e.one("a")
			if rows := e.claim("b", 10); len(rows) != 0 {
				t.Fatalf("claimed beside it: %+v", rows)
			}
			e.settle(&r, EffectSettled)
			e.one("b")
		})
		t.Run("one of a record at a time", func(t *testing.T) {
			e := newEffects(t, open)
			i := quality.Intent{Kind: quality.NonconformanceEnsure, System: "qms1", Object: "nc:1", Lot: "lot::M:1", CommandID: "cmd:w3:nc:1:ensure:1"}
			e.want(i, 1)
			i.Kind, i.CommandID = quality.NonconformanceAdvance, ""
			e.want(i, 1)
			e.one("a")
		})
		t.Run("a lease that ran out is claimed again, and says that a write may have left", func(t *testing.T) {
			e := newEffects(t, open)
			e.want(usageOf("1", true), 1)
			first := e.one("a")
			if first.Wrote || !e.mark(&first) {
				t.Fatalf("row is %+v", first)
			}
			e.now = e.now.Add(leaseLength)
			second := e.one("b")
			if !second.Wrote || second.Attempts != 1 {
				t.Errorf("row is %+v: want a write on record", second)
			}
			if e.mark(&first) || e.settle(&first, EffectSettled) {
				t.Error("the former owner may still write or settle")
			}
			if !e.mark(&second) || !e.settle(&second, EffectSettled) {
				t.Error("the owner may not")
			}
		})
		t.Run("whoever let the lease of a lot run out writes no more once another effect of the lot is out", func(t *testing.T) {
			e := newEffects(t, open)
			e.want(usageOf("1", false), 1)
			late := e.one("a")
			other := usageOf("1", true)
			other.System = "s5"
			e.want(other, 2)
			e.now = e.now.Add(leaseLength)
			if r := e.one("b"); r.System != "s5" {
				t.Fatalf("claimed %s", r.System)
			}
			if e.mark(&late) {
				t.Error("two writers of one lot")
			}
		})
		t.Run("before its time, or for another system, nothing is claimed", func(t *testing.T) {
			e := newEffects(t, open)
			e.want(usageOf("1", true), 1)
			r := e.one("a")
			update(t, e.store, func(tx *Tx) error { return tx.DeferEffect(&r, e.now.Add(time.Minute), event.RetryLater, "503", "down") })
			if rows := e.claim("a", 10); len(rows) != 0 {
				t.Fatal("claimed before its time")
			}
			view(t, e.store, func(tx *Tx) error {
				due, at, err := tx.NextEffect("s4", e.now)
				if due || !at.Equal(e.now.Add(time.Minute)) {
					t.Errorf("next is %v, %t", at, due)
				}
				if due, at, err := tx.NextEffect("s5", e.now); due || !at.IsZero() || err != nil {
					t.Errorf("next of another system is %v, %t, %v", at, due, err)
				}
				if due, at, err := tx.NextEffect("s4", e.now.Add(time.Minute)); !due || !at.IsZero() || err != nil {
					t.Errorf("by then %v, %t, %v", at, due, err)
				}
				return err
			})
			e.now = e.now.Add(time.Minute)
			update(t, e.store, func(tx *Tx) error {
				rows, err := tx.ClaimEffects("a", []string{"elsewhere"}, 10, e.now, leaseLength)
				if len(rows) != 0 {
					t.Error("claimed for another system")
				}
				return err
			})
			if r := e.one("a"); r.Tries != 1 || r.Code != "503" {
				t.Errorf("row is %+v", r)
			}
		})
	})
}

func TestTx_WakeEffects(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		e := newEffects(t, open)
		for i, c := range []struct {
			lot     string
			system  string
			outcome event.Outcome
			woken   bool
		}{{"down", "s4", event.RetryLater, true}, {"landing", "s4", event.Unknown, false}, {"elsewhere", "s5", event.RetryLater, false}} {
			intent := usageOf(c.lot, false)
			intent.System = c.system
			e.want(intent, int64(i+1))
			r := e.one("a")
			later := e.now.Add(time.Hour)
			update(t, e.store, func(tx *Tx) error { return tx.DeferEffect(&r, later, c.outcome, "", "") })
			update(t, e.store, func(tx *Tx) error { return tx.WakeEffects("s4", e.now) })
			want := later
			if c.woken {
				want = e.now
			}
			if got := e.get(r.ID); !got.Due.Equal(want) || got.State != EffectDue {
				t.Errorf("%s of %s is %s for %s, want %s", c.outcome, c.system, got.State, got.Due, want)
			}
			if c.woken {
				r := e.one("a")
				e.settle(&r, EffectSettled)
			}
		}
	})
}

func TestTx_WakeBehind(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		e := newEffects(t, open)
		decision := quality.Intent{Kind: quality.UsageDecisionPost, System: "s4", Object: "disposition:qms1:1", Lot: "lot::M:1", CommandID: "cmd:w1:disposition:qms1:1:usage_decision:1"}
		later := e.now.Add(time.Hour)
		var rows []EffectRow
		for n, i := range []quality.Intent{usageOf("1", false), usageOf("2", false), decision} {
			e.want(i, int64(n+1))
			r := e.one("a")
			update(t, e.store, func(tx *Tx) error { return tx.DeferEffect(&r, later, event.RetryLater, "", "") })
			rows = append(rows, r)
		}
		update(t, e.store, func(tx *Tx) error { return tx.WakeBehind(&rows[2], e.now) })
		for i, want := range []time.Time{e.now, later, later} {
			if got := e.get(rows[i].ID).Due; !got.Equal(want) {
				t.Errorf("%s of %s is due at %s, want %s", rows[i].Kind, rows[i].Lot, got, want)
			}
		}
	})
}

// model is what must hold of effects whatever dispatchers do: one writer of a lot at a time, and no request forgotten.
type model struct {
	*effects
	claims  int
	held    []EffectRow
	wanted  map[string]int64 // newest generation asked for, by effect
	settled map[string]int64
}

// writers are the claims that may write now: of those for one lot only one may be left.
func (m *model) writers(t *rapid.T) {
	lots := map[event.LotKey]string{}
	for i := range m.held {
		r := &m.held[i]
		row := m.get(r.ID)
		if row.Owner != r.Owner || row.State != EffectLeased {
			continue
		}
		if other := lots[r.Lot]; other != "" {
			t.Fatalf("%s and %s may both write lot %s", other, r.Owner, r.Lot)
		}
		lots[r.Lot] = r.Owner
	}
}

func TestEffects_Model(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		rapid.Check(t, func(rt *rapid.T) {
			update(t, s, func(tx *Tx) error { return tx.exec(`DELETE FROM effect`) })
			m := &model{effects: &effects{t: t, store: s, now: noon}, wanted: map[string]int64{}, settled: map[string]int64{}}
			generation := int64(0)
			pick := func(t *rapid.T) *EffectRow {
				if len(m.held) == 0 {
					t.Skip("nothing is held")
				}
				return &m.held[rapid.IntRange(0, len(m.held)-1).Draw(t, "claim")]
			}
			rt.Repeat(map[string]func(*rapid.T){
				"": m.writers,
				"want": func(t *rapid.T) {
					i := usageOf(rapid.SampledFrom([]string{"1", "2"}).Draw(t, "lot"), rapid.Bool().Draw(t, "urgent"))
					i.System = rapid.SampledFrom([]string{"s4", "s5"}).Draw(t, "system")
					generation++
					m.want(i, generation)
					m.wanted[string(i.Kind)+"|"+i.System+"|"+i.Object] = generation
				},
				"claim": func(t *rapid.T) {
					m.claims++
					m.held = append(m.held, m.claim(fmt.Sprint("claim ", m.claims), rapid.IntRange(1, 3).Draw(t, "limit"))...)
				},
				"mark": func(t *rapid.T) { m.mark(pick(t)) },
				"settle": func(t *rapid.T) {
					if r := pick(t); m.settle(r, EffectSettled) {
						m.settled[r.ID] = r.Generation
					}
				},
				"defer": func(t *rapid.T) {
					r := pick(t)
					update(m.t, m.store, func(tx *Tx) error { return tx.DeferEffect(r, m.now.Add(time.Second), event.RetryLater, "", "") })
				},
				"wait": func(t *rapid.T) {
					m.now = m.now.Add(time.Duration(rapid.IntRange(1, 12).Draw(t, "seconds")) * time.Second)
				},
			})
			// When no dispatcher is left, all that was asked for and not settled can be claimed in the end.
			m.now = m.now.Add(time.Hour)
			for id, g := range m.wanted {
				if m.settled[id] == g {
					continue
				}
				found := false
				for range 2 * len(m.wanted) {
					for _, r := range m.claim("last", 10) {
						found = found || r.ID == id && r.Generation == g
						m.settle(&r, EffectSettled)
						m.settled[r.ID] = r.Generation
					}
				}
				if !found && m.settled[id] != g {
					rt.Fatalf("%s was asked for as %d and is forgotten", id, g)
				}
			}
		})
	})
}

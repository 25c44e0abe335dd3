package workflow

import (
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// TestRelease_DecisionKeptBack: somebody signed a decision that is not applied, after the release was decided.
func TestRelease_DecisionKeptBack(t *testing.T) {
	t.Parallel()
	revised := func(id string, d quality.Decision, q, supersedes string) *event.DispositionRevised {
		return &event.DispositionRevised{Disposition: disposition(lotA, id, d, q), Supersedes: event.ObjectID("disposition:qms1:" + supersedes)}
	}
	for _, c := range []struct {
		name string
		data event.Data
		want Outcome
		kept bool
	}{
		{"a rejection that waits for the decision it names", revised("3", quality.Reject, "500", "2"), Waiting, true},
		{"a rejection that a rule refused", revised("3", quality.Reject, "600", "1"), Refused, true},
		{"a second decision on all of it, which a rule refused", decided(lotA, "3", quality.ReworkLot, "500"), Refused, true},
		{"a second release, which a rule refused", decided(lotA, "3", quality.Release, "500"), Refused, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMesh(t)
			m.inspectedLot()
			m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
			m.answerAll()
			m.state(lotA, quality.Releasing)
			kept := m.say(c.data)
			m.want(kept, c.want)
			seen := quality.Seen{System: "s4", Usage: event.InInspection, Ours: true}
			f := m.lot(lotA)
			if frees := f.Wanted(seen) == event.Unrestricted; frees == c.kept {
				t.Errorf("right before a write, the ERP is told to free it: %t", frees)
			}
			m.fireNow()
			m.work()
			if !c.kept {
				m.state(lotA, quality.Released)
				return
			}
			m.state(lotA, quality.Asking)
			m.waits(lotA, quality.WaitParked)
			if c.want != Refused {
				return
			}
			later := revised("9", quality.Release, "500", "1")
			later.DecidedAt = event.At(later.DecidedAt.Add(time.Hour))
			m.want(m.say(later), Accepted)
			m.answerAll()
			m.work()
			m.state(lotA, quality.Released)
		})
	}
}

// TestRelease_DecisionUnread: the QMS shows a decision that can't be read.
func TestRelease_DecisionUnread(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.inspectedLot()
	m.want(m.say(decided(lotA, "1", quality.Release, "500")), Accepted)
	m.answerAll()
	m.state(lotA, quality.Releasing)
	look := func(f func(*store.Tx) error) {
		t.Helper()
		if err := m.store.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if err := m.Look(t.Context(), lotA); err != nil {
			t.Fatal(err)
		}
		m.fireNow()
	}
	look(func(tx *store.Tx) error {
		_, err := tx.PutUnread(&store.Unread{System: "qms1", Kind: "decision", Object: "D9", Lot: lotA, Reason: "signed without a reason", Since: m.clock, Tried: m.clock})
		return err
	})
	m.state(lotA, quality.Asking)
	m.waits(lotA, quality.WaitQuarantine)
	look(func(tx *store.Tx) error {
		_, err := tx.DropUnread("qms1", "decision", "D9")
		return err
	})
	m.answerAll()
	m.work()
	m.state(lotA, quality.Released)
}

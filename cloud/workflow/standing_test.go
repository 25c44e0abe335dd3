package workflow

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// What an agent says about itself is kept as it was said, with the clocks of both, and changes nothing else.
func TestHead_Standing(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	g := m.inspectedLot()
	dump := func() string {
		var b bytes.Buffer
		m.view(func(tx *store.Tx) error { return tx.Dump(&b) })
		return b.String()
	}
	before := dump()
	told := event.At(m.clock.Add(-time.Second))
	said := &event.AgentStatus{
		Version: "1.4.0", Started: told, LinkSince: told, Urgent: 2, Backlog: []event.LaneBacklog{{Lane: event.LaneQuality, Events: 3, Bytes: 4, Oldest: told}},
		Sources: []event.SourceStanding{{ID: "press-4", State: "stale", Since: told}},
	}
	h := event.Head{Plant: "p1", Agent: g.name, Epoch: g.epoch, Prev: g.prev, Time: told.Time, Epochs: []event.HeadEpoch{{Epoch: g.epoch, Quality: g.seq}}, Status: said}
	m.want(m.apply(Input{Message: h.Message(), Plant: "p1"})[0], Accepted)
	m.view(func(tx *store.Tx) error {
		all, err := tx.Standings("p1")
		want := []store.Standing{{Plant: "p1", Agent: g.name, Epoch: g.epoch, At: m.clock, Told: told.Time, Status: said}}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return err
	})
	if after := dump(); after != before {
		t.Errorf("the state of the lots changed:\n%s\n%s", before, after)
	}
}

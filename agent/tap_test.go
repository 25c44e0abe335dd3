package agent

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// tap starts a tap and returns what it shows.
func (r *rig) tap(order localapi.Tap) <-chan localapi.Tapped {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	shown, began, ended := make(chan localapi.Tapped, 100), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- r.client.Tap(ctx, order, func() { close(began) }, func(e localapi.Tapped) error { shown <- e; return nil })
	}()
	r.t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			r.t.Errorf("tap ended with %v", err)
		}
	})
	<-began
	return shown
}

func (r *rig) next(shown <-chan localapi.Tapped) localapi.Tapped {
	r.t.Helper()
	select {
	case e := <-shown:
		return e
	case <-time.After(patience):
		r.t.Fatalf("nothing was shown within %s", patience)
		return localapi.Tapped{}
	}
}

func TestAgent_Tap(t *testing.T) {
	r := newRig(t)
	r.result("1", "45.0")
	all, unread := r.tap(localapi.Tap{}), r.tap(localapi.Tap{Quality: localapi.Unread})
	r.result("2", "61.2")
	sig := source.Signal{Source: "press", System: "mes1", Transport: "mqtt", Ref: "acme/p1/nobody", Kind: source.KindMessage, Raw: []byte("x"), Quality: source.Uncertain, Arrived: time.Now()}
	if err := r.agent.pipeline.emit(t.Context(), source.Batch{Source: "press", Signals: []source.Signal{sig}}); err != nil {
		t.Fatal(err)
	}
	recorded, failed, quarantined := r.next(all), r.next(all), r.next(all)
	if recorded.Type != string(event.TypeCharacteristicRecorded) || recorded.Lot != "lot::MAT-100:L-88213" || recorded.Source != "press" || recorded.Seq == 0 ||
		recorded.Epoch != string(r.agent.epoch) || !recorded.Time.Equal(time.Date(2026, 11, 24, 6, 30, 0, 125e6, time.UTC)) || recorded.Urgent {
		t.Errorf("first is %+v", recorded)
	}
	if failed.Type != string(event.TypeSafetyFailed) || !failed.Urgent || failed.Seq != recorded.Seq+1 {
		t.Errorf("second is %+v", failed)
	}
	if quarantined.Quality != localapi.Unread {
		t.Errorf("third is %+v", quarantined)
	}
	if only := r.next(unread); only.ID != quarantined.ID {
		t.Errorf("of what was not understood it shows %+v", only)
	}
}

// TestFollow_Behind shows that a tap skips what it is too slow for, and says how much.
func TestFollow_Behind(t *testing.T) {
	r := newRig(t)
	lane := r.agent.quality
	epoch, seq := lane.Last()
	records := make([]queue.Record, tapBehind+1000)
	for i := range records {
		records[i] = queue.Record{ID: "x", At: time.Now(), Value: []byte("{}")}
	}
	for part := range slices.Chunk(records, 1000) {
		if _, err := lane.Put(t.Context(), queue.Batch{Records: part}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	events, ended := make(chan localapi.Tapped), make(chan error, 1)
	go func() {
		ended <- follow(ctx, namedLane{event.LaneQuality, lane}, queue.Position{Epoch: epoch, Seq: seq}, localapi.Tap{}, events)
	}()
	shown, skipped := uint64(0), uint64(0)
	for shown+skipped < uint64(len(records)) {
		e := r.next(events)
		if e.Skipped == 0 {
			shown++
		}
		skipped += e.Skipped
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if skipped == 0 || shown+skipped != uint64(len(records)) {
		t.Errorf("%d shown, %d skipped of %d", shown, skipped, len(records))
	}
}

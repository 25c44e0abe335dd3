package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestClient_Tap(t *testing.T) {
	one := Tapped{Lane: event.LaneQuality, Seq: 7, Type: "quality.safety.failed.v1", Data: json.RawMessage(`{"a":"<"}`)}
	t.Run("OK, until the caller has enough", func(t *testing.T) {
		gone := make(chan struct{})
		c, _ := serve(t, &fake{tap: func(ctx context.Context, tap Tap, show func(Tapped) error) error {
			defer close(gone)
			if tap != (Tap{Lane: event.LaneQuality, Find: "press & 4", Quality: "bad"}) {
				t.Errorf("order is %+v", tap)
			}
			if err := errors.Join(show(one), show(Tapped{Skipped: 3})); err != nil {
				return err
			}
			<-ctx.Done() // it ends with the caller
			return ctx.Err()
		}})
		var got []Tapped
		enough, began := errors.New("enough"), false
		err := c.Tap(t.Context(), Tap{Lane: event.LaneQuality, Find: "press & 4", Quality: "bad"}, func() { began = true }, func(e Tapped) error {
			if got = append(got, e); len(got) == 2 {
				return enough
			}
			return nil
		})
		if diff := cmp.Diff([]Tapped{one, {Skipped: 3}}, got); diff != "" || !errors.Is(err, enough) || !began {
			t.Errorf("began %t, error %v, events differ:\n%s", began, err, diff)
		}
		<-gone
	})
	t.Run("ErrAgent", func(t *testing.T) {
		c, _ := serve(t, &fake{tap: func(context.Context, Tap, func(Tapped) error) error {
			return problem.New(problem.QueueCommit, "lane quality failed")
		}})
		err := c.Tap(t.Context(), Tap{}, func() {}, func(Tapped) error { return nil })
		if problem.CodeOf(err) != problem.QueueCommit {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("ErrCut", func(t *testing.T) {
		c, stop := serve(t, &fake{tap: func(ctx context.Context, _ Tap, show func(Tapped) error) error {
			_ = show(one)
			<-ctx.Done()
			return nil
		}})
		err := c.Tap(t.Context(), Tap{}, func() {}, func(Tapped) error { go stop(); return nil })
		if problem.CodeOf(err) != problem.APIUnreachable {
			t.Errorf("error is %v", err)
		}
		stop()
	})
	for name, bad := range map[string]Tap{"ErrLane": {Lane: "urgent"}, "ErrQuality": {Quality: "worse"}} {
		t.Run(name, func(t *testing.T) {
			c, _ := serve(t, &fake{})
			if err := c.Tap(t.Context(), bad, func() {}, nil); problem.CodeOf(err) != problem.Usage {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestTap_Wants(t *testing.T) {
	e := Tapped{Lane: event.LaneTelemetry, Source: "press1", Item: "nsu=urn:x;s=Torque", Type: "signal.value.sampled.v1", Quality: "bad"}
	for tap, want := range map[Tap]bool{
		{}: true, {Lane: event.LaneTelemetry}: true, {Lane: event.LaneQuality}: false, {Find: "TORQUE"}: true, {Find: "press2"}: false,
		{Quality: "bad"}: true, {Quality: "good"}: false, {Find: "press1", Quality: "bad", Lane: event.LaneTelemetry}: true,
	} {
		if got := tap.Wants(&e); got != want {
			t.Errorf("%+v: %t", tap, got)
		}
	}
}

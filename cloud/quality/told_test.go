package quality

import (
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestDecide_RecordQuarantined_Time(t *testing.T) {
	source, arrived := noon.Add(-time.Hour), noon.Add(-10*time.Minute)
	for _, c := range []struct {
		name     string
		at       time.Time // of the event
		quality  event.TimeQuality
		from, to time.Time
	}{
		{"a record tells of the time from its own to its arrival", source, event.TimeSynchronised, source, arrived},
		{"also where the source's clock is not synchronised", source, event.TimeUnsynchronised, source, arrived},
		{"one without a time may tell of any time before it arrived", arrived, event.TimeMissing, time.Time{}, arrived},
		{"one whose time can't be right, too", time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), event.TimeSuspect, time.Time{}, arrived},
		{"a clock that is ahead makes it no shorter", noon, event.TimeSuspect, time.Time{}, noon},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &event.RecordQuarantined{Source: "mes", Reason: "no JSON"}
			d.ReadBy().TimeQuality, d.ReadBy().ArrivedAt = c.quality, event.At(arrived)
			got, err := Decide(&event.Event{ID: "q", Plant: "p1", Time: c.at, Data: d}, Objects{Now: noon})
			if err != nil || len(got.Gaps) != 1 {
				t.Fatalf("%+v, %v", got, err)
			}
			if g := got.Gaps[0]; !g.From.Equal(c.from) || !g.To.Equal(c.to) {
				t.Errorf("the gap is from %s to %s, want %s to %s", g.From, g.To, c.from, c.to)
			}
		})
	}
}

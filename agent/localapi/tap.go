package localapi

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Tap says which events to show as they become durable. The zero Tap shows all.
type Tap struct {
	Lane    event.Lane // "" = both
	Find    string     // part of source, item, lot or type, in either case; "" = any
	Quality string     // of the value, or quarantined; "" = any
}

// Check returns a problem with the code [problem.Usage] if the order makes no sense.
func (t *Tap) Check() error {
	if t.Lane != "" && t.Lane != event.LaneQuality && t.Lane != event.LaneTelemetry {
		return problem.New(problem.Usage, "lane %q: want quality or telemetry", t.Lane)
	}
	switch t.Quality {
	case "", "good", "uncertain", "bad", "stale", Unread:
		return nil
	}
	return problem.New(problem.Usage, "quality %q: want good, uncertain, bad, stale or %s", t.Quality, Unread)
}

// Unread is the quality of what was not understood.
const Unread = "quarantined"

// Tapped is one event as it stands in the queue, or the number of those that were too many to show.
type Tapped struct {
	Lane     event.Lane      `json:"lane,omitempty"`
	Epoch    string          `json:"epoch,omitempty"`
	Seq      uint64          `json:"seq,omitempty"`
	Urgent   bool            `json:"urgent,omitempty"`
	ID       string          `json:"id,omitempty"`
	Type     string          `json:"type,omitempty"`
	Lot      string          `json:"lot,omitempty"`
	Source   string          `json:"source,omitempty"` // configured id; the agent's own for what it says itself
	Item     string          `json:"item,omitempty"`   // topic, node or file
	Time     time.Time       `json:"time,omitzero"`    // of the fact at its source
	Recorded time.Time       `json:"recorded,omitzero"`
	Quality  string          `json:"quality,omitempty"`      // of a sampled value, or quarantined
	Clock    string          `json:"time_quality,omitempty"` // how far time can be trusted
	Data     json.RawMessage `json:"data,omitempty"`         // with its provenance

	Skipped uint64   `json:"skipped,omitempty"` // events left out, since the reader was too slow
	Failure *Failure `json:"failure,omitempty"` // the last line, where the agent could not go on
}

// Wants tells whether an event is to be shown.
func (t *Tap) Wants(e *Tapped) bool {
	if t.Lane != "" && e.Lane != t.Lane || t.Quality != "" && e.Quality != t.Quality {
		return false
	}
	find := strings.ToLower(t.Find)
	for _, text := range []string{e.Source, e.Item, e.Lot, e.Type} {
		if strings.Contains(strings.ToLower(text), find) {
			return true
		}
	}
	return false
}

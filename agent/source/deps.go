package source

import (
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// Deps is what every source needs besides its configuration. ID, Plant and Agent are required.
type Deps struct {
	ID        string // of the source
	System    string // of record; "" = ID
	Equipment string
	Plant     string
	Agent     string

	// Cursor is the newest [Batch.Cursor] of this source that is on disk; nil before the first.
	Cursor []byte
	// Open is the gap of the whole source that is recorded and has no end yet; nil = there is none.
	Open *Gap

	Log   zerolog.Logger
	Now   func() time.Time  // nil = time.Now
	Clock func() ClockState // nil = never synchronised
	Rand  func() float64    // from 0 to 1, for back-off; nil = math/rand
}

// Fill sets what may be left out, and returns what may not.
func (d *Deps) Fill() error {
	if d.ID == "" || d.Plant == "" || d.Agent == "" {
		return problem.New(problem.ConfigMissing, "source needs id, plant and agent")
	}
	if d.System == "" {
		d.System = d.ID
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Clock == nil {
		d.Clock = func() ClockState { return ClockState{} }
	}
	if d.Rand == nil {
		d.Rand = rand.Float64
	}
	d.Log = d.Log.With().Str(telemetry.KeySource, d.ID).Logger()
	return nil
}

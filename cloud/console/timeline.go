package console

import (
	"math"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
)

// Size of a timeline's drawing, in its own units.
const (
	lineWidth  = 960.0
	laneHeight = 34.0
	laneLeft   = 120.0
	laneTop    = 24.0
	laneRight  = 16.0
)

// maxMarks bounds the marks of a drawing; the table below it has all hops.
const maxMarks = 200

// timeline is the way of a lot's events as a picture: a lane for each place, a mark for each hop, a bar for each wait. Time
// runs from left to right, compressed: a wait of a day is longer than one of a second, but both can be seen.
type timeline struct {
	Lanes  []lane
	Marks  []mark
	Pauses []pause
	Cut    int // hops in front of those that are drawn
}

// lane is a place that events pass.
type lane struct {
	Kind string // plant, cloud, system or kept
	Name string // of a plant or a system
	Y    float64
}

// mark is one hop.
type mark struct {
	api.Hop
	X, Y float64
	From float64 // where its wait began
	Kind string  // tick, wait, open or bad
}

// pause is a long time in which nothing happened.
type pause struct {
	X       float64
	Seconds float64
}

// Width returns the width of the drawing.
func (timeline) Width() float64 { return lineWidth }

// Height returns the height of the drawing.
func (t timeline) Height() float64 { return laneTop + laneHeight*float64(len(t.Lanes)) + 12 }

// Left returns where the lanes begin.
func (timeline) Left() float64 { return laneLeft }

// Right returns where the lanes end.
func (timeline) Right() float64 { return lineWidth - laneRight }

// laneOf returns the lane of a hop.
func laneOf(t *api.Trace, h *api.Hop) lane {
	switch h.Stage {
	case api.StageSource, api.StageAgent:
		return lane{Kind: "plant", Name: string(t.Plant)}
	case api.StageAsked, api.StageSettled, api.StageWaiting:
		return lane{Kind: "system", Name: h.Where}
	case api.StageKept:
		return lane{Kind: "kept"}
	}
	return lane{Kind: "cloud"}
}

// kinds orders lanes from the plant to the systems.
func kinds() []string { return []string{"plant", "cloud", "system", "kept"} }

// layOut places the hops of a trace. The same trace gives the same picture.
func layOut(t *api.Trace) (line timeline) {
	hops := t.Hops
	if len(hops) > maxMarks {
		line.Cut = len(hops) - maxMarks
		hops = hops[line.Cut:]
	}
	if len(hops) == 0 {
		return line
	}
	for i := range hops {
		if l := laneOf(t, &hops[i]); !slices.Contains(line.Lanes, l) {
			line.Lanes = append(line.Lanes, l)
		}
	}
	slices.SortStableFunc(line.Lanes, func(a, b lane) int {
		return slices.Index(kinds(), a.Kind) - slices.Index(kinds(), b.Kind)
	})
	y := map[lane]float64{}
	for i, l := range line.Lanes {
		line.Lanes[i].Y = laneTop + laneHeight*(float64(i)+0.5)
		y[l] = line.Lanes[i].Y
	}
	scale := newScale(hops)
	for i := range hops {
		h := &hops[i]
		m := mark{Hop: *h, X: scale.at(h.At), Y: y[laneOf(t, h)], Kind: "tick"}
		m.From = m.X
		if h.Wait > 0 {
			m.From = scale.at(h.At.Add(-time.Duration(h.Wait * float64(time.Second))))
		}
		switch h.Stage {
		case api.StageWaiting:
			m.Kind = "open"
		case api.StageKept:
			m.Kind = "bad"
		case api.StageSettled:
			m.Kind = "wait"
		}
		line.Marks = append(line.Marks, m)
	}
	line.Pauses = scale.pauses
	return line
}

// scale maps times to places: each step between two times takes room by the logarithm of its length.
type scale struct {
	times  []time.Time
	places []float64
	pauses []pause
}

// longPause is a step that is named in the picture.
const longPause = time.Minute

func newScale(hops []api.Hop) scale {
	var s scale
	for i := range hops {
		s.times = append(s.times, hops[i].At)
	}
	slices.SortFunc(s.times, time.Time.Compare)
	s.times = slices.CompactFunc(s.times, time.Time.Equal)
	sum := []float64{0}
	for i := 1; i < len(s.times); i++ {
		gap := s.times[i].Sub(s.times[i-1])
		sum = append(sum, sum[i-1]+0.6+math.Log10(1+float64(gap.Microseconds())/1000))
	}
	width, total := lineWidth-laneLeft-laneRight-16, sum[len(sum)-1]
	for i, x := range sum {
		if total > 0 {
			x /= total
		}
		s.places = append(s.places, round(laneLeft+8+width*x))
		if i == 0 {
			continue
		}
		if gap := s.times[i].Sub(s.times[i-1]); gap >= longPause && s.places[i]-s.places[i-1] > 40 {
			s.pauses = append(s.pauses, pause{round((s.places[i] + s.places[i-1]) / 2), gap.Seconds()})
		}
	}
	return s
}

// at returns the place of a time, between two known ones by its share.
func (s *scale) at(t time.Time) float64 {
	i, found := slices.BinarySearchFunc(s.times, t, time.Time.Compare)
	switch {
	case found:
		return s.places[i]
	case i == 0:
		return s.places[0]
	case i == len(s.times):
		return s.places[i-1]
	}
	share := float64(t.Sub(s.times[i-1])) / float64(s.times[i].Sub(s.times[i-1]))
	return round(s.places[i-1] + share*(s.places[i]-s.places[i-1]))
}

package console

import (
	"fmt"
	"math"
	"strconv"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Size of a chart's drawing, in its own units; it is scaled to the page.
const (
	chartWidth  = 480.0
	chartHeight = 190.0
	chartLeft   = 56.0
	chartRight  = 92.0
	chartTop    = 14.0
	chartBottom = 26.0
)

// chart shows the results of one characteristic against its limits, in the order in which they came.
type chart struct {
	Characteristic string
	Unit           string
	Lines          []chartLine
	Points         []chartPoint
	Ticks          []chartTick
	Bad            int // results outside of the limits, or not decided
}

// Width returns the width of the drawing.
func (chart) Width() float64 { return chartWidth }

// Height returns the height of the drawing.
func (chart) Height() float64 { return chartHeight }

// Left returns where the plot begins.
func (chart) Left() float64 { return chartLeft }

// Right returns where the plot ends.
func (chart) Right() float64 { return chartWidth - chartRight }

// chartLine is a limit or a target.
type chartLine struct {
	Kind string // lower, upper or target
	Text string
	Y    float64
}

// chartPoint is one result.
type chartPoint struct {
	api.Result
	X, Y float64
	Bad  bool
}

// chartTick is a line of the grid.
type chartTick struct {
	Y    float64
	Text string
}

// charts draws one chart for each characteristic with numbers, in the order in which they first came.
func charts(results []api.Result) []chart {
	type key struct{ name, unit string }
	var order []key
	groups := map[key][]api.Result{}
	for _, r := range results {
		if _, ok := number(r.Value); !ok || r.Defect {
			continue
		}
		k := key{r.Characteristic, string(r.Unit)}
		if len(groups[k]) == 0 {
			order = append(order, k)
		}
		groups[k] = append(groups[k], r)
	}
	var all []chart
	for _, k := range order {
		all = append(all, draw(k.name, k.unit, groups[k]))
	}
	return all
}

func draw(name, unit string, results []api.Result) chart {
	c := chart{Characteristic: name, Unit: unit}
	last := &results[len(results)-1] // whose limits are the ones that apply now
	low, high := math.Inf(1), math.Inf(-1)
	reach := func(text string) {
		if x, ok := number(text); ok {
			low, high = math.Min(low, x), math.Max(high, x)
		}
	}
	for i := range results {
		reach(results[i].Value)
	}
	limits := []struct{ kind, at string }{{"lower", string(last.Lower)}, {"target", string(last.Target)}, {"upper", string(last.Upper)}}
	for _, l := range limits {
		reach(l.at)
	}
	// A step that is lost in the size of the numbers would never come to an end.
	step := max(tickStep(high-low), 1e-6*tickStep(math.Max(math.Abs(low), math.Abs(high))))
	low, high = math.Floor(low/step-0.25)*step, math.Ceil(high/step+0.25)*step
	y := func(text string) float64 {
		x, _ := number(text)
		return round(chartTop + (chartHeight-chartTop-chartBottom)*(high-x)/(high-low))
	}
	for i := range int(math.Round((high-low)/step)) + 1 {
		x := low + float64(i)*step
		if math.Abs(x) < step/2 {
			x = 0 // not -0
		}
		text := strconv.FormatFloat(x, 'f', decimals(step), 64)
		if len(text) > 8 {
			text = strconv.FormatFloat(x, 'g', 3, 64)
		}
		c.Ticks = append(c.Ticks, chartTick{y(strconv.FormatFloat(x, 'g', -1, 64)), text})
	}
	for _, l := range limits {
		if _, ok := number(l.at); ok {
			c.Lines = append(c.Lines, chartLine{l.kind, l.at, y(l.at)})
		}
	}
	width := chartWidth - chartLeft - chartRight
	for i := range results {
		r := &results[i]
		p := chartPoint{Result: *r, X: round(chartLeft + width*(float64(i)+0.5)/float64(len(results))), Y: y(r.Value)}
		if p.Bad = r.Evaluation == event.Fail || r.Evaluation == event.Indeterminate; p.Bad {
			c.Bad++
		}
		c.Points = append(c.Points, p)
	}
	return c
}

// number reads a number for drawing only; ok is false for what is none, or larger than anything that is measured.
func number(text string) (x float64, ok bool) {
	x, err := strconv.ParseFloat(text, 64)
	return x, err == nil && math.Abs(x) < 1e30
}

// tickStep returns a step of 1, 2 or 5 times a power of ten that gives some four lines.
func tickStep(span float64) float64 {
	if !(span > 0) || math.IsInf(span, 0) {
		return 1
	}
	raw := span / 4
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if raw <= m*power {
			return m * power
		}
	}
	return 10 * power
}

func decimals(step float64) int { return max(0, int(-math.Floor(math.Log10(step)+1e-9))) }

// round keeps one decimal: a tenth of a unit of the drawing is seen by nobody.
func round(x float64) float64 { return math.Round(x*10) / 10 }

// Diamond returns the points of a mark that differs from a circle also without colour.
func (p chartPoint) Diamond() string {
	return fmt.Sprintf("%g,%g %g,%g %g,%g %g,%g", p.X, p.Y-6, p.X+6, p.Y, p.X, p.Y+6, p.X-6, p.Y)
}

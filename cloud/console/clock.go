package console

import (
	"fmt"
	"html/template"
	"sync"
	"time"
)

// zones are the time zones that were asked for; reading one takes a file.
type zones struct {
	mu     sync.Mutex // guards loaded
	loaded map[string]*time.Location
}

// maxZones bounds what is kept; there are some 600.
const maxZones = 1000

// in returns a zone, UTC for one that does not exist.
func (z *zones) in(name string) *time.Location {
	z.mu.Lock()
	defer z.mu.Unlock()
	if l := z.loaded[name]; l != nil {
		return l
	}
	l, err := time.LoadLocation(name)
	if err != nil || len(z.loaded) >= maxZones {
		return time.UTC
	}
	if z.loaded == nil {
		z.loaded = map[string]*time.Location{}
	}
	z.loaded[name] = l
	return l
}

// Time shows a time in a plant's zone, with UTC beside it on demand: when pointed at, and in its place where the user
// asked for it.
func (v *visit) Time(t time.Time, zone string) template.HTML {
	if t.IsZero() {
		return "–"
	}
	utc := t.UTC()
	local := t.In(v.c.zones.in(zone))
	if v.UTC {
		local = utc
	}
	layout := "2 Jan 15:04:05"
	if local.Year() != v.Now.In(local.Location()).Year() {
		layout = "2 Jan 2006 15:04"
	}
	name, _ := local.Zone()
	// Digits and zone names need no escaping.
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s <span class="zone">%s</span></time>`,
		utc.Format(time.RFC3339Nano), utc.Format("2006-01-02 15:04:05.000 UTC"), local.Format(layout), template.HTMLEscapeString(name)))
}

// Age tells how long ago a time was, in words.
func (v *visit) Age(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return span(v.Now.Sub(t))
}

// Span writes a number of seconds in words.
func (v *visit) Span(seconds float64) string {
	return span(time.Duration(seconds * float64(time.Second)))
}

// span writes a duration in its two largest units.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.2g s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	days := int(d.Hours()) / 24
	return fmt.Sprintf("%d d %d h", days, int(d.Hours())%24)
}

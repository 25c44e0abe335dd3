package localapi

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

//go:embed page
var pageFiles embed.FS

// Page adds the status page to a mux: what the command status shows, for a browser at the gateway. It only shows, needs no
// script, and asks no other host for anything. Whoever reaches the address sees it, so that it holds no payload: a record
// that was not understood is shown by its place and the meaning of its code.
func Page(mux *http.ServeMux, status func() Status, log zerolog.Logger) {
	t := template.Must(template.ParseFS(pageFiles, "page/*.html")) // part of the program, as what follows
	style, err := pageFiles.ReadFile("page/page.css")
	if err != nil {
		panic("localapi: " + err.Error())
	}
	mux.HandleFunc("GET /page.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(style) // the visitor may have gone
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, "page.html", page{status()}); err != nil {
			log.Error().Err(err).Msg("status page not shown")
			http.Error(w, "the page could not be made", http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write(b.Bytes()) // the visitor may have gone
	})
}

// page is a status as the template reads it.
type page struct{ Status }

// Promise is the state of what the agent promises, in one sentence.
func (p page) Promise() string {
	var depth uint64
	var oldest time.Time
	var full int64
	for _, l := range p.Lanes {
		depth += l.Depth
		if !l.Oldest.IsZero() && (oldest.IsZero() || l.Oldest.Before(oldest)) {
			oldest = l.Oldest
		}
		if l.FullIn > 0 && (full == 0 || l.FullIn < full) {
			full = l.FullIn
		}
	}
	if depth == 0 {
		return "All that was collected has been sent."
	}
	words := Things(depth, "event") + " on disk"
	if !oldest.IsZero() {
		words += ", oldest " + p.Ago(oldest)
	}
	if full > 0 {
		words += ", room for another " + p.Seconds(full)
	}
	return words + "."
}

// Urgent counts the urgent events that wait.
func (p page) Urgent() (n int) {
	for _, l := range p.Lanes {
		n += l.Urgent
	}
	return n
}

// AtMostOnce returns the sources that get topics without a promise.
func (p page) AtMostOnce() (all []Source) {
	for _, s := range p.Sources {
		if len(s.AtMostOnce) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// Ago tells how long before the status a time was.
func (p page) Ago(t time.Time) string { return Age(p.AsOf.Sub(t)) }

// In tells how long after the status a time is.
func (p page) In(t time.Time) string { return Age(t.Sub(p.AsOf)) }

// Seconds writes whole seconds.
func (page) Seconds(n int64) string { return Age(time.Duration(n) * time.Second) }

// Instant writes a time in UTC, as logs have it.
func (page) Instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Size writes a number of bytes.
func (page) Size(n int64) string { return Size(n) }

// Number writes a count.
func (page) Number(n any) string {
	switch n := n.(type) {
	case int:
		return Number(n)
	case int64:
		return Number(n)
	case uint64:
		return Number(n)
	}
	return fmt.Sprint(n)
}

// Asked tells whether the newest question of the cloud, for its releases, is answered; empty if it has asked nothing.
func (p page) Asked() string {
	switch {
	case p.Downlink.Barrier == 0 && p.Uplink.Answered == 0:
		return ""
	case p.Uplink.Answered < p.Downlink.Barrier:
		return "the cloud waits for the next one, to release lots"
	}
	return "all that the cloud asked is answered"
}

// FreeFor tells how long free lots may move on what the cloud said last.
func (p page) FreeFor() string {
	left := p.Downlink.MaxAge - p.Downlink.Age
	switch {
	case !p.Downlink.AgeKnown:
		return "no lot may move until the cloud is heard"
	case left <= 0:
		return "no lot may move any more: what the cloud said is " + p.Seconds(p.Downlink.Age) + " old"
	}
	return "free lots may move for another " + p.Seconds(left)
}

// Class is the colour of a source's state, which its word says, too.
func (page) Class(s source.State) string {
	switch s {
	case source.Live:
		return "calm"
	case source.Refused:
		return "bad"
	}
	return "alarm"
}

// Items says how many of a source's single items have a good value; empty for a source without.
func (page) Items(s Source) string {
	if s.Items == 0 {
		return ""
	}
	good := s.Items - len(s.Troubled)
	if s.Signals != nil {
		good = s.Signals[source.Good]
	}
	return fmt.Sprintf("%s of %s good", Number(max(good, 0)), Number(s.Items))
}

// Explain tells what a code means and what to do.
func (page) Explain(code string) problem.Page { return problem.Explain(problem.Code(code)) }

// Join writes a list.
func (page) Join(list []string) string { return strings.Join(list, ", ") }

// Days writes the days that a certificate has left.
func (page) Days(n int) string {
	switch {
	case n < 0:
		return "ended " + Things(-n-1, "day") + " ago"
	case n == 0:
		return "ends today"
	}
	return Things(n, "day") + " left"
}

package console

import (
	"encoding/csv"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// fleetData is what the page of the fleet shows.
type fleetData struct {
	api.Fleet
	Agents  int
	Unheard int // agents of which a head is missing
}

// liveFleet is the stream of a page about agents.
func (v *visit) liveFleet() string { return v.URL("/live", "of", "fleet") }

func (v *visit) fleetPage() error {
	var d fleetData
	if err := v.get("/fleet", &d.Fleet); err != nil {
		return err
	}
	v.Now = d.At
	for i := range d.Plants {
		for j := range d.Plants[i].Agents {
			d.Agents++
			if d.Plants[i].Agents[j].Hearing != api.HearingUp {
				d.Unheard++
			}
		}
	}
	title, err := v.T("fleet.title")
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "fleet", view{Title: title, Section: "fleet", Live: v.liveFleet(), Data: d})
}

// PlantURL returns the address of a plant's page.
func (v *visit) PlantURL(plant event.PlantID) string {
	return v.URL("/plants/" + url.PathEscape(string(plant)))
}

// Hearing shows how an agent is heard.
func (v *visit) Hearing(h api.Hearing) badge {
	word := v.Word("hearing", h)
	switch h {
	case api.HearingUp:
		return badge{v.Icon("done"), "calm", word}
	case api.HearingLate:
		return badge{v.Icon("wait"), "alarm", word}
	case api.HearingSilent:
		return badge{v.Icon("fail"), "bad", word}
	}
	return badge{v.Icon("wait"), "wait", word}
}

// A gateway's clock decides nothing, but times are read by it. What a head needs to come is part of what it seems to be
// behind.
const (
	mostAhead  = 2.0 // seconds
	mostBehind = 15.0
)

// HostClock shows how a gateway's clock goes; its word says by how much it is off.
func (v *visit) HostClock(a api.FleetAgent) badge {
	switch {
	case a.Skew != nil && *a.Skew > mostAhead:
		return badge{v.Icon("warn"), "alarm", v.Span(*a.Skew) + " " + v.Word("clock", "ahead")}
	case a.Skew != nil && *a.Skew < -mostBehind:
		return badge{v.Icon("warn"), "alarm", v.Span(-*a.Skew) + " " + v.Word("clock", "behind")}
	case a.Standing == nil:
		return badge{v.Icon("wait"), "wait", v.Word("clock", "unknown")}
	case !a.Standing.Clock.Synchronised:
		return badge{v.Icon("warn"), "alarm", v.Word("clock", "unsynchronised")}
	}
	return badge{v.Icon("done"), "calm", v.Word("clock", "synchronised")}
}

// certificateWarning is how many days before its end a certificate is shown as ending, as at the agent.
const certificateWarning = 30

// Certificates shows when the first of an agent's certificates ends.
func (v *visit) Certificates(end event.Time) badge {
	if end.IsZero() {
		return badge{v.Icon("done"), "calm", v.Word("certificates", "none")}
	}
	days := int64(math.Floor(end.Sub(v.Now).Hours() / 24))
	switch {
	case days < 0:
		return badge{v.Icon("fail"), "bad", v.Word("certificates", "ended")}
	case days < certificateWarning:
		return badge{v.Icon("warn"), "alarm", v.days(days)}
	}
	return badge{v.Icon("done"), "calm", v.days(days)}
}

func (v *visit) days(n int64) string {
	if n == 1 {
		return "1 " + v.Word("certificates", "day")
	}
	return digits(n) + " " + v.Word("certificates", "days")
}

// Standings counts the sources of an agent that read, and all.
func (v *visit) Standings(s *event.AgentStatus) badge {
	live, all := liveSources(s)
	b := badge{v.Icon("warn"), "alarm", fmt.Sprintf("%d / %d %s", live, all, v.Word("source", "live"))}
	switch live {
	case all:
		b.Icon, b.Class = v.Icon("done"), "calm"
	case 0:
		b.Icon, b.Class = v.Icon("fail"), "bad"
	}
	return b
}

// liveSources counts the sources that read, and all. Those that were left out are calmer than any that is named.
func liveSources(s *event.AgentStatus) (live, all int64) {
	for i := range s.Sources {
		if s.Sources[i].State == "live" {
			live++
		}
	}
	all = int64(len(s.Sources)) + s.Omitted
	if live > 0 || len(s.Sources) == 0 {
		live += s.Omitted
	}
	return live, all
}

// Size writes a number of bytes in words.
func (v *visit) Size(bytes int64) string {
	if bytes < 1<<10 {
		return digits(bytes) + " B"
	}
	n, units := float64(bytes)/(1<<10), []string{"KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && n >= 1<<10 {
		n, units = n/(1<<10), units[1:]
	}
	return strconv.FormatFloat(n, 'f', 1, 64) + " " + units[0]
}

// Secs writes whole seconds in words.
func (v *visit) Secs(n int64) string { return v.Span(float64(n)) }

// Instant shows a time that an event carries.
func (v *visit) Instant(t event.Time, zone string) template.HTML { return v.Time(t.Time, zone) }

// Since tells how long ago a time was that an event carries.
func (v *visit) Since(t event.Time) string { return v.Age(t.Time) }

// fleetCSV lists the agents of all plants.
func (v *visit) fleetCSV() error {
	var f api.Fleet
	if err := v.get("/fleet", &f); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	v.w.Header().Set("Content-Disposition", `attachment; filename="fleet.csv"`)
	out := csv.NewWriter(v.w)
	_ = out.Write([]string{
		"plant", "agent", "state", "hearing", "heard", "link_since", "version", "started", "urgent", "quality_events", "quality_oldest", "quality_drain_seconds",
		"telemetry_events", "telemetry_oldest", "telemetry_drain_seconds", "answered", "asked", "clock_synchronised", "clock_skew_seconds",
		"certificates_end", "sources", "sources_live", "gaps", "kept",
	}) // kept by the writer, and asked for below
	for i := range f.Plants {
		p := &f.Plants[i]
		for j := range p.Agents {
			_ = out.Write(fleetLine(p, &p.Agents[j]))
		}
	}
	out.Flush() // the visitor may have gone
	return nil
}

func fleetLine(p *api.FleetPlant, a *api.FleetAgent) []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	instant := func(t time.Time) string { return event.At(t).String() }
	s := a.Standing
	if s == nil {
		s = &event.AgentStatus{}
	}
	skew, synchronised := "", ""
	if a.Skew != nil {
		skew = strconv.FormatFloat(*a.Skew, 'f', 3, 64)
	}
	if a.Standing != nil {
		synchronised = strconv.FormatBool(s.Clock.Synchronised)
	}
	line := []string{
		string(p.Plant), a.Agent, string(a.State), string(a.Hearing), instant(a.HeardAt), s.LinkSince.String(), string(s.Version), s.Started.String(),
		number(s.Urgent),
	}
	for _, lane := range []event.Lane{event.LaneQuality, event.LaneTelemetry} {
		b := event.LaneBacklog{}
		for _, x := range s.Backlog {
			if x.Lane == lane {
				b = x
			}
		}
		line = append(line, number(b.Events), b.Oldest.String(), number(b.Drain))
	}
	live, all := liveSources(s)
	return append(line, strconv.FormatBool(a.Asked == 0), instant(a.AskedAt), synchronised, skew, s.CertificatesEnd.String(),
		number(all), number(live), number(int64(p.Gaps)), number(p.Kept))
}

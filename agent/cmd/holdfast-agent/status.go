package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mesh/holdfast/agent"
	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// client returns one for the socket named, else for that of the configuration. What else is wrong with the
// configuration does not matter: the running agent has read its own.
func (p *program) client() (*localapi.Client, error) {
	if p.global.socket != "" {
		return localapi.NewClient(p.global.socket), nil
	}
	cfg, _, err := agent.Load(p.global.config, p.lookupEnv)
	if err != nil && !isFile(p.global.config) {
		return nil, err
	}
	return localapi.NewClient(cfg.Socket()), nil
}

func (p *program) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "show uplink, queue, sources, and what was not understood", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := p.client()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), p.global.timeout)
			defer cancel()
			s, err := client.Status(ctx)
			if err != nil {
				return err
			}
			if p.global.output == formatJSON {
				return p.writeJSON(s)
			}
			return p.write(p.statusText(&s))
		},
	}
}

func (p *program) writeJSON(document any) error {
	e := json.NewEncoder(p.out)
	e.SetIndent("", "  ")
	return e.Encode(document)
}

// clock writes a time of day.
func (p *program) clock(t time.Time) string {
	if p.global.utc {
		return t.UTC().Format("15:04:05Z")
	}
	return t.Local().Format("15:04:05")
}

// write writes text to stdout.
func (p *program) write(text string) error {
	_, err := io.WriteString(p.out, text)
	return err
}

// statusText is a status for a person: first the link and the queue, then the sources, then what needs a thought.
func (p *program) statusText(s *localapi.Status) string {
	w := new(strings.Builder)
	fmt.Fprintf(w, "Plant %s   agent %s   %s   up %s   config %s%s   as of %s\n",
		s.Plant, s.Agent, s.Build, localapi.Age(s.AsOf.Sub(s.UpSince)), s.Config, reloadedSince(s), p.clock(s.AsOf))
	p.showRefused(w, s)
	p.showUplink(w, s)
	p.showDownlink(w, s)
	showQueue(w, s)
	p.showSources(w, s)
	p.showQuarantine(w, s)
	p.showEnding(w, s)
	showNotes(w, s)
	return w.String()
}

// reloadedSince says since when the configuration is in force, where that is not since the start.
func reloadedSince(s *localapi.Status) string {
	if !s.ConfigSince.After(s.UpSince) {
		return ""
	}
	return " for " + localapi.Age(s.AsOf.Sub(s.ConfigSince))
}

// showRefused says why the configuration as it is now is not the one in force.
func (p *program) showRefused(w *strings.Builder, s *localapi.Status) {
	if s.ConfigRefused == nil {
		return
	}
	fmt.Fprintf(w, "%s %s ago, and the one before goes on:\n", p.paint(red, "a newer configuration was refused"), localapi.Age(s.AsOf.Sub(s.ConfigRefused.At)))
	for line := range strings.Lines(s.ConfigRefused.Problem) {
		fmt.Fprintf(w, "  %s\n", clean(strings.TrimRight(line, "\n")))
	}
}

func (p *program) showUplink(w *strings.Builder, s *localapi.Status) {
	fmt.Fprintf(w, "UPLINK   kafka  %s", p.link(s.Uplink.Up, s.AsOf.Sub(s.Uplink.Since), s.Uplink.LastError))
	if !s.Uplink.NextTry.IsZero() {
		fmt.Fprintf(w, "   next try in %s", localapi.Age(s.Uplink.NextTry.Sub(s.AsOf)))
	}
	if s.Uplink.Answered > 0 {
		fmt.Fprintf(w, "   last barrier answered %s", localapi.Number(s.Uplink.Answered))
	}
	if !s.Uplink.Head.IsZero() {
		fmt.Fprintf(w, "   last head %s ago", localapi.Age(s.AsOf.Sub(s.Uplink.Head)))
	}
	fmt.Fprintln(w)
	if s.Downlink.Superseded != "" {
		fmt.Fprintf(w, "         %s: %s. What it reads is kept and set aside until a person decides.\n",
			p.paint(red, "superseded by another gateway"), clean(s.Downlink.Superseded))
	}
}

// link says whether a link is up, for how long, and if not, why.
func (p *program) link(up bool, since time.Duration, lastError string) string {
	if up {
		return p.paint(green, "up") + " " + localapi.Age(since)
	}
	text := p.paint(red, "DOWN") + " " + localapi.Age(since)
	if lastError != "" {
		text += "   last error: " + clean(lastError)
	}
	return text
}

func (p *program) showDownlink(w *strings.Builder, s *localapi.Status) {
	d := &s.Downlink
	fmt.Fprintf(w, "DOWNLINK kafka  %s   %s   ", p.link(d.Up, s.AsOf.Sub(d.Since), d.LastError), localapi.Things(d.Lots, "lot"))
	left := d.MaxAge - d.Age
	switch {
	case !d.AgeKnown:
		fmt.Fprintln(w, "age not known: no lot may move until the cloud is heard")
	case left <= 0:
		fmt.Fprintf(w, "%s old: no lot may move any more\n", localapi.Age(time.Duration(d.Age)*time.Second))
	default:
		fmt.Fprintf(w, "%s old   free lots may move for another %s\n", localapi.Age(time.Duration(d.Age)*time.Second), seconds(left))
	}
}

func showQueue(w *strings.Builder, s *localapi.Status) {
	var depth uint64
	var used, quota int64
	var oldest time.Time
	for _, l := range s.Lanes {
		depth, used, quota = depth+l.Depth, used+l.Bytes, quota+l.Quota+l.Reserve
		if oldest.IsZero() || !l.Oldest.IsZero() && l.Oldest.Before(oldest) {
			oldest = l.Oldest
		}
	}
	fmt.Fprintf(w, "QUEUE    %s   %s of %s", localapi.Things(depth, "event"), localapi.Size(used), localapi.Size(quota))
	if !oldest.IsZero() {
		fmt.Fprintf(w, "   oldest %s", localapi.Age(s.AsOf.Sub(oldest)))
	}
	fmt.Fprintln(w)
	for _, l := range s.Lanes {
		fmt.Fprintf(w, "         %s\n", strings.Join(laneWords(&l, s.AsOf), "   "))
	}
}

// laneWords says of a lane what applies to it.
func laneWords(l *localapi.Lane, asOf time.Time) []string {
	head := fmt.Sprintf("%s %s", l.Name, localapi.Number(l.Depth))
	if l.Depth > 0 && !l.Oldest.IsZero() {
		head += fmt.Sprintf(" (%s urgent, oldest %s)", localapi.Number(l.Urgent), localapi.Age(asOf.Sub(l.Oldest)))
	}
	words := []string{head, fmt.Sprintf("%s of %s", localapi.Size(l.Bytes), localapi.Size(l.Quota))}
	if l.ReserveUsed > 0 {
		words = append(words, fmt.Sprintf("reserve %s of %s", localapi.Size(l.ReserveUsed), localapi.Size(l.Reserve)))
	}
	if l.FullIn > 0 && l.Depth > 0 {
		words = append(words, "full in "+seconds(l.FullIn))
	}
	if l.DrainIn > 0 {
		words = append(words, fmt.Sprintf("drains in ~%s at %.0f/s", seconds(l.DrainIn), l.Outflow))
	}
	return append(words, "shed "+localapi.Number(l.Shed))
}

func (p *program) showSources(w *strings.Builder, s *localapi.Status) {
	rows := [][]cell{cells("SOURCE", "STATE", "SINCE", "SIGNALS", "LAST SIGNAL", "RECEIVED", "DISCARDED", "DUPLICATES", "OPEN GAPS")}
	for _, src := range s.Sources {
		last := "never"
		if !src.LastSignal.IsZero() {
			last = localapi.Age(s.AsOf.Sub(src.LastSignal)) + " ago"
		}
		row := cells(src.Transport+" "+src.ID, string(src.State), localapi.Age(s.AsOf.Sub(src.Since)), goodItems(&src), last, localapi.Number(src.Received),
			localapi.Number(src.Discarded), localapi.Number(src.Duplicates), localapi.Number(src.OpenGaps))
		row[1].colour = stateColour(src.State)
		rows = append(rows, row)
	}
	p.table(w, rows)
	for _, src := range s.Sources {
		if src.Problem != "" {
			fmt.Fprintf(w, "%s: %s", src.ID, clean(src.Problem))
			if src.Next != "" {
				fmt.Fprintf(w, " -> %s", clean(src.Next))
			}
			fmt.Fprintln(w)
		}
		for _, item := range src.Troubled {
			fmt.Fprintf(w, "%s: %s\n", src.ID, clean(item))
		}
	}
}

// goodItems says how many of a source's single items have a good value; "-" for a source without.
func goodItems(src *localapi.Source) string {
	if src.Items == 0 {
		return "-"
	}
	good := src.Items - len(src.Troubled)
	if src.Signals != nil {
		good = src.Signals[source.Good]
	}
	return fmt.Sprintf("%s/%s", localapi.Number(max(good, 0)), localapi.Number(src.Items))
}

func stateColour(s source.State) string {
	switch s {
	case source.Live:
		return green
	case source.Refused:
		return red
	}
	return yellow
}

func (p *program) showQuarantine(w *strings.Builder, s *localapi.Status) {
	if s.Quarantine.Count == 0 {
		return
	}
	fmt.Fprintf(w, "QUARANTINE   %s since the start", localapi.Things(s.Quarantine.Count, "record"))
	if n := len(s.Quarantine.Newest); uint64(n) < s.Quarantine.Count {
		fmt.Fprintf(w, ", the last %d:", n)
	}
	fmt.Fprintln(w)
	var rows [][]cell
	for _, q := range s.Quarantine.Newest {
		rows = append(rows, cells(p.clock(q.At), clean(q.Source), clean(q.Item), fmt.Sprintf("%s (%s)", clean(q.Reason), q.Code)))
	}
	p.table(w, rows)
}

// showEnding names the certificates that end soon, with what a person does about each.
func (p *program) showEnding(w *strings.Builder, s *localapi.Status) {
	for i := range s.Ending {
		c := &s.Ending[i]
		next := "replace " + clean(c.File)
		switch {
		case c.Use == string(opcua.UseTrusted):
			next = "have its server show a new one; that will wait in holdfast-agent cert pending"
		case c.Renewable:
			next = "holdfast-agent cert renew"
		}
		fmt.Fprintf(w, "%s certificate of %s (%s): %s, %s (%s) -> %s\n", c.Use, strings.Join(c.For, ", "), certificateName(c),
			p.paint(daysColour(c.Days), daysLeft(c.Days)), c.NotAfter.Format(time.DateOnly), problem.CertificateEnds, next)
	}
}

// showNotes says what a person has chosen and should know, and last what waits for the link.
func showNotes(w *strings.Builder, s *localapi.Status) {
	for _, name := range s.Arrival {
		fmt.Fprintf(w, "note: mapping %s has key: arrival: a redelivered message may count twice\n", name)
	}
	for _, m := range s.Mixed {
		fmt.Fprintf(w, "note: source %s mixes urgent types (%s) with others (%s): an urgent event can wait behind them; make it a source of its own\n",
			m.Source, strings.Join(m.Urgent, ", "), strings.Join(m.Others, ", "))
	}
	for _, src := range s.Sources {
		if len(src.AtMostOnce) > 0 {
			fmt.Fprintf(w, "note: source %s gets QoS 0, which no broker keeps for us: %s\n", src.ID, clean(strings.Join(src.AtMostOnce, ", ")))
		}
	}
	urgent := 0
	for _, l := range s.Lanes {
		urgent += l.Urgent
	}
	switch {
	case s.Uplink.Up || urgent == 0:
	case urgent == 1:
		fmt.Fprintln(w, "1 urgent event (hold, nonconformance or safety failure) is waiting for the link. It goes first when it is back.")
	default:
		fmt.Fprintf(w, "%s urgent events (holds, nonconformances, safety failures) are waiting for the link. They go first when it is back.\n", localapi.Number(urgent))
	}
}

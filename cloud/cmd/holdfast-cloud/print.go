package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/pkg/cli"
)

// printJSON writes v for programs: indented as json, on one line as jsonl.
func (p *program) printJSON(v any) error {
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	if p.global.output == formatJSON {
		e.SetIndent("", "  ")
	}
	return e.Encode(v)
}

// printLines writes one JSON object a line.
func printLines[T any](w io.Writer, list []T) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for i := range list {
		if err := e.Encode(list[i]); err != nil {
			return err
		}
	}
	return nil
}

// table is rows of aligned columns. The last column is never padded, and nothing is ever cut.
type table struct {
	rows [][]string
}

func newTable(head ...string) *table { return &table{rows: [][]string{head}} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer) error {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// plain writes text from outside on one line: a terminal must not be steered by what a plant or a system sends.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\r':
			return ' '
		case r < 0x20, r == 0x7f, r >= 0x80 && r < 0xa0:
			return utf8.RuneError
		}
		return r
	}, s)
}

// at returns how times are written: in the plant's zone, or in UTC where the caller wants that or the zone is not known.
func (p *program) at(zone string) func(time.Time) string {
	place := time.UTC
	if !p.global.utc {
		if z, err := time.LoadLocation(zone); err == nil {
			place = z
		}
	}
	return func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.In(place).Format("2006-01-02 15:04:05 MST")
	}
}

// span writes a duration in words of two units at the most.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd %dh", int(d.Hours())/24, int(d.Hours())%24)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return plain(s)
}

// red writes text in red where stdout is a terminal that shows colour.
func (p *program) red(s string) string {
	if p.global.noColor || !cli.IsTerminal(p.out) {
		return s
	}
	if v, ok := p.lookupEnv("NO_COLOR"); ok && v != "" {
		return s
	}
	return "\x1b[31m" + s + "\x1b[0m"
}

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/pkg/cli"
)

// number writes a count with a comma at the thousands.
func number[N int | int64 | uint64](n N) string {
	digits := strconv.FormatUint(uint64(n), 10) // no count is negative
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// count writes a number of things.
func count[N int | int64 | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return number(n) + " " + thing + "s"
}

// size writes a size with two digits at least.
func size(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	amount, unit := float64(n)/1024, 0
	for amount >= 1023.5 && unit < len(units)-1 {
		amount, unit = amount/1024, unit+1
	}
	if amount < 9.95 {
		return fmt.Sprintf("%.1f %ciB", amount, units[unit])
	}
	return fmt.Sprintf("%.0f %ciB", amount, units[unit])
}

// age writes a duration in the two units that matter.
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd %dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// seconds writes a time to come, "-" for none.
func seconds(n int64) string {
	if n <= 0 {
		return "-"
	}
	return age(time.Duration(n) * time.Second)
}

// clean replaces what a terminal would obey: topics and reasons hold what a plant sent.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\ufffd'
	}, s)
}

// Colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint colours a text, where the output is a terminal that wants it.
func (p *program) paint(colour, text string) string {
	if !p.colour() || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (p *program) colour() bool {
	_, refused := p.lookupEnv("NO_COLOR")
	return !refused && !p.global.noColor && cli.IsTerminal(p.out)
}

// cell is one field of a table; colour "" is the terminal's own.
type cell struct{ text, colour string }

// table writes rows with their columns aligned.
func (p *program) table(w *strings.Builder, rows [][]cell) {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, c := range row {
			b.WriteString(p.paint(c.colour, c.text))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+3))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// cells makes a row without colour.
func cells(texts ...string) []cell {
	row := make([]cell, len(texts))
	for i, t := range texts {
		row[i] = cell{text: t}
	}
	return row
}

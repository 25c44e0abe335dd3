package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
)

// seconds writes a time to come, "-" for none.
func seconds(n int64) string {
	if n <= 0 {
		return "-"
	}
	return localapi.Age(time.Duration(n) * time.Second)
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

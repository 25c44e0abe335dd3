package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// style is what a terminal is told about a text.
type style string

const (
	normal style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

type span struct {
	text string
	style
}

// line is one line of the screen.
type line []span

// add appends a text, filled up with blanks to a width.
func (l line) add(width int, s style, format string, args ...any) line {
	text := clean(fmt.Sprintf(format, args...))
	if missing := width - utf8.RuneCountInString(text); missing > 0 {
		text += strings.Repeat(" ", missing)
	}
	return append(l, span{text, s})
}

// cut adds a text that is shortened to a width, with two blanks behind it.
func (l line) cut(width int, s style, text string) line {
	if r := []rune(text); len(r) > width {
		text = string(r[:width-1]) + "…"
	}
	return l.add(width+2, s, "%s", text)
}

// render writes the line within a width.
func (l line) render(width int, colour bool) string {
	var b strings.Builder
	for _, s := range l {
		if r := []rune(s.text); len(r) > width {
			s.text = string(r[:width])
		}
		width -= utf8.RuneCountInString(s.text)
		if colour && s.style != normal && s.text != "" {
			b.WriteString("\x1b[" + string(s.style) + "m" + s.text + "\x1b[0m")
		} else {
			b.WriteString(s.text)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// clean replaces what a terminal would obey: reasons hold what a plant sent.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\ufffd'
	}, s)
}

// short writes a duration in its two largest units at most.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// exact writes a latency.
func exact(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }

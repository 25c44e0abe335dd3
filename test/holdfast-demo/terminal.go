package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// screen is where the view goes: a table on a terminal, else lines.
type screen struct {
	out     *os.File
	restore func() // nil: lines
	colour  bool
	first   bool      // the first event was told
	console string    // what was told of the console
	next    time.Time // when the next status line is due
	err     error     // of the first text that could not be written: nobody is there any more to see it
}

// openScreen takes the terminal, if there is one, and begins to read keys: single ones there, else one a line. The
// channel is closed with the input.
func openScreen(out *os.File) (*screen, <-chan byte) {
	s := &screen{out: out}
	if isTerminal(out) && os.Getenv("TERM") != "dumb" {
		if restore, ok := rawKeys(os.Stdin); ok {
			s.restore, s.colour = restore, os.Getenv("NO_COLOR") == ""
			s.write("\x1b[?1049h\x1b[?25l\x1b[2J") // a page of its own, without a cursor
		}
	}
	keys := make(chan byte)
	go func() { // ends with the input, or with the process: nothing can call a read back
		defer close(keys)
		readKeys(os.Stdin, s.isTerminal(), keys)
	}()
	return s, keys
}

// readKeys ends with the input.
func readKeys(in io.Reader, single bool, keys chan<- byte) {
	if !single {
		for lines := bufio.NewScanner(in); lines.Scan(); {
			if text := bytes.TrimSpace(lines.Bytes()); len(text) > 0 {
				keys <- text[0]
			}
		}
		return
	}
	for b := make([]byte, 1); ; {
		if _, err := in.Read(b); err != nil {
			return
		}
		keys <- b[0]
	}
}

func (s *screen) isTerminal() bool { return s.restore != nil }

// draw shows new facts.
func (s *screen) draw(v *view) {
	if s.isTerminal() {
		s.table(v)
		return
	}
	if s.next.IsZero() {
		s.write(fmt.Sprintf("API %s (token: alice.token), metrics %s\n", v.API, v.Metrics))
	}
	if v.Console != s.console {
		s.console = v.Console
		s.write("console " + v.Console + "\n")
	}
	if !s.first && v.FirstEvent > 0 {
		s.first = true
		s.write(v.firstEvent() + "\n")
	}
	if !v.At.Before(s.next) {
		s.next = v.At.Add(statusPace)
		s.write(v.status() + "\n")
	}
}

// say shows what a key did.
func (s *screen) say(v *view) {
	if s.isTerminal() {
		s.table(v)
		return
	}
	s.write(v.Said + "\n")
}

// table draws over what is there, so that nothing flickers.
func (s *screen) table(v *view) {
	columns, rows := size(s.out)
	var b strings.Builder
	b.WriteString("\x1b[H")
	lines := v.table(columns, rows)
	for i, l := range lines[:min(len(lines), rows)] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l.render(columns, s.colour) + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	s.write(b.String())
}

// write shows a text.
func (s *screen) write(text string) {
	if _, err := s.out.WriteString(text); err != nil && s.err == nil {
		s.err = err
	}
}

// close gives the terminal back, and leaves the last state on it.
func (s *screen) close(v *view) {
	if s.isTerminal() {
		s.write("\x1b[?25h\x1b[?1049l")
		s.restore()
		s.write(v.firstEvent() + "\n")
	}
	s.write(v.status() + "\n")
}

package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// shown returns the text that stands on the terminal now: the last whole picture.
func (r *running) shown() string {
	all := r.text()
	end := strings.LastIndex(all, "\x1b[J")
	if end < 0 {
		return ""
	}
	start := strings.LastIndex(all[:end], "\x1b[H")
	return regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`).ReplaceAllString(all[start+3:end], "")
}

// TestDemo_Terminal presses the keys on a terminal and reads its screen.
func TestDemo_Terminal(t *testing.T) {
	keyboard, screen := openTerminal(t, 80, 24)
	r := prepare(t)
	r.Env = append(os.Environ(), "TERM=xterm")
	r.Stdin, r.Stdout, r.Stderr = screen, screen, screen
	r.SysProcAttr = ownTerminal()
	reading := make(chan struct{})
	go func() { // ends when the last program has closed the terminal
		defer close(reading)
		for b := make([]byte, 1<<16); ; {
			n, err := keyboard.Read(b)
			_, _ = r.Write(b[:n])
			if err != nil {
				return
			}
		}
	}()
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	_ = screen.Close()
	sees := func(what string) {
		t.Helper()
		eventually(t, 30*time.Second, "the screen shows "+what, func() bool { return regexp.MustCompile(what).MatchString(r.shown()) })
	}
	press := func(key string) {
		t.Helper()
		if _, err := keyboard.WriteString(key); err != nil {
			t.Fatal(err)
		}
	}
	sees(`first event after \d+\.\d s`)
	press("f")
	sees(`(?m)^L-90001 .* torque 61\.20 N\.m outside 40\.00 to 50\.00.*blocked`)
	sees(`(?m)^LAST HOLD +L-90001 .* after \d+ ms`)
	sees(`record the nonconformance +1 +0 +0`)
	picture := r.shown()
	press("w")
	sees(`link DOWN .* backlog [1-9]`)
	sees(`w mend the WAN`)
	press("w")
	sees(`link up .* backlog 0`)
	press("e")
	sees(`ERP s4 +STOPPED`)
	press("f")
	sees(`(?m)^L-90002 .*not read yet`)
	sees(`set the lot's usage +\d+ +[1-9]\d* +0`)
	press("e")
	sees(`(?m)^L-90002 .*blocked`)
	press("k")
	sees(`agent +KILLED`)
	press("f")
	press("k")
	sees(`agent +pid \d+, 3 of 3 sources live`)
	sees(`(?m)^L-90003 .*blocked`)
	press("q")
	if err := r.Wait(); err != nil {
		t.Error(err)
	}
	r.awaitNone(t)
	if !strings.Contains(r.text(), "\x1b[?1049l") {
		t.Error("the terminal was not given back")
	}
	_ = keyboard.Close()
	<-reading
	for _, l := range strings.Split(picture, "\r\n") {
		if l = strings.TrimRight(l, "\r"); utf8.RuneCountInString(l) > 80 {
			t.Errorf("a line of %d columns: %q", utf8.RuneCountInString(l), l)
		}
	}
	t.Logf("after the first failed part:\n%s", strings.ReplaceAll(picture, "\r", ""))
}

// TestDemo_TerminalCloses ends the demo by closing its terminal.
func TestDemo_TerminalCloses(t *testing.T) {
	keyboard, screen := openTerminal(t, 80, 24)
	r := prepare(t)
	r.Stdin, r.Stdout, r.Stderr = screen, screen, screen
	r.SysProcAttr = ownTerminal()
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	_ = screen.Close()
	for b := make([]byte, 1<<16); !strings.Contains(r.text(), "first event after"); {
		n, err := keyboard.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = r.Write(b[:n])
	}
	if n := len(r.children(t)); n < programs {
		t.Errorf("%d processes, want %d", n, programs)
	}
	_ = keyboard.Close()
	_ = r.Wait() // nobody reads what it says
	r.awaitNone(t)
}

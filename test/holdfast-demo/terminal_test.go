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
	sees(`(?m)^F1-0001 .* torque 61\.20 N\.m outside 40\.00 to 50\.00.*blocked`)
	sees(`(?m)^LAST HOLD +\S+ .* after \d+ ms`)
	sees(`(?m)^qms1 +running +[1-9]\d* +0 +0`)
	picture := r.shown()
	press("3")
	sees(`(?m)^> p3 Chicago +up `)
	press("w")
	sees(`(?m)^> p3 Chicago +DOWN [0-9.]+s +[1-9]`)
	sees(`w mend WAN`)
	press("w")
	sees(`(?m)^> p3 Chicago +up [0-9.]+s +0 `)
	press("e")
	sees(`(?m)^s4 +STOPPED`)
	press("f")
	sees(`(?m)^F3-0001 .*not read yet`)
	sees(`(?m)^s4 +STOPPED [0-9.]+s +\d+ +[1-9]`)
	press("e")
	sees(`(?m)^F3-0001 .*blocked`)
	press("m")
	sees(`(?m)^qms1 +STOPPED`)
	press("m")
	sees(`(?m)^qms1 +running`)
	press("k")
	sees(`(?m)^> p3 Chicago +KILLED`)
	press("f")
	press("k")
	sees(`(?m)^> p3 Chicago +up .* 8/8 `)
	sees(`(?m)^F3-0002 .*blocked`)
	press("2")
	press("z")
	sees(`(?m)^> p2 Berlin +up .* 8/9 `)
	sees(`z thaw line`)
	press("z")
	sees(`(?m)^> p2 Berlin +up .* 9/9 `)
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

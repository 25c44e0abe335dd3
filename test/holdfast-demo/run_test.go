package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// bin is the directory of the three programs, built once.
var bin string

func TestMain(m *testing.M) {
	os.Exit(stack.WithPrograms(func(dir string) int {
		bin = dir
		return m.Run()
	}, "github.com/holdfast-mesh/holdfast/test/holdfast-demo"))
}

func program() string {
	if runtime.GOOS == "windows" {
		return "holdfast-demo.exe"
	}
	return "holdfast-demo"
}

// running is a demo that was started.
type running struct {
	*exec.Cmd
	dir string // its data

	mu  sync.Mutex // guards out
	out bytes.Buffer
}

// Write takes the demo's output.
func (r *running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(b)
}

func (r *running) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

// prepare returns a demo with data in a directory of its own, ready to be started. At the end of the test none of its
// processes may be left.
func prepare(t *testing.T, args ...string) *running {
	t.Helper()
	parent, err := os.MkdirTemp("", "hf") //nolint:usetesting // a socket's path is short, the test's own directory is too deep for it
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, "demo")
	r := &running{Cmd: exec.Command(filepath.Join(bin, program()), append([]string{"run", "--data", dir}, args...)...), dir: dir}
	r.Stdout, r.Stderr = r, r
	t.Cleanup(func() {
		if r.Process != nil {
			_ = r.Process.Kill() // it has ended, unless the test failed
		}
		if t.Failed() {
			t.Logf("output:\n%s", r.text())
		}
		_ = os.RemoveAll(parent)
	})
	return r
}

// eventually polls until ok, and fails the test after limit.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}

// children returns the processes that work in the demo's directory: pid and command line.
func (r *running) children(t *testing.T) map[int]string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil || len(links) == 0 {
		t.Skip("this system has no /proc to look for processes in")
	}
	all := map[int]string{}
	for _, link := range links {
		pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
		if at, err := os.Readlink(link); err == nil && strings.HasPrefix(at+"/", r.dir+"/") {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
			all[pid] = strings.ReplaceAll(string(command), "\x00", " ")
		}
	}
	return all
}

// programs is how many processes a demo starts: five plants with an agent each, cloud, Kafka, business systems.
const programs = 13

func (r *running) awaitAll(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, "the first event", func() bool { return strings.Contains(r.text(), "first event after") })
	// The agent has its files checked by children of its own, for a moment.
	eventually(t, 5*time.Second, "all programs run", func() bool { return len(r.children(t)) == programs })
}

func (r *running) awaitNone(t *testing.T) {
	t.Helper()
	eventually(t, 5*time.Second, "no process is left", func() bool { return len(r.children(t)) == 0 })
}

// TestDemo_FirstEvent runs without a terminal, and ends by itself.
func TestDemo_FirstEvent(t *testing.T) {
	r := prepare(t, "--for", "6s")
	r.Stdin = strings.NewReader("f\n")
	if err := r.Run(); err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`first event after ([0-9.]+) s`).FindStringSubmatch(r.text())
	if found == nil {
		t.Fatal("no first event")
	}
	if s, err := strconv.ParseFloat(found[1], 64); err != nil || s >= 15 {
		t.Errorf("the first event came after %s s, want less than 15", found[1])
	}
	t.Log(found[0])
	for _, want := range []string{
		`plant p1: a part of a lot`, ` [1-9]\d* held`, `last hold: \S+ blocked in the ERP \d+ ms`, `p5 up`, `metrics 127\.0\.0\.1:`,
	} {
		if !regexp.MustCompile(want).MatchString(r.text()) {
			t.Errorf("output lacks %q", want)
		}
	}
	if strings.Contains(r.text(), "\x1b") {
		t.Error("a file gets what only a terminal understands")
	}
	r.awaitNone(t)
}

// TestDemo_LeavesNothing ends the demo in every way that does not come from a terminal.
func TestDemo_LeavesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end   func(*running) error
		clean bool // ends with exit code 0
	}{
		"q":         {nil, true},
		"interrupt": {func(r *running) error { return r.Process.Signal(os.Interrupt) }, true},
		"terminate": {func(r *running) error { return r.Process.Signal(syscall.SIGTERM) }, true},
		"hang up":   {func(r *running) error { return r.Process.Signal(syscall.SIGHUP) }, true},
		"two signals": {func(r *running) error {
			if err := r.Process.Signal(syscall.SIGTERM); err != nil {
				return err
			}
			return r.Process.Signal(syscall.SIGINT)
		}, true},
		"kill -9": {func(r *running) error { return r.Process.Kill() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS != "linux" {
				t.Skip("looks for processes in /proc")
			}
			r := prepare(t)
			in, err := r.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Start(); err != nil {
				t.Fatal(err)
			}
			r.awaitAll(t)
			if c.end == nil {
				c.end = func(*running) error { _, err := in.Write([]byte("q\n")); return err }
			}
			if err := c.end(r); err != nil {
				t.Fatal(err)
			}
			if err := r.Wait(); c.clean && err != nil {
				t.Error(err)
			}
			r.awaitNone(t)
		})
	}
}

// TestDemo_ErrProgramEnds kills one program behind the demo's back.
func TestDemo_ErrProgramEnds(t *testing.T) {
	r := prepare(t)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	r.awaitAll(t)
	for pid, command := range r.children(t) {
		if strings.Contains(command, " systems ") {
			if p, err := os.FindProcess(pid); err != nil || p.Kill() != nil {
				t.Fatalf("kill %d: %v", pid, err)
			}
		}
	}
	if err := r.Wait(); err == nil || !strings.Contains(r.text(), "systems ended by itself: signal: killed") {
		t.Errorf("the demo ended with %v", err)
	}
	r.awaitNone(t)
}

func TestDemo_ErrDirectoryInUse(t *testing.T) {
	r := prepare(t)
	if err := os.MkdirAll(filepath.Join(r.dir, "old"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.Run(); err == nil || r.ProcessState.ExitCode() != 2 || !strings.Contains(r.text(), "is not empty") {
		t.Errorf("%v\n%s", err, r.text())
	}
}

// TestDemo_Enter visits as a person does: the printed link logs in once, the console's foot leads to the control page, and
// what is broken there shows in the console.
func TestDemo_Enter(t *testing.T) {
	r := prepare(t)
	in, err := r.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`console (http://\S+/enter\?link=\S+) `)
	eventually(t, 60*time.Second, "the link is printed", func() bool { return link.MatchString(r.text()) })
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	visitor := &http.Client{Jar: jar, Timeout: 30 * time.Second}
	page := func(res *http.Response, err error) (text, at string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v\n%s", res.Request.URL, res.StatusCode, err, body)
		}
		return string(body), res.Request.URL.String()
	}
	text, at := page(visitor.Get(link.FindStringSubmatch(r.text())[1]))
	if !strings.HasSuffix(at, "/lots") || !strings.Contains(text, users()[0].Printed) {
		t.Fatalf("the link leads to %s:\n%s", at, text)
	}
	foot := regexp.MustCompile(`href="([^"]+)" rel="noreferrer">Break something`).FindStringSubmatch(text)
	if foot == nil {
		t.Fatalf("no link to the control page:\n%s", text)
	}
	if text, _ := page(visitor.PostForm(foot[1], url.Values{"key": {"w"}, "plant": {"1"}, "seconds": {"300"}})); !strings.Contains(text, "plant p2: the WAN is cut") {
		t.Errorf("the control page says\n%s", text)
	}
	if _, err := in.Write([]byte("q\n")); err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(); err != nil {
		t.Error(err)
	}
}

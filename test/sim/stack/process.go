package stack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command says what to start. Its zero fields mean what they mean for [exec.Cmd].
type Command struct {
	Name    string // of the log file, without its ending
	Dir     string // where it runs and its log stands
	Program string
	Args    []string
	Env     []string // added to our own
	Stdin   io.Reader
	Attr    *syscall.SysProcAttr
}

// Process is a program of ours that was started, with its log.
type Process struct {
	Name    string
	Address string // that its line "ready" named; valid once Ready is closed
	Line    []byte // that line, for what else it names; valid as Address is

	cmd   *exec.Cmd
	log   *os.File
	ready chan struct{}
	done  chan struct{}
	err   error // of Wait; valid once done is closed

	mu   sync.Mutex // guards last
	last []string   // newest lines, for error messages
}

// lastLines is how much of the log an error message quotes.
const lastLines = 60

// Start starts a program and returns when its log says "ready", or with an error that quotes its last lines.
func Start(ctx context.Context, name, dir, program string, env []string, args ...string) (*Process, error) {
	p, err := Command{Name: name, Dir: dir, Program: program, Env: env, Args: args}.Launch()
	if err != nil {
		return nil, err
	}
	if err := p.Await(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Launch starts the program and does not wait for it to be ready. Its log is the file Name.log in Dir.
func (c Command) Launch() (*Process, error) {
	log, err := os.OpenFile(filepath.Join(c.Dir, c.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	p := &Process{Name: c.Name, log: log, ready: make(chan struct{}), done: make(chan struct{})}
	p.cmd = exec.Command(c.Program, c.Args...)
	p.cmd.Dir, p.cmd.Stdin, p.cmd.SysProcAttr = c.Dir, c.Stdin, c.Attr
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.Stdout = log
	stderr, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.Name, err), log.Close())
	}
	go p.follow(stderr) // ends with the process
	return p, nil
}

// Await waits until the program is ready. If it ends instead, or ctx does, the error quotes its last lines and the
// program has ended.
func (p *Process) Await(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-p.done:
		return fmt.Errorf("%s ended before it was ready: %w\n%s", p.Name, p.err, p.Tail())
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("%s was not ready in time\n%s", p.Name, p.Tail())
	}
}

// Ready is closed when the program has said that it is ready.
func (p *Process) Ready() <-chan struct{} { return p.ready }

func (p *Process) follow(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	seen := false
	for lines.Scan() {
		_, _ = fmt.Fprintln(p.log, lines.Text())
		p.mu.Lock()
		p.last = append(p.last, lines.Text())
		if len(p.last) > lastLines {
			p.last = p.last[1:]
		}
		p.mu.Unlock()
		var l struct{ Message, Address string }
		if !seen && json.Unmarshal(lines.Bytes(), &l) == nil && l.Message == "ready" {
			seen, p.Address, p.Line = true, l.Address, bytes.Clone(lines.Bytes())
			close(p.ready)
		}
	}
	_, _ = io.Copy(io.Discard, stderr) // a line beyond the buffer must not block the program
	p.err = p.cmd.Wait()
	_ = p.log.Close()
	close(p.done)
}

// Tail returns the newest lines of the log.
func (p *Process) Tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.last, "\n")
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the process ended; nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill ends the process by SIGKILL and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// ErrSlowStop is returned by Stop for a program that did not end in time; it was killed.
var ErrSlowStop = errors.New("did not stop in time")

// Stop asks the process to end by SIGTERM, waits up to limit, and returns how long it took.
func (p *Process) Stop(limit time.Duration) (time.Duration, error) {
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err
	}
	select {
	case <-p.done:
		return time.Since(began), p.err
	case <-time.After(limit):
		p.Kill()
		return time.Since(began), fmt.Errorf("%s %w\n%s", p.Name, ErrSlowStop, p.Tail())
	}
}

//go:build unix

package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// patience is how long a server that was asked to end may take.
const patience = 20 * time.Second

// watch runs beside a server until somebody says a word on its input. An input that ends without one is that of a process that
// is no more: its server is ended, too. The server takes the place of the shell, so that its process id is the shell's.
const watch = `(read -r word <&3 || kill -s "$0" $$) >/dev/null 2>&1 & exec 3<&-; exec "$@"`

// Process is a server that was started. It ends with the process that started it, however that ends.
type Process struct {
	cmd  *exec.Cmd
	life *os.File // its end is the server's

	waits sync.Once
	done  chan struct{}
	err   error // of the server's end; valid once done is closed
}

// Start starts a server as a user; nil = as we are. Last names the signal that ends it once we are no more: KILL, or what lets
// a server end its own children. Where its output goes to a pipe, that has to be an [os.Pipe].
func Start(cmd *exec.Cmd, as *syscall.Credential, last string) (*Process, error) {
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	input, life, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = input.Close() }() // the server's watch has it open by itself
	program := cmd.Path
	if cmd.Path, err = exec.LookPath("sh"); err != nil {
		return nil, errors.Join(err, life.Close())
	}
	cmd.Args = append([]string{"sh", "-c", watch, last, program}, cmd.Args[1:]...)
	cmd.ExtraFiles = []*os.File{input}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true} // an interrupt at the terminal is ours alone
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", program, err), life.Close())
	}
	return &Process{cmd: cmd, life: life, done: make(chan struct{})}, nil
}

// Done is closed when the server has ended. Only who asks waits for that: a server for all tests of a process has nobody who does.
func (p *Process) Done() <-chan struct{} {
	p.waits.Do(func() { go p.wait() }) // ends with the server
	return p.done
}

func (p *Process) wait() {
	p.err = p.cmd.Wait()
	_, _ = p.life.WriteString("done\n") // the number of a process that has ended may be another's soon
	_ = p.life.Close()
	close(p.done)
}

// Err tells how the server ended, once Done is closed.
func (p *Process) Err() error { return p.err }

// Signal sends the server a signal. It is an error where it has ended.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// End sends a signal that ends the server, and returns when it has ended. One that takes too long is killed.
func (p *Process) End(s syscall.Signal) {
	_ = p.Signal(s) // it may have ended by itself
	late := time.AfterFunc(patience, func() { _ = p.Signal(syscall.SIGKILL) })
	defer late.Stop()
	<-p.Done()
}

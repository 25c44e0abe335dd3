//go:build unix

package host

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// starter makes the test's program one that starts a server and says its process id.
const starter = "HOLDFAST_TEST_STARTER"

func TestMain(m *testing.M) {
	if os.Getenv(starter) == "" {
		os.Exit(m.Run())
	}
	p, err := Start(exec.Command("sleep", "1000"), nil, "KILL")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	dir, err := Dir(nil)
	fmt.Println(p.cmd.Process.Pid, dir, err)
	<-p.Done()
}

// gone waits until there is no such process.
func gone(t *testing.T, pid int) {
	t.Helper()
	deadline, tick := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// TestStart_EndsWithItsStarter kills who started a server: the server is gone, too, and its folder with the next one.
func TestStart_EndsWithItsStarter(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), starter+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	said := strings.Fields(line)
	if err != nil || len(said) != 3 {
		t.Fatalf("it says %q, %v", line, err)
	}
	pid, err := strconv.Atoi(said[0])
	if err != nil || syscall.Kill(pid, 0) != nil {
		t.Fatalf("the server does not run: %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it says that it was killed
	gone(t, pid)

	dir, err := Dir(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if _, err := os.Stat(said[1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a process that is gone: %v", err)
	}
}

// TestProcess_End ends a server by its own process id and learns how it ended.
func TestProcess_End(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command("sh", "-c", `trap 'exit 7' TERM; echo "$1"; while :; do sleep 0.01; done`, "sh", "an argument")
	cmd.Stdout = log
	p, err := Start(cmd, nil, "KILL")
	if err != nil {
		t.Fatal(err)
	}
	deadline, tick := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for said := ""; said != "an argument\n"; {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		said = string(text)
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it said %q", said)
		}
	}
	p.End(syscall.SIGTERM)
	exit, ok := errors.AsType[*exec.ExitError](p.Err())
	if !ok || exit.ExitCode() != 7 {
		t.Errorf("it ended with %v, want 7", p.Err())
	}
	if err := p.Signal(syscall.SIGTERM); err == nil {
		t.Error("a server that has ended takes a signal")
	}
}

func TestStart_ErrProgramMissing(t *testing.T) {
	if _, err := Start(exec.Command("holdfast-no-such-program"), nil, "KILL"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %v, want %v", err, exec.ErrNotFound)
	}
}

// TestPorts returns different ports, each of which can be opened.
func TestPorts(t *testing.T) {
	ports, err := Ports(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range ports {
		if seen[p] || p == 0 {
			t.Errorf("ports %v", ports)
		}
		seen[p] = true
	}
}

// TestAccount: root's servers are not root's.
func TestAccount(t *testing.T) {
	as, err := Account("holdfast-no-such-user", "daemon")
	if err != nil {
		t.Fatal(err)
	}
	if root := os.Getuid() == 0; root != (as != nil) || root && as.Uid == 0 {
		t.Errorf("servers of user %d run as %+v", os.Getuid(), as)
	}
}

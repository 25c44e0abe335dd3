package localapi

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestPrincipal_ErrNoSocket(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if name, err := principal(a); err == nil {
		t.Errorf("the caller of a pipe is %q", name)
	}
}

// TestServe_ErrForeignUser opens the file to all, which the agent does not, and sees another user refused all the same.
func TestServe_ErrForeignUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can play another user")
	}
	c, _ := serve(t, &fake{})
	for path, mode := range map[string]os.FileMode{filepath.Dir(c.socket): 0o711, c.socket: 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	answer := make(chan string, 1)
	go func() { answer <- statusAs(65534, c.socket) }()
	if got := <-answer; !strings.Contains(got, " 403 ") || !strings.Contains(got, "E-8002") {
		t.Errorf("another user gets %q", got)
	}
}

// statusAs asks for the status as another user. Its goroutine keeps its thread, which has that user, until it ends; the
// runtime then gives the thread up.
func statusAs(uid uintptr, socket string) string {
	runtime.LockOSThread()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return errno.Error()
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = c.Close() }()
	if _, err := fmt.Fprint(c, "GET /v1/status HTTP/1.0\r\n\r\n"); err != nil {
		return err.Error()
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		return err.Error()
	}
	return string(buf[:n])
}

package telemetry

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestNotifier_Say(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no service manager on Windows listens at a datagram socket")
	}
	dir, err := os.MkdirTemp("", "hf") //nolint:usetesting // t.TempDir is too long for a socket's name on some systems
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	names := map[string]string{"a path": filepath.Join(dir, "notify")}
	if runtime.GOOS == "linux" {
		names["an abstract name"] = fmt.Sprintf("@holdfast-test-%d", os.Getpid())
	}
	for kind, name := range names {
		t.Run(kind, func(t *testing.T) {
			manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = manager.Close() }()
			n := NewNotifier(environment(map[string]string{"NOTIFY_SOCKET": name}))
			if err := n.Say(NotifyReady, NotifyStatus("12 events wait,\noldest 3 s")); err != nil {
				t.Fatal(err)
			}
			buffer := make([]byte, 200)
			if err := manager.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			got, err := manager.Read(buffer)
			if err != nil {
				t.Fatal(err)
			}
			if want := "READY=1\nSTATUS=12 events wait, oldest 3 s"; string(buffer[:got]) != want {
				t.Errorf("the manager heard %q, want %q", buffer[:got], want)
			}
		})
	}
}

func TestNotifier_SayNobodyListens(t *testing.T) {
	if err := (Notifier{}).Say(NotifyReady); err != nil {
		t.Errorf("without a manager: %v", err)
	}
	n := NewNotifier(environment(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "gone")}))
	if err := n.Say(NotifyReady); err == nil {
		t.Error("a manager that is gone: no error")
	}
}

func TestNotifier_Tell(t *testing.T) {
	var lines strings.Builder
	q := Quiet{Log: zerolog.New(&lines)}
	gone := NewNotifier(environment(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "gone")}))
	gone.Tell(&q, NotifyReady)
	gone.Tell(&q, NotifyAlive)
	if n := strings.Count(lines.String(), "the service manager does not hear"); n != 1 {
		t.Errorf("two failures make %d lines, want the first alone:\n%s", n, lines.String())
	}
	(Notifier{}).Tell(&q, NotifyAlive)
	if !strings.Contains(lines.String(), "the service manager hears again") {
		t.Errorf("the end of the failure is not told:\n%s", lines.String())
	}
}

func TestNotifier_Pace(t *testing.T) {
	for _, c := range []struct{ watchdog, want time.Duration }{
		{0, 10 * time.Second}, {time.Minute, 10 * time.Second}, {6 * time.Second, 2 * time.Second},
	} {
		if got := (Notifier{Watchdog: c.watchdog}).Pace(10 * time.Second); got != c.want {
			t.Errorf("with a watchdog of %v the pace is %v, want %v", c.watchdog, got, c.want)
		}
	}
}

func TestNewNotifier_Watchdog(t *testing.T) {
	self := fmt.Sprint(os.Getpid())
	for _, c := range []struct {
		name string
		env  map[string]string
		want time.Duration
	}{
		{"none", map[string]string{"NOTIFY_SOCKET": "s"}, 0},
		{"ours", map[string]string{"NOTIFY_SOCKET": "s", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": self}, time.Minute},
		{"for any process", map[string]string{"NOTIFY_SOCKET": "s", "WATCHDOG_USEC": "1500000"}, 1500 * time.Millisecond},
		{"of another process", map[string]string{"NOTIFY_SOCKET": "s", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": self + "1"}, 0},
		{"without a socket", map[string]string{"WATCHDOG_USEC": "60000000"}, 0},
		{"no number", map[string]string{"NOTIFY_SOCKET": "s", "WATCHDOG_USEC": "soon"}, 0},
		{"negative", map[string]string{"NOTIFY_SOCKET": "s", "WATCHDOG_USEC": "-1"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := NewNotifier(environment(c.env)).Watchdog; got != c.want {
				t.Errorf("watchdog %v, want %v", got, c.want)
			}
		})
	}
}

func environment(values map[string]string) func(string) (string, bool) {
	return func(key string) (string, bool) {
		v, ok := values[key]
		return v, ok
	}
}

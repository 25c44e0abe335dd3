package telemetry

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// What a service manager understands of a service's state: sd_notify(3).
const (
	// NotifyReady ends the start of a unit of Type=notify.
	NotifyReady = "READY=1"
	// NotifyReloading and, after it, NotifyReady frame a reload.
	NotifyReloading = "RELOADING=1"
	// NotifyStopping says that the end has begun, so that a slow one is not taken for a hang.
	NotifyStopping = "STOPPING=1"
	// NotifyAlive feeds the watchdog, if the unit has one.
	NotifyAlive = "WATCHDOG=1"
)

// NotifyStatus is the line that `systemctl status` shows.
func NotifyStatus(text string) string {
	return "STATUS=" + strings.ReplaceAll(text, "\n", " ")
}

// Notifier speaks to the service manager that started this process. The zero value, and one where no manager listens,
// says nothing.
type Notifier struct {
	socket string
	// Watchdog is how long the manager waits for NotifyAlive before it ends the process; 0 = it does not.
	Watchdog time.Duration
}

// NewNotifier reads what the manager left in the environment. A watchdog that is meant for another process, such as the
// parent of this one, is none.
func NewNotifier(lookupEnv func(string) (string, bool)) Notifier {
	socket, _ := lookupEnv("NOTIFY_SOCKET")
	n := Notifier{socket: socket}
	if socket == "" {
		return n
	}
	if pid, ok := lookupEnv("WATCHDOG_PID"); ok && pid != fmt.Sprint(os.Getpid()) {
		return n
	}
	if usec, ok := lookupEnv("WATCHDOG_USEC"); ok {
		if d, err := time.ParseDuration(usec + "us"); err == nil && d > 0 {
			n.Watchdog = d
		}
	}
	return n
}

// Listens tells whether there is a manager to speak to.
func (n Notifier) Listens() bool { return n.socket != "" }

// Pace returns how often a loop that feeds the watchdog turns: every most, and three times in a watchdog's time at
// least, so that one turn may be late.
func (n Notifier) Pace(most time.Duration) time.Duration {
	if n.Watchdog > 0 {
		return min(most, n.Watchdog/3)
	}
	return most
}

// Say sends states in one datagram, so that they hold together.
func (n Notifier) Say(states ...string) error {
	if n.socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	_, err = conn.Write([]byte(strings.Join(states, "\n")))
	if closed := conn.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// Tell says states, and logs through q where that fails: a program works on without a manager that hears it.
func (n Notifier) Tell(q *Quiet, states ...string) {
	if err := n.Say(states...); err != nil {
		q.Failed(err, "the service manager does not hear")
		return
	}
	q.Recovered("the service manager hears again")
}

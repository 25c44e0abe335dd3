//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Enabled tells whether this binary has working failpoints.
const Enabled = true

type action struct {
	verb string
	left int // hits until it acts
}

var plan = sync.OnceValue(func() *struct {
	sync.Mutex
	actions map[string]*action
} {
	p := &struct {
		sync.Mutex
		actions map[string]*action
	}{actions: map[string]*action{}}
	for item := range strings.SplitSeq(os.Getenv("HOLDFAST_FAILPOINTS"), ",") {
		name, verb, ok := strings.Cut(item, "=")
		if !ok {
			continue
		}
		verb, count, _ := strings.Cut(verb, ":")
		n, err := strconv.Atoi(count)
		if err != nil {
			n = 1
		}
		p.actions[name] = &action{verb: verb, left: n}
	}
	return p
})

// Hit does what HOLDFAST_FAILPOINTS says for name.
func Hit(name string) error {
	p := plan()
	p.Lock()
	a := p.actions[name]
	due := false
	if a != nil {
		a.left--
		due = a.left == 0 || (a.left < 0 && a.verb == "error")
	}
	p.Unlock()
	if !due {
		return nil
	}
	switch a.verb {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "panic":
		panic("failpoint " + name)
	}
	return fmt.Errorf("failpoint %s", name)
}

var offset = sync.OnceValue(func() time.Duration {
	d, _ := time.ParseDuration(os.Getenv("HOLDFAST_CLOCK_OFFSET"))
	return d
})

// Now returns the wall clock's time, shifted by HOLDFAST_CLOCK_OFFSET.
func Now() time.Time { return time.Now().Add(offset()) }

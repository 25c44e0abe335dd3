//go:build unix

package opcua

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

func TestPeer_Kill(t *testing.T) {
	r := newRig(t, nil)
	r.kill()
	pass(5 * time.Second)
	r.start()
	r.back(r.sink.newest(count))
	if inParts, inCounts := r.finish(); inParts+inCounts > 0 && len(r.sink.open()) == 0 {
		t.Error("parts are missing, and no gap is open: the history in the server's memory was gone")
	}
}

func TestPeer_Reset(t *testing.T) {
	r := newRig(t, nil)
	pass(2 * time.Second)
	n := r.sink.newest(count)
	r.front.Reset()
	r.back(n + 3)
	if _, lost := r.finish(); lost > 0 {
		t.Errorf("%d counts lost, though the server kept them", lost)
	}
	gaps, closed := r.sink.recorded()
	t.Logf("gaps %+v, closed %+v", gaps, closed)
}

// TestPeer_ResetClosed reads only what has history, so that its gap must close.
func TestPeer_ResetClosed(t *testing.T) {
	r := newRig(t, historyOnly)
	r.until(returns, "parts", func() bool { return r.sink.newest(count) > 10 })
	for range 3 {
		n := r.sink.newest(count)
		r.front.Reset()
		took := r.until(returns, "newer parts", func() bool { return r.sink.newest(count) > n+5 && r.state() == source.Live })
		r.sink.recovery = max(r.sink.recovery, took)
	}
	made := r.tell(`{"do":"halt"}`).Made
	r.until(returns, "the last part", func() bool { return r.sink.newest(count) >= made })
	if lost := r.sink.account(t, count, made); lost > 0 {
		t.Errorf("%d counts lost", lost)
	}
	r.until(returns, "all gaps closed", func() bool { return len(r.sink.open()) == 0 })
	if gaps, _ := r.sink.recorded(); len(gaps) != 3 {
		t.Errorf("gaps %+v, want three", gaps)
	}
}

func TestPeer_Frozen(t *testing.T) {
	r := newRig(t, historyOnly)
	r.until(returns, "parts", func() bool { return r.sink.newest(count) > 10 })
	n := r.sink.newest(count)
	r.signal(syscall.SIGSTOP)
	took := r.until(6*time.Second, "the source is stale", func() bool { return r.state() == source.Silent })
	t.Logf("stale after %s", took)
	pass(15*time.Second - took)
	r.signal(syscall.SIGCONT)
	r.sink.recovery = r.until(returns, "newer parts", func() bool { return r.sink.newest(count) > n+3 && r.state() == source.Live })
	made := r.tell(`{"do":"halt"}`).Made
	r.until(returns, "the last part", func() bool { return r.sink.newest(count) >= made })
	if lost := r.sink.account(t, count, made); lost > 0 {
		t.Errorf("%d counts lost, though the server kept them", lost)
	}
	r.until(returns, "the gap is closed", func() bool { return len(r.sink.open()) == 0 })
}

func TestPeer_BlackHole(t *testing.T) {
	r := newRig(t, nil)
	n := r.sink.newest(count)
	r.front.Freeze()
	r.until(6*time.Second, "the source is stale", func() bool { return r.state() == source.Silent })
	pass(20 * time.Second)
	r.front.Thaw()
	r.back(n + 3)
	if _, lost := r.finish(); lost > 0 {
		t.Errorf("%d counts lost, though the server kept them", lost)
	}
	if s := r.tell(`{"do":"count"}`).Sessions; s > 3 {
		t.Errorf("server has %d sessions: half-open lives pile up", s)
	}
}

func TestPeer_NamespaceShifted(t *testing.T) {
	r := newRig(t, nil)
	before := r.sink.of(part)[0]
	r.kill()
	r.set.Shift = 2
	r.start()
	r.back(r.sink.newest(count))
	r.finish()
	after := r.sink.of(part)
	if last := after[len(after)-1]; last.Ref != before.Ref || !strings.Contains(string(last.Raw), `"node":"`+part+`"`) || !strings.Contains(string(last.Raw), `"text":"geprüft"`) {
		t.Errorf("after the shift the part reads %s", last.Raw)
	}
}

func TestPeer_NodeRemoved(t *testing.T) {
	r := newRig(t, nil)
	r.kill()
	r.set.Without = []string{"ForceLo"}
	r.start()
	r.back(r.sink.newest(count))
	r.finish()
	st := r.src.Status()
	if len(st.Troubled) != 1 || !strings.HasPrefix(st.Troubled[0], lower+": ") || !strings.Contains(st.Troubled[0], "BadNodeIdUnknown") || st.State != source.Live {
		t.Errorf("status %+v", st)
	}
	gaps, _ := r.sink.recorded()
	if !slices.ContainsFunc(gaps, func(g source.Gap) bool { return g.Item == lower && g.Reason == source.GapItemMissing }) {
		t.Errorf("gaps %+v", gaps)
	}
}

func TestPeer_CertificateChanged(t *testing.T) {
	r := newRig(t, nil)
	r.kill()
	r.set.PKI = filepath.Join(r.dir, "other")
	r.start()
	r.until(returns, "the source is refused", func() bool { return r.state() == source.Refused })
	st := r.src.Status()
	rejected, err := filepath.Glob(filepath.Join(r.pki, "rejected", "*.der"))
	if err != nil || len(rejected) != 1 {
		t.Fatalf("rejected %v, %v", rejected, err)
	}
	thumb := strings.TrimSuffix(filepath.Base(rejected[0]), ".der")
	if !strings.Contains(st.Problem, "changed from ") || !strings.Contains(st.Problem, "to "+thumb) || st.Next == "" {
		t.Errorf("problem %q, next %q", st.Problem, st.Next)
	}
	r.sink.mu.Lock()
	acts := slices.Clone(r.sink.acts)
	r.sink.mu.Unlock()
	if len(acts) != 1 || !strings.HasPrefix(acts[0], "opcua.certificate_refused: ") || !strings.Contains(acts[0], thumb) {
		t.Errorf("audit %q", acts)
	}
	pass(3 * time.Second)
	if err := os.Rename(rejected[0], filepath.Join(r.pki, "trusted", "approved.der")); err != nil {
		t.Fatal(err)
	}
	r.back(r.sink.newest(count))
	r.finish()
	if gaps, _ := r.sink.recorded(); !slices.ContainsFunc(gaps, func(g source.Gap) bool { return g.Reason == source.GapTrustRefused && g.To.Sub(g.From) > 2*time.Second }) {
		t.Errorf("no gap covers the wait: %+v", gaps)
	}
}

// slow holds the queue for a time and shows that the watchdog stays quiet.
func slow(t *testing.T, hold time.Duration, lives int) {
	r := newRig(t, nil)
	before := r.src.Status().Reconnects
	held := make(chan struct{})
	r.sink.setHook(func(ctx context.Context) {
		select {
		case <-held:
		case <-ctx.Done():
		}
	})
	r.until(returns, "the source is full", func() bool { return r.state() == source.Full })
	pass(hold)
	if s := r.state(); s != source.Full {
		t.Errorf("state %s while the queue takes nothing", s)
	}
	n := r.sink.newest(count)
	close(held)
	r.sink.recovery = r.until(returns, "newer parts", func() bool { return r.sink.newest(count) > n+uint64(hold/time.Second) && r.state() == source.Live })
	r.finish()
	if got := int(r.src.Status().Reconnects - before); got > lives {
		t.Errorf("%d new lives, want %d at most", got, lives)
	}
}

func TestPeer_SlowConsumer(t *testing.T) { slow(t, 30*time.Second, 0) }

func TestPeer_SlowConsumerLong(t *testing.T) {
	if os.Getenv("HOLDFAST_LONG") == "" {
		t.Skip("SKIPPED: five minutes of a queue that takes nothing; set HOLDFAST_LONG=1")
	}
	slow(t, 5*time.Minute, 2)
}

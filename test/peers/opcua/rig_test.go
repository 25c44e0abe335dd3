//go:build unix

// Package opcua judges the OPC UA source against a server that owes nothing to its library: node-opcua, as the plant in
// the folder plant, which needs Node.js 18. Its packages are looked for in HOLDFAST_PEER_MODULES, which names a folder
// node_modules, else beside its package.json; without them the suite is skipped, and says how to get them.
//
// Each case breaks one thing and shows that values flow again within ten seconds of the cause's end, and that every
// part made was emitted, or lies inside a recorded gap.
package opcua

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/test/peers/host"
	sim "github.com/holdfast-mesh/holdfast/test/sim/opcua"
)

const (
	returns = 10 * time.Second // within which values must flow again
	patient = 30 * time.Second // for what depends on the machine's speed alone
	settled = 4 * time.Second  // after which the source has recorded what is missing

	space = "nsu=urn:example:peer:press7;s=Press7."
	part  = space + "Part"
	count = space + "Count"
	force = space + "Force"
	lower = space + "ForceLo"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // the library logs there what it does not return
	os.Exit(m.Run())
}

// modules returns the folder with the plant's packages.
func modules(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("PEER SKIPPED name=node-opcua reason=no Node.js here (18 or newer is needed), so that no independent OPC UA server can be started")
	}
	dir := os.Getenv("HOLDFAST_PEER_MODULES")
	if dir == "" {
		dir = filepath.Join("plant", "node_modules")
	}
	if _, err := os.Stat(filepath.Join(dir, "node-opcua")); err != nil {
		t.Skipf("PEER SKIPPED name=node-opcua reason=there is none in %s; make peers brings it", dir)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// settings are those of plant.js.
type settings struct {
	Port    int      `json:"port"`
	PKI     string   `json:"pki"`
	State   string   `json:"state"`
	Cycle   int      `json:"cycle"` // ms
	Shift   int      `json:"shift"`
	Without []string `json:"without"`
	History bool     `json:"history"`
	Accept  bool     `json:"accept"` // clients that it does not know
}

// press is the plant's process.
type press struct {
	t       *testing.T
	modules string
	dir     string // of the server's own user
	user    *syscall.Credential
	set     settings
	process *host.Process // nil = it does not run
	stdin   io.WriteCloser
	lines   chan answer
	read    sync.WaitGroup
}

type answer struct {
	Ready    bool   `json:"ready"`
	Failed   string `json:"failed"`
	Done     string `json:"done"`
	Made     uint64 `json:"made"`
	Sessions int    `json:"sessions"`
}

func startPress(t *testing.T) *press {
	t.Helper()
	t.Parallel()
	p := &press{t: t, modules: modules(t)}
	var err error
	if p.user, err = host.Account("node"); err == nil {
		p.dir, err = host.Dir(p.user)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(p.dir) })
	p.set = settings{
		PKI: filepath.Join(p.dir, "pki"), State: filepath.Join(p.dir, "count"), Cycle: 100, Without: []string{}, History: true, Accept: true,
	}
	t.Cleanup(p.kill)
	for try := 1; ; try++ {
		ports, err := host.Ports(1)
		if err != nil {
			t.Fatal(err)
		}
		p.set.Port = ports[0]
		if a := p.launch(); a.Ready {
			return p
		} else if try == 5 {
			t.Fatalf("plant does not start: %s", a.Failed)
		}
		p.kill()
	}
}

// start starts the process again and waits until it serves.
func (p *press) start() {
	p.t.Helper()
	if a := p.launch(); !a.Ready {
		p.t.Fatalf("plant does not start: %s", a.Failed)
	}
}

func (p *press) launch() answer {
	p.t.Helper()
	text, err := json.Marshal(p.set)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command("node", filepath.Join("plant", "plant.js"), string(text))
	cmd.Env = append(os.Environ(), "NODE_PATH="+p.modules, "HOME="+p.dir)
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	out, said, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stdout = said
	p.process, err = host.Start(cmd, p.user, "KILL")
	_ = said.Close() // the plant has it open by itself
	if err != nil {
		p.t.Fatal(err)
	}
	p.lines = make(chan answer, 100)
	lines := p.lines
	p.read.Go(func() { scan(out, lines) })
	return p.answer()
}

// scan passes the plant's own lines on; its library writes others.
func scan(out io.ReadCloser, lines chan<- answer) {
	defer close(lines)
	defer func() { _ = out.Close() }()
	for s := bufio.NewScanner(out); s.Scan(); {
		var a answer
		if bytes.HasPrefix(s.Bytes(), []byte("{")) && json.Unmarshal(s.Bytes(), &a) == nil {
			lines <- a
		}
	}
}

func (p *press) answer() answer {
	p.t.Helper()
	select {
	case a, ok := <-p.lines:
		if !ok {
			p.t.Fatal("plant ended")
		}
		return a
	case <-time.After(4 * patient): // a plant starts in three seconds on a machine of its own
		p.t.Fatal("plant does not answer")
	}
	return answer{}
}

// tell gives a command and returns the answer.
func (p *press) tell(command string) answer {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.stdin, command); err != nil {
		p.t.Fatal(err)
	}
	return p.answer()
}

// kill ends the process as a power cut does.
func (p *press) kill() {
	if p.process == nil {
		return
	}
	p.process.End(syscall.SIGKILL)
	p.read.Wait()
	p.process = nil
}

func (p *press) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *press) addr() string { return host.Loopback(p.set.Port) }

// sink is a queue that a test looks into.
type sink struct {
	mu      sync.Mutex
	signals []source.Signal
	gaps    []source.Gap
	closed  []source.Closing
	acts    []string
	hook    func(context.Context) // called before a batch is stored; nil = none

	recovery time.Duration // from a cause's end to values; for the figures
}

func (k *sink) emit(ctx context.Context, b source.Batch) error {
	k.mu.Lock()
	hook := k.hook
	k.mu.Unlock()
	if hook != nil {
		hook(ctx)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.signals = append(k.signals, b.Signals...)
	k.gaps = append(k.gaps, b.Gaps...)
	k.closed = append(k.closed, b.Closed...)
	return nil
}

func (k *sink) setHook(hook func(context.Context)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hook = hook
}

func (k *sink) of(item string) []source.Signal {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []source.Signal
	for _, s := range k.signals {
		if s.Ref == item {
			all = append(all, s)
		}
	}
	return all
}

func (k *sink) recorded() ([]source.Gap, []source.Closing) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.gaps), slices.Clone(k.closed)
}

// newest returns the highest number of an item.
func (k *sink) newest(item string) (n uint64) {
	for _, s := range k.of(item) {
		if s.Seq != nil {
			n = max(n, *s.Seq)
		}
	}
	return n
}

// open returns the gaps that nothing has closed.
func (k *sink) open() []source.Gap {
	gaps, closed := k.recorded()
	return slices.DeleteFunc(gaps, func(g source.Gap) bool {
		return slices.ContainsFunc(closed, func(c source.Closing) bool {
			return c.Gap.Item == g.Item && c.Gap.From.Equal(g.From) && c.Gap.Found.Equal(g.Found)
		})
	})
}

// order counts what of an item came more than once, what history brought after a later one, and what else came after one.
func (k *sink) order(item string) (repeats, late, disorder int) {
	seen, newest := map[uint64]bool{}, uint64(0)
	for _, s := range k.of(item) {
		switch {
		case s.Seq == nil:
			continue
		case seen[*s.Seq]:
			repeats++
		case *s.Seq < newest && slices.Contains(s.Flags, source.FlagBackfilled):
			late++
		case *s.Seq < newest:
			disorder++
		}
		seen[*s.Seq], newest = true, max(newest, *s.Seq)
	}
	return repeats, late, disorder
}

// account says which parts of an item are neither emitted nor inside a gap, and how many are only in a gap.
func (k *sink) account(t *testing.T, item string, made uint64) (inGaps int) {
	t.Helper()
	got := map[uint64]int{}
	first := uint64(0)
	for _, s := range k.of(item) {
		if s.Seq != nil {
			if first == 0 {
				first = *s.Seq
			}
			got[*s.Seq]++
		}
	}
	gaps, _ := k.recorded()
	unaccounted := []uint64{}
	for n := first; n <= made; n++ {
		switch {
		case got[n] > 0:
		case slices.ContainsFunc(gaps, func(g source.Gap) bool {
			return (g.Item == item || slices.Contains(g.Items, item)) && uint64(g.FromSeq) <= n && n <= uint64(g.ToSeq)
		}):
			inGaps++
		default:
			unaccounted = append(unaccounted, n)
		}
	}
	for n, times := range got {
		if times > 1 {
			t.Errorf("part %d of %s came %d times", n, item, times)
			for _, s := range k.of(item) {
				if s.Seq != nil && *s.Seq == n {
					t.Logf("%v %s", s.Flags, s.Raw)
				}
			}
		}
	}
	repeats, late, disorder := k.order(item)
	t.Logf("FIGURES server=node-opcua run=%s item=%s made=%d emitted=%d in_gaps=%d from_history_late=%d lost=%d duplicates=%d disorder=%d recovery=%s", t.Name(),
		item[strings.LastIndexAny(item, ".= ")+1:], made-first+1, len(got), inGaps, late, len(unaccounted), repeats, disorder, k.recovery.Round(10*time.Millisecond))
	if first == 0 || len(unaccounted) > 0 {
		t.Errorf("%s: unaccounted %v; gaps %+v", item, unaccounted, gaps)
	}
	return inGaps
}

// rig is a press, a way to break the line to it, and a source that reads it.
type rig struct {
	*press
	front *sim.Front
	sink  *sink
	src   *opcua.Source
	pki   string
}

// newRig starts all three and waits for parts; change alters the source's configuration.
func newRig(t *testing.T, change func(*opcua.Config)) *rig {
	t.Helper()
	r := &rig{press: startPress(t)}
	r.read1(change)
	r.until(patient, "the first parts", func() bool { return r.sink.newest(count) > 3 && r.state() == source.Live })
	return r
}

// read1 runs a source of the press.
func (r *rig) read1(change func(*opcua.Config)) {
	t := r.t
	t.Helper()
	r.sink, r.pki = &sink{}, t.TempDir()
	var err error
	if r.front, err = sim.OpenFront("127.0.0.1:0", r.addr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.front.Close)
	r.trustServer()
	cfg := opcua.Config{
		Endpoint: "opc.tcp://" + r.front.Addr() + "/press7", Security: "Basic256Sha256/SignAndEncrypt", User: "holdfast", PasswordFile: r.password("press7-secret"),
		Items: []opcua.Item{
			{Node: part, Pattern: opcua.PatternRecord, Seq: "Count"}, {Node: count, Pattern: opcua.PatternRecord, Seq: "."},
			{Node: force, Every: 50 * time.Millisecond}, {Node: lower},
		},
		History: &opcua.History{Max: time.Hour},
	}
	if change != nil {
		change(&cfg)
	}
	r.src, err = opcua.New(cfg, opcua.Deps{
		ID: "press7", Equipment: "press7", Plant: "p1", Agent: "gw1", PKI: r.pki,
		Audit: func(_ context.Context, act, _, reason string, _ map[string]string) error {
			r.sink.mu.Lock()
			defer r.sink.mu.Unlock()
			r.sink.acts = append(r.sink.acts, act+": "+reason)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.src.Run(ctx, r.sink.emit) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

// password returns a file with one.
func (r *rig) password(text string) config.SecretFile {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return config.SecretFile(file)
}

// trustServer does what a person does who knows the server.
func (r *rig) trustServer() {
	r.t.Helper()
	raw, err := os.ReadFile(filepath.Join(r.set.PKI, "press7.pem"))
	if err != nil {
		r.t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	dir := filepath.Join(r.pki, "trusted")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "press7.der"), block.Bytes, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) state() source.State { return r.src.Status().State }

// until waits for a condition and returns how long it took.
func (r *rig) until(limit time.Duration, what string, ok func() bool) time.Duration {
	r.t.Helper()
	begun := time.Now()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-poll.C:
		case <-deadline.C:
			gaps, closed := r.sink.recorded()
			r.t.Fatalf("not within %s: %s; status %+v; gaps %+v; closed %+v", limit, what, r.src.Status(), gaps, closed)
		}
	}
	return time.Since(begun)
}

// pass lets time go by.
func pass(d time.Duration) { <-time.After(d) }

// back waits until parts newer than n flow, and says how long that took.
func (r *rig) back(n uint64) {
	r.t.Helper()
	took := r.until(returns, fmt.Sprintf("parts after %d", n), func() bool { return r.sink.newest(count) > n && r.sink.newest(part) > n && r.state() == source.Live })
	r.sink.recovery = took
}

// finish ends the making of parts, waits for the last, and accounts for all.
func (r *rig) finish() (partsInGaps, countsInGaps int) {
	r.t.Helper()
	pass(settled)
	made := r.tell(`{"do":"halt"}`).Made
	r.until(returns, "the last part", func() bool { return r.sink.newest(count) >= made && r.sink.newest(part) >= made })
	return r.sink.account(r.t, part, made), r.sink.account(r.t, count, made)
}

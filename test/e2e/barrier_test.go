package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/check"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// silent is the plant whose link drops, other one that stays in reach.
const (
	silent = 0
	other  = 1
)

// TestM14_ReleaseWaitsForSilentPlant is the race that the barrier is for. Operators hold lots at a plant while its link
// drops, and at the same moment the QMS releases all lots. Until the link is back no lot of that plant whose release was
// signed after the cut becomes free, held or not: nobody outside knows what stands on its disk. Lots that the plant has
// nothing to do with go on. Then the holds apply, and all others are released.
func TestM14_ReleaseWaitsForSilentPlant(t *testing.T) {
	seeds, lots := 2, 200
	if long() {
		seeds = 20
	}
	first := rand.Uint64()
	if text := os.Getenv("HOLDFAST_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &first); err != nil {
			t.Fatalf("HOLDFAST_SEED=%q: %v", text, err)
		}
		seeds = 1
	}
	c := startFirm(t, 2, nil)
	total := tally{}
	for i := range seeds {
		seed := first + uint64(i)
		r := race{firm: c, seed: seed, random: rand.New(rand.NewPCG(seed, seed))}
		total.add(r.run(lots))
		if t.Failed() {
			return
		}
	}
	t.Logf("%d lots: %d signed while the plant was silent, of them %d free before it was back; %d granted before the cut and free after it; %d held by operators, %d of them taken back after a release, at the latest %s after the link was back; the last release %s after it",
		seeds*lots, total.silent, total.slipped, total.inFlight, total.held, total.takenBack, total.back.Round(time.Millisecond), total.released.Round(time.Millisecond))
	figures(t, "lots=%d silent=%d slipped=%d held=%d taken_back=%d recovery=%s",
		seeds*lots, total.silent, total.slipped, total.held, total.takenBack, total.released.Round(time.Millisecond))
	c.invariant("I5")
}

// tally is what races came to.
type tally struct {
	silent, slipped, inFlight, held, takenBack int
	back, released                             time.Duration // since the link was back
}

func (n *tally) add(m tally) {
	n.silent, n.slipped, n.inFlight, n.held, n.takenBack = n.silent+m.silent, n.slipped+m.slipped, n.inFlight+m.inFlight, n.held+m.held, n.takenBack+m.takenBack
	n.back, n.released = max(n.back, m.back), max(n.released, m.released)
}

// race is one run over some lots.
type race struct {
	*firm
	seed   uint64
	random *rand.Rand

	cut, healed time.Time
	lots        []*batch
	granted     map[event.LotKey]int64 // barriers of the releases that were granted before the link was back
	answered    int64                  // highest barrier that the silent plant answered before the cut
}

// step is something that takes place at its time.
type step struct {
	at time.Duration
	do func()
}

func (r *race) run(lots int) tally {
	r.t.Helper()
	r.lots = r.mixed(lots)
	r.make(r.lots)
	var waits []func() error
	steps, start := r.schedule(&waits), time.Now()
	for _, s := range steps {
		<-time.After(time.Until(start.Add(s.at)))
		s.do()
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			r.t.Fatalf("seed %d: %v", r.seed, err)
		}
	}
	r.onDisk()
	// The other plant's lots go on, which also shows that the cloud has seen the decisions.
	r.awaitFree(30*time.Second, r.where(func(b *batch) bool { return !r.ofSilent(b) }))
	<-time.After(500 * time.Millisecond) // a release that should not be gets its chance
	r.healed = time.Now()
	r.granted, r.answered = r.grants(), r.lastAnswer(silent)
	var n tally
	for _, b := range r.lots {
		r.read(b, &n)
	}
	if n.slipped > 0 {
		return n
	}
	// A hold that was said just before the cut may have got out.
	r.await(10*time.Second, r.where(func(b *batch) bool { return r.ofSilent(b) && b.signed.After(r.cut) }), quality.Asking, quality.Held)
	r.healed = time.Now()
	r.Plants[silent].WAN.Heal()
	return r.settle()
}

// mixed makes up lots of both plants: half of them of the silent one, some made at one and inspected at the other, and a
// few that it has nothing to do with. A quarter of those that it has something to do with are held.
func (r *race) mixed(n int) []*batch {
	lots := slices.Concat(r.firm.lots(n/2, silent), r.firm.lots(n/5, silent), r.firm.lots(n/5, other), r.firm.lots(n-n/2-2*(n/5), other))
	for i, b := range lots {
		switch {
		case i < n/2:
		case i < n/2+n/5:
			b.lab = other
		case i < n/2+2*(n/5):
			b.lab = silent
		}
		b.held = r.ofSilent(b) && r.random.IntN(4) == 0
	}
	return lots
}

func (r *race) ofSilent(b *batch) bool { return b.at == silent || b.lab == silent }

func (r *race) where(is func(*batch) bool) (found []*batch) {
	for _, b := range r.lots {
		if is(b) {
			found = append(found, b)
		}
	}
	return found
}

// schedule makes up what takes place: within one and a half seconds the engineer signs all lots, the link drops, and the operators
// hold, the first of them just before it drops.
func (r *race) schedule(waits *[]func() error) []step {
	r.t.Helper()
	within := func(d time.Duration) time.Duration { return time.Duration(r.random.Int64N(int64(d))) }
	cut := 100*time.Millisecond + within(1100*time.Millisecond)
	all := []step{{cut, func() {
		r.Plants[silent].WAN.Cut()
		r.cut = time.Now()
	}}}
	for _, b := range r.lots {
		all = append(all, step{within(1500 * time.Millisecond), func() { r.release(b) }})
		if b.held {
			all = append(all, step{cut - 20*time.Millisecond + within(time.Second), func() { *waits = append(*waits, r.start(silent, r.hold(b))) }})
		}
	}
	slices.SortStableFunc(all, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return all
}

// grants returns the barriers that stand for the lots' releases.
func (c *firm) grants() map[event.LotKey]int64 {
	c.t.Helper()
	all := map[event.LotKey]int64{}
	rows, err := c.db.QueryContext(c.t.Context(), `SELECT key, COALESCE(CAST(json_extract(doc, '$.release.barrier') AS BIGINT), 0) FROM lot`)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var key event.LotKey
		var barrier int64
		if err := rows.Scan(&key, &barrier); err != nil {
			c.t.Fatal(err)
		}
		all[key] = barrier
	}
	return all
}

// lastAnswer returns the highest barrier to which a plant's answer has reached the topic so far.
func (c *firm) lastAnswer(at int) (barrier int64) {
	c.t.Helper()
	h, err := history.OfTopics(c.t.Context(), c.Kafka.Addrs(), "holdfast."+c.sites[at].Plant+".telemetry.v1")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range h.Of(history.Head) {
		barrier = max(barrier, f.Barrier)
	}
	return barrier
}

// onDisk waits until the silent plant's agent has put all that its operators said.
func (r *race) onDisk() {
	r.t.Helper()
	eventually(r.t, 20*time.Second, "the holds are on the agent's disk", func() bool {
		m, err := stack.Metrics(r.t.Context(), r.Plants[silent].Agent)
		return err == nil && stack.Sum(m, "holdfast_agent_queue_size_events") > 0
	})
}

// settle waits for what has to come in the end, and judges the books.
func (r *race) settle() (n tally) {
	r.t.Helper()
	free, held := r.where(func(b *batch) bool { return !b.held }), r.where(func(b *batch) bool { return b.held })
	n.held = len(held)
	r.await(60*time.Second, held, quality.Held)
	r.awaitFree(60*time.Second, free)
	r.await(20*time.Second, free, quality.Released)
	eventually(r.t, 60*time.Second, "nothing is left to be done", func() bool { return r.due() == 0 })
	for _, b := range r.lots {
		if was := r.read(b, &n); was == b.held {
			r.t.Errorf("seed %d: in the end lot %s is free: %t, held by an operator: %t", r.seed, b.key, was, b.held)
		}
		if got := r.decided(b); got > 1 {
			r.t.Errorf("seed %d: lot %s has %d usage decisions", r.seed, b.key, got)
		}
	}
	return n
}

// read judges the book of a lot so far, and tells whether the lot is free.
func (r *race) read(b *batch, n *tally) (free bool) {
	r.t.Helper()
	for _, e := range r.erp(b).Batch(material, b.number) {
		freed, taken := e.FreeAfter && !free, !e.FreeAfter && free
		free = e.FreeAfter
		switch {
		case freed && r.ofSilent(b) && e.At.After(r.cut) && e.At.Before(r.healed):
			if b.signed.Before(r.cut) && r.granted[b.key] > 0 && r.granted[b.key] <= r.answered {
				n.inFlight++ // the plant had answered for it, and the ERP took its time
				continue
			}
			n.slipped++
			r.t.Errorf("seed %d: lot %s became free %s after the link of its plant dropped, %s before it was back, signed %s after the cut, held %t",
				r.seed, b.key, e.At.Sub(r.cut), r.healed.Sub(e.At), b.signed.Sub(r.cut), b.held)
		case freed && b.held && !e.At.Before(r.healed):
			r.t.Errorf("seed %d: lot %s became free %s after the link was back, though an operator holds it", r.seed, b.key, e.At.Sub(r.healed))
		case freed && !e.At.Before(r.healed):
			n.released = max(n.released, e.At.Sub(r.healed))
		case taken:
			n.takenBack++
			n.back = max(n.back, e.At.Sub(r.healed))
		}
	}
	if r.ofSilent(b) && b.signed.After(r.cut) {
		n.silent++
	}
	return free
}

// invariant judges all that has taken place so far by one of the invariants, from what the cloud and the agents have left
// behind and from the ERP's book.
func (c *firm) invariant(id string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	said, err := history.OfTopics(ctx, c.Kafka.Addrs(), c.plantTopics()...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.judge(&check.Run{ERPs: []string{stack.ERP}, History: slices.Concat(c.inbox(), said, history.OfBook(stack.ERP, c.SAP.Book(), nil))}, id)
}

// judge judges a run by one of the invariants.
func (c *firm) judge(run *check.Run, id string) {
	c.t.Helper()
	for _, i := range check.Invariants() {
		if i.ID != id {
			continue
		}
		f := i.Check(run)
		for _, v := range f.Violations {
			c.t.Error(v)
		}
		if f.Judged == 0 {
			c.t.Errorf("%s has judged nothing", id)
		}
		c.t.Logf("%s, %s: %d facts judged", id, i.Says, f.Judged)
	}
}

// evidence returns what a lot's release waits for.
func (c *firm) evidence(b *batch) (found api.Coverage) {
	c.t.Helper()
	out, _, code := cloudCLI(c.t, c.Stack, "coverage", "show", "--lot", string(b.key), "-o", "json")
	if err := json.Unmarshal([]byte(out), &found); code != 0 || err != nil {
		c.t.Fatalf("coverage show exits %d: %v", code, err)
	}
	return found
}

// accept lets two persons sign for something that is missing for a lot.
func (c *firm) accept(b *batch, what ...string) {
	c.t.Helper()
	args := append([]string{"coverage", "accept", "--lot", string(b.key), "--reason", "called the plant; its paper log has no hold"}, what...)
	for _, name := range []string{"anna", "bert"} {
		args = append(args, "--signer", name, "--password-file", c.Path(name+".password"))
	}
	if _, _, code := cloudCLI(c.t, c.Stack, args...); code != 0 {
		c.t.Fatalf("coverage accept exits %d", code)
	}
}

// signers are the two persons who sign.
func (c *firm) signers() {
	c.t.Helper()
	person(c.t, c.Stack, "anna", "Anna Weber", "4711", "quality")
	person(c.t, c.Stack, "bert", "Bert Stein", "4712", "quality")
}

// TestM14_SignatureForSilentPlant: persons may answer for a plant that cannot, for the lots that they name and for no
// other. A hold that stood on the plant's disk all the time takes such a release back when it arrives.
func TestM14_SignatureForSilentPlant(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, func(s *stack.Stack) { withAdmin(t, s) })
	c.signers()
	lots := c.lots(8, silent)
	for _, b := range lots[:4] {
		b.held = true
	}
	c.make(lots)
	c.Plants[silent].WAN.Cut()
	for _, b := range lots {
		c.release(b)
		if b.held {
			c.say(silent, c.hold(b))
		}
	}
	c.await(20*time.Second, lots, quality.Asking)
	signed := []*batch{lots[0], lots[4]}
	for _, b := range signed {
		e := c.evidence(b)
		if len(e.Answers) != 1 || !e.Answers[0].Missing {
			t.Fatalf("lot %s waits for %+v, want the answer of its plant", b.key, e.Answers)
		}
		c.accept(b, "--plant", c.sites[silent].Plant, "--agent", "gw1", "--barrier", fmt.Sprint(e.Barrier))
	}
	c.awaitFree(20*time.Second, signed)
	<-time.After(time.Second) // a release that should not be gets its chance
	for _, b := range lots {
		if c.free(b) != slices.Contains(signed, b) {
			t.Errorf("lot %s is free: %t", b.key, c.free(b))
		}
	}
	task := c.WMS.Tasks(string(lots[0].key))[0].ID
	eventually(t, 20*time.Second, "a worker starts the task of the lot that was signed for", func() bool { return c.WMS.Start(task) == nil })

	healed := time.Now()
	c.Plants[silent].WAN.Heal()
	held, free := lots[:4], lots[4:]
	c.awaitFree(60*time.Second, free)
	eventually(t, 60*time.Second, "the hold takes the release back", func() bool { return !c.free(lots[0]) })
	back := time.Since(healed)
	c.await(20*time.Second, held, quality.Held)
	eventually(t, 20*time.Second, "nothing is left to be done", func() bool { return c.due() == 0 })
	for _, b := range held {
		if c.free(b) {
			t.Errorf("lot %s is free though an operator holds it", b.key)
		}
	}
	c.stopList(lots[0], task)
	t.Logf("a hold that waited on the plant's disk took a release that was signed for back %s after the link was back", back.Round(time.Millisecond))
	c.invariant("I5")
}

// stopList looks whether the cloud names a task that it is too late to hold.
func (c *firm) stopList(b *batch, task string) {
	c.t.Helper()
	var code, message string
	id := fmt.Sprintf("%s|%s|%s", quality.TasksGate, stack.WMS, b.key)
	if err := c.db.QueryRowContext(c.t.Context(), `SELECT code, message FROM effect WHERE id = $1`, id).Scan(&code, &message); err != nil {
		c.t.Fatal(err)
	}
	if code != "tasks_started" || !strings.Contains(message, task+" ") {
		c.t.Errorf("the gate of lot %s says %q %q, want task %s named as started", b.key, code, message, task)
	}
}

// TestM14_SilentPlantRestarts: the gateway of a plant dies while its link is down, with holds on its disk that nobody
// outside has seen. It answers only for what stands there from all its runs: the holds apply, the other lots are released.
func TestM14_SilentPlantRestarts(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 2, nil)
	lots := append(c.lots(16, silent), c.lots(8, other)...)
	for _, b := range lots[16:] {
		b.lab = silent
	}
	for i, b := range lots {
		b.held = i%4 == 0
	}
	c.make(lots)
	c.Plants[silent].WAN.Cut()
	cut := time.Now()
	queued := func() float64 {
		m, err := stack.Metrics(t.Context(), c.Plants[silent].Agent)
		if err != nil {
			return 0
		}
		return stack.Sum(m, "holdfast_agent_queue_size_events")
	}
	holds := 0
	for _, b := range lots {
		if b.held {
			c.say(silent, c.hold(b))
			holds++
		}
		c.release(b)
	}
	eventually(t, 20*time.Second, "all holds are on the disk", func() bool { return queued() >= float64(holds) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 2 {
		c.Plants[silent].Agent.Kill()
		if err := c.Plants[silent].StartAgent(ctx); err != nil {
			t.Fatal(err)
		}
	}
	c.await(20*time.Second, lots, quality.Asking)
	c.Plants[silent].WAN.Heal()
	var held, free []*batch
	for _, b := range lots {
		if b.held {
			held = append(held, b)
		} else {
			free = append(free, b)
		}
	}
	c.await(60*time.Second, held, quality.Held)
	c.awaitFree(60*time.Second, free)
	for _, b := range held {
		if at := c.freed(b, cut); !at.IsZero() {
			t.Errorf("lot %s was free at %s, under a hold that stood on its plant's disk", b.key, at)
		}
	}
	c.invariant("I5")
}

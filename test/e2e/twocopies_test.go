//go:build unix

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/cloud/ledger"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// pair is a firm whose cloud runs as two copies, a and b, on one PostgreSQL database.
type pair struct {
	*firm
	url    string
	copies map[string]*stack.Process
}

func startPair(t *testing.T, plants int) *pair {
	t.Helper()
	p := &pair{url: peerDatabase(t), copies: map[string]*stack.Process{}}
	p.firm = startFirm(t, plants, func(s *stack.Stack) { p.configure(t, s) })
	p.copies["a"] = p.Cloud
	p.launch("b")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of copy a:\n%s\nlog of copy b:\n%s", p.copies["a"].Tail(), p.copies["b"].Tail())
		}
		p.copies["b"].Kill()
		p.Cloud.Kill()
	})
	return p
}

// configure makes the configurations of two copies out of that of one. Each has its anchor file, both have one key.
func (p *pair) configure(t *testing.T, s *stack.Stack) {
	t.Helper()
	text, err := os.ReadFile(s.Path("cloud.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	one := strings.Replace(string(text), databaseURL(t, s), p.url, 1)
	for name, file := range map[string]string{"a": "cloud.yaml", "b": "cloud-b.yaml"} {
		own := strings.Replace(one, "anchors.jsonl", "anchors-"+name+".jsonl", 1)
		if err := os.WriteFile(s.Path(file), []byte("instance: "+name+"\n"+own), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// launch starts a copy, which may have been killed before.
func (p *pair) launch(name string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	if name == "a" {
		if err := p.StartCloud(ctx); err != nil {
			p.t.Fatal(err)
		}
		p.copies[name] = p.Cloud
		return
	}
	process, err := stack.Command{
		Name: "cloud-" + name, Dir: p.Path(""), Program: filepath.Join(bin, "holdfast-cloud"),
		Args: []string{"run", "--config", p.Path("cloud-" + name + ".yaml"), "--log-format", "json"},
	}.Launch()
	if err == nil {
		err = process.Await(ctx)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.copies[name] = process
}

// TestF66_TwoCopies kills each of two copies in turn, without warning, in the middle of what both of them do: lots are
// released, and released ones are held. The other one takes over what the dead one had in hand within seconds. Then the
// server cuts all connections of both, again and again. In the end nothing was lost and nothing was done twice.
func TestF66_TwoCopies(t *testing.T) {
	p := startPair(t, 2)
	lots := append(p.lots(24, 0), p.lots(24, 1)...)
	p.make(lots)
	var slowest time.Duration // from a copy's end until all holds are in the ERP
	first := slices.Concat(lots[:4], lots[24:28])
	for _, b := range first {
		p.release(b)
	}
	p.await(30*time.Second, first, quality.Released)
	p.awaitGates(first) // else the hold that comes next leaves nothing to free
	for round, name := range []string{"a", "b"} {
		held := slices.Concat(first[2*round:2*round+2], first[4+2*round:6+2*round])
		wave := slices.Concat(lots[4+8*round:12+8*round], lots[28+8*round:36+8*round])
		began := p.strike(name, wave, held)
		eventually(t, time.Minute, "the holds are in the ERP", func() bool {
			return !slices.ContainsFunc(held, func(b *batch) bool { return p.free(b) })
		})
		took := time.Since(began)
		slowest = max(slowest, took)
		p.awaitFree(time.Minute, wave)
		t.Logf("copy %s killed among %d releases and %d holds: all holds in the ERP %s after, all releases %s after",
			name, len(wave), len(held), took.Round(100*time.Millisecond), time.Since(began).Round(100*time.Millisecond))
		if took > 30*time.Second {
			t.Errorf("the holds took %s", took)
		}
		p.launch(name)
	}
	p.cut(slices.Concat(lots[20:24], lots[44:48]))
	var free, held []*batch
	for _, b := range lots {
		if b.held {
			held = append(held, b)
		} else {
			free = append(free, b)
		}
	}
	p.await(30*time.Second, free, quality.Released)
	p.await(30*time.Second, held, quality.Held)
	eventually(t, 30*time.Second, "nothing is left to be done", func() bool { return p.due() == 0 })
	for _, b := range lots {
		p.once(b)
	}
	figures(t, "lots=%d holds=%d lost=%d duplicates=%d recovery=%s", len(lots), len(held), p.unfree(free), p.doubled(lots), slowest.Round(100*time.Millisecond))
	p.alertsOnce()
	p.proven()
}

// strike signs releases one after the other, kills a copy after the first few and places holds right after that, and returns
// when it was killed.
func (p *pair) strike(name string, wave, held []*batch) (began time.Time) {
	p.t.Helper()
	for i, b := range wave {
		if i == len(wave)/3 {
			began = time.Now()
			p.copies[name].Kill()
			for _, h := range held {
				h.held = true
				p.say(h.at, p.hold(h))
			}
		}
		p.release(b)
	}
	return began
}

// cut releases lots while the server ends every connection of both copies before each of them. A copy that can't tell
// whether a commit was made may end, as one that was overtaken; its supervisor starts it again.
func (p *pair) cut(wave []*batch) {
	p.t.Helper()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for _, b := range wave {
		<-tick.C // so that the copies are at work again
		if _, err := p.db.ExecContext(p.t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'holdfast-cloud'`); err != nil {
			p.t.Fatal(err)
		}
		p.release(b)
		for name, process := range p.copies {
			if err := process.Err(); err != nil {
				p.t.Logf("copy %s ended: %v\n%s", name, err, process.Tail())
				p.launch(name)
			}
		}
	}
	p.awaitFree(time.Minute, wave)
}

// alertsOnce looks at what both copies told about alerts: none is raised twice without having been cleared.
func (p *pair) alertsOnce() {
	p.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Kafka.Addrs()...), kgo.ConsumeTopics("holdfast.alert.v1"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		p.t.Fatal(err)
	}
	defer client.Close()
	raised := map[string]bool{}
	for {
		ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Second)
		records := client.PollFetches(ctx).Records()
		cancel()
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			var said struct{ Code, About string }
			if err := json.Unmarshal(r.Value, &said); err != nil {
				p.t.Fatal(err)
			}
			kind := ""
			for _, h := range r.Headers {
				if h.Key == event.HeaderType {
					kind = string(h.Value)
				}
			}
			up, name := strings.Contains(kind, "raised"), said.Code+" "+said.About
			if up && raised[name] {
				p.t.Errorf("alert %s was raised twice", name)
			}
			raised[name] = up
		}
	}
}

// proven verifies the ledger by the anchor file of each copy, and that each has signed or taken over all.
func (p *pair) proven() {
	p.t.Helper()
	for _, process := range p.copies {
		if _, err := process.Stop(20 * time.Second); err != nil { // with a last checkpoint
			p.t.Error(err)
		}
	}
	s, err := store.Open(p.t.Context(), p.url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var export bytes.Buffer
	entries, last := int64(0), store.Checkpoint{}
	if err := s.View(p.t.Context(), func(tx *store.Tx) error {
		if last, err = tx.LastCheckpoint(); err != nil {
			return err
		}
		rows, err := tx.SealedAfter(0, 1_000_000)
		encoder := json.NewEncoder(&export)
		for i := range rows {
			if err == nil {
				err = encoder.Encode(ledger.LineOf(&rows[i]))
			}
		}
		entries = int64(len(rows))
		return err
	}); err != nil {
		p.t.Fatal(err)
	}
	key, err := ledger.ReadPublicKey(p.Path("ledger.key"))
	if err != nil {
		p.t.Fatal(err)
	}
	most := int64(0)
	for _, name := range []string{"a", "b"} {
		anchors, err := os.ReadFile(p.Path("anchors-" + name + ".jsonl"))
		if err != nil {
			p.t.Fatal(err)
		}
		report, err := ledger.Verify(bytes.NewReader(export.Bytes()), bytes.NewReader(anchors), key)
		if err != nil || report.Anchors == 0 {
			p.t.Errorf("the file of copy %s proves %+v, %v", name, report, err)
		}
		most = max(most, report.Anchored)
	}
	if most != entries || last.Place != entries || entries == 0 {
		p.t.Errorf("%d entries, %d anchored, checkpoint at %d", entries, most, last.Place)
	}
	p.t.Logf("%d ledger entries in one chain", entries)
}

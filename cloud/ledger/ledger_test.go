package ledger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a sealer on a store of its own, with a clock that tests move.
type bench struct {
	*Sealer
	t       *testing.T
	clock   time.Time
	entries int64
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, s := t.TempDir(), storetest.Open(t)
	b := &bench{t: t, clock: time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC)}
	cfg := Config{KeyFile: config.Path(filepath.Join(dir, "ledger.key")), AnchorFile: config.Path(filepath.Join(dir, "anchors.jsonl"))}
	var err error
	if b.Sealer, err = New(cfg, "a", s, func() time.Time { return b.clock }, zerolog.Nop(), prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	return b
}

// enter adds n entries and seals them.
func (b *bench) enter(n int) {
	b.t.Helper()
	if err := b.store.Update(b.t.Context(), func(tx *store.Tx) error {
		for range n {
			b.entries++
			if err := tx.AddEntry(&store.Entry{
				At: b.clock, Principal: "p1/gw1", Act: "quality.hold.placed.v1", Object: "hold:x", Version: b.entries, EventID: "e", Lot: "lot::M:1",
				Reason: "torque <61.2> & \"limit\"", Now: `{"n":1}`,
			}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	b.turn(false)
}

func (b *bench) turn(checkpoint bool) {
	b.t.Helper()
	if err := b.Sealer.turn(b.t.Context(), checkpoint); err != nil {
		b.t.Fatal(err)
	}
}

// export returns the chain's lines.
func (b *bench) export() (all []Line) {
	b.t.Helper()
	if err := b.store.View(b.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Entries(0, 1000)
		for i := range rows {
			all = append(all, LineOf(&rows[i]))
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return all
}

func (b *bench) anchors() string {
	b.t.Helper()
	text, err := os.ReadFile(string(b.cfg.AnchorFile))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

func (b *bench) public() ed25519.PublicKey { return b.key.Public().(ed25519.PublicKey) }

func (b *bench) verify(lines []Line, anchors string) (Report, error) {
	b.t.Helper()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	for i := range lines {
		if err := encoder.Encode(&lines[i]); err != nil {
			b.t.Fatal(err)
		}
	}
	return Verify(&text, strings.NewReader(anchors), b.public())
}

// rehash makes a chain out of lines again, as one would who can write the database.
func rehash(t *testing.T, lines []Line) []Line {
	t.Helper()
	prev := ""
	for i := range lines {
		l := &lines[i]
		l.Place, l.Prev = int64(i+1), prev
		e, err := l.entry()
		if err != nil {
			t.Fatal(err)
		}
		l.Hash = EntryHash(l.Place, l.Prev, e)
		prev = l.Hash
	}
	return lines
}

func TestVerify(t *testing.T) {
	b := newBench(t)
	b.enter(4)
	b.turn(true)
	b.enter(3)
	b.turn(true)
	b.enter(2)
	whole := b.export()
	t.Run("proves a whole chain and names the tail", func(t *testing.T) {
		r, err := b.verify(whole, b.anchors())
		want := Report{Entries: 9, Head: whole[8].Hash, Anchors: 2, Anchored: 7, Unanchored: 2, TailSince: whole[7].At}
		if err != nil || !cmp.Equal(r, want) {
			t.Errorf("want %+v, got %+v, %v", want, r, err)
		}
	})
	edit := func(f func([]Line) []Line) func([]Line) []Line { return f }
	for _, c := range []struct {
		name   string
		tamper func([]Line) []Line
		names  string
	}{
		{"a reason was edited", edit(func(l []Line) []Line { l[2].Reason = "nothing"; return l }), "place 3 was changed"},
		{"a principal was edited", edit(func(l []Line) []Line { l[0].Principal = "ann"; return l }), "place 1 was changed"},
		{"a time was edited by a microsecond", edit(func(l []Line) []Line { l[4].At = strings.Replace(l[4].At, "123456", "123457", 1); return l }), "place 5 was changed"},
		{"a version was edited", edit(func(l []Line) []Line { l[1].Version = 99; return l }), "place 2 was changed"},
		{"text was moved from one field to the next", edit(func(l []Line) []Line { l[3].Was, l[3].Now = l[3].Now, l[3].Was; return l }), "place 4 was changed"},
		{"an edited entry was hashed again", edit(func(l []Line) []Line {
			l[2].Reason = "nothing"
			e, _ := l[2].entry()
			l[2].Hash = EntryHash(3, l[2].Prev, e)
			return l
		}), "place 4 does not follow"},
		{"the last entry of all was edited", edit(func(l []Line) []Line { l[8].Act = "x"; return l }), "place 9 was changed"},
		{"the first was deleted", edit(func(l []Line) []Line { return l[1:] }), "place 1 is missing"},
		{"one in the middle was deleted", edit(func(l []Line) []Line { return slices.Delete(l, 4, 5) }), "place 5 is missing"},
		{"two changed places", edit(func(l []Line) []Line { l[2], l[3] = l[3], l[2]; return l }), "place 3 is missing"},
		{"one stands twice", edit(func(l []Line) []Line { return slices.Insert(l, 3, l[2]) }), "place 4 is missing"},
		{"the end was cut off", edit(func(l []Line) []Line { return l[:6] }), "the chain ends at place 6"},
		{"all was cut off", edit(func([]Line) []Line { return nil }), "the chain ends at place 0"},
		{"one was edited and all hashed again", edit(func(l []Line) []Line { l[1].Reason = "nothing"; return rehash(t, l) }), "place 4 is not what was anchored"},
		{"one was deleted and all hashed again", edit(func(l []Line) []Line { return rehash(t, slices.Delete(l, 5, 6)) }), "place 7 is not what was anchored"},
		{"one was put in and all hashed again", edit(func(l []Line) []Line { return rehash(t, slices.Insert(l, 1, l[0])) }), "place 4 is not what was anchored"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.verify(c.tamper(slices.Clone(whole)), b.anchors())
			if problem.CodeOf(err) != problem.LedgerBroken || !strings.Contains(err.Error(), c.names) {
				t.Errorf("want %q, got %v", c.names, err)
			}
		})
	}
}

func TestVerify_Anchors(t *testing.T) {
	b := newBench(t)
	b.enter(4)
	b.turn(true)
	b.enter(3)
	b.turn(true)
	lines := strings.SplitAfter(b.anchors(), "\n")
	change := func(n int, f func(*Anchor)) string {
		all := slices.Clone(lines)
		var a Anchor
		if err := json.Unmarshal([]byte(all[n]), &a); err != nil {
			t.Fatal(err)
		}
		f(&a)
		text, _ := json.Marshal(a)
		all[n] = string(text) + "\n"
		return strings.Join(all, "")
	}
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(key ed25519.PrivateKey, a *Anchor) {
		a.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key, a.Text()))
	}
	for _, c := range []struct {
		name    string
		anchors string
		names   string
	}{
		{"its count was edited", change(0, func(a *Anchor) { a.Count = 3 }), "anchor line 1: signature"},
		{"its time was edited", change(1, func(a *Anchor) { a.At = "2026-11-24T13:00:00Z" }), "anchor line 2: signature"},
		{"a stranger signed it again", change(1, func(a *Anchor) { a.Head = strings.Repeat("0", 64); sign(stranger, a) }), "anchor line 2: signature"},
		{"our key signed another root", change(1, func(a *Anchor) { a.Root = a.Head; sign(b.key, a) }), "the entries up to place 7"},
		{"two changed places", lines[1] + lines[0], "anchor line 2: count 4 is below"},
		{"a line was torn", lines[0] + lines[1][:20], "anchor line 2"},
		{"it is of a longer chain", change(1, func(a *Anchor) { a.Count = 8; sign(b.key, a) }), "the chain ends at place 7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := b.verify(b.export(), c.anchors); problem.CodeOf(err) != problem.LedgerBroken || !strings.Contains(err.Error(), c.names) {
				t.Errorf("want %q, got %v", c.names, err)
			}
		})
	}
	t.Run("the last one was cut off: what it proved is a tail", func(t *testing.T) {
		r, err := b.verify(b.export(), lines[0])
		if err != nil || r.Anchored != 4 || r.Unanchored != 3 {
			t.Fatalf("got %+v, %v", r, err)
		}
		if err := r.Tail(b.clock.Add(time.Hour)); problem.CodeOf(err) != problem.LedgerUnanchored {
			t.Errorf("an old tail gives %v", err)
		}
		if err := r.Tail(b.clock.Add(time.Second)); err != nil {
			t.Errorf("a fresh tail gives %v", err)
		}
	})
}

// TestVerify_AfterCrash lets the process die between anchor file and database, twice in a row.
func TestVerify_AfterCrash(t *testing.T) {
	b := newBench(t)
	b.enter(4)
	b.turn(true)
	forget := func() {
		// As if the transaction behind the anchor file had not been committed.
		a := Anchor{Count: b.entries, At: event.At(b.clock).String(), KeyID: KeyID(b.public())}
		lines := b.export()
		var hashes []string
		for i := 4; i < len(lines); i++ {
			hashes = append(hashes, lines[i].Hash)
		}
		a.Head, a.Root = hashes[len(hashes)-1], merkle(hashes)
		a.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(b.key, a.Text()))
		text, _ := json.Marshal(a)
		if err := appendSynced(string(b.cfg.AnchorFile), append(text, '\n')); err != nil {
			t.Fatal(err)
		}
	}
	b.enter(3)
	forget()
	b.enter(2)
	forget()
	b.turn(true)
	b.enter(1)
	b.turn(true)
	r, err := b.verify(b.export(), b.anchors())
	if err != nil || r.Entries != 10 || r.Anchors != 5 || r.Anchored != 10 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestSealer_Seal(t *testing.T) {
	b := newBench(t)
	b.enter(2)
	if r, err := b.verify(b.export(), ""); err != nil || r.Entries != 2 || r.Unsealed != 0 {
		t.Fatalf("got %+v, %v", r, err)
	}
	t.Run("waits while another process has the lease", func(t *testing.T) {
		second := *b.Sealer
		second.owner = "b"
		b.entries++
		if err := b.store.Update(t.Context(), func(tx *store.Tx) error {
			return tx.AddEntry(&store.Entry{At: b.clock, Principal: "x", Act: "a", Object: "o", Version: 1})
		}); err != nil {
			t.Fatal(err)
		}
		if n, err := second.seal(t.Context()); err != nil || n != 0 {
			t.Fatalf("sealed %d, %v", n, err)
		}
		b.clock = b.clock.Add(leaseLength)
		if n, err := second.seal(t.Context()); err != nil || n != 1 {
			t.Errorf("sealed %d, %v", n, err)
		}
	})
	t.Run("an entry without change signs nothing", func(t *testing.T) {
		b.clock = b.clock.Add(leaseLength) // of the other process
		b.turn(true)
		before := b.anchors()
		b.turn(true)
		if b.anchors() != before {
			t.Error("the same head was anchored again")
		}
	})
}

func TestSealer_Checkpoint(t *testing.T) {
	t.Run("waits while another process has the lease", func(t *testing.T) {
		b := newBench(t)
		b.enter(2)
		second := *b.Sealer
		second.owner = "b"
		if err := second.checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(string(b.cfg.AnchorFile)); err == nil {
			t.Fatalf("signed without the lease: %q", b.anchors())
		}
		b.clock = b.clock.Add(leaseLength)
		if err := second.checkpoint(t.Context()); err != nil || strings.Count(b.anchors(), "\n") != 1 {
			t.Errorf("did not sign with the lease: %v, %q", err, b.anchors())
		}
	})
	t.Run("is not recorded once the lease is lost", func(t *testing.T) {
		b := newBench(t)
		b.enter(2)
		a := Anchor{Count: 2, At: event.At(b.clock).String()}
		if err := b.record(t.Context(), &a, "line", 7); err == nil {
			t.Error("recorded under a lease that another process had meanwhile")
		}
		b.turn(true)
		if r, err := b.verify(b.export(), b.anchors()); err != nil || r.Anchored != 2 {
			t.Errorf("got %+v, %v", r, err)
		}
	})
}

func TestSealer_Unanchored(t *testing.T) {
	b := newBench(t)
	age := func(want time.Duration) {
		t.Helper()
		if got := b.unanchored(); got != want.Seconds() {
			t.Errorf("unanchored for %v s, want %v", got, want)
		}
	}
	age(0)
	if err := b.store.Update(t.Context(), func(tx *store.Tx) error {
		return tx.AddEntry(&store.Entry{At: b.clock, Principal: "x", Act: "a", Object: "o", Version: 1})
	}); err != nil {
		t.Fatal(err)
	}
	b.clock = b.clock.Add(30 * time.Second)
	age(30 * time.Second) // not sealed yet
	b.turn(false)
	b.clock = b.clock.Add(30 * time.Second)
	age(time.Minute)
	b.turn(true)
	age(0)
	b.enter(1)
	b.clock = b.clock.Add(time.Second)
	age(time.Second) // since this entry, not since the checkpoint before it
}

func TestSealer_Run(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.store.Update(t.Context(), func(tx *store.Tx) error {
		return tx.AddEntry(&store.Entry{At: b.clock, Principal: "x", Act: "a", Object: "o", Version: 1})
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if r, err := b.verify(b.export(), b.anchors()); err != nil || r.Anchored != 1 {
		t.Errorf("after the end: %+v, %v", r, err)
	}
}

func TestLoadKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.key")
	first, err := loadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside the key stand %v, %v", left, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key is %v, %v", info.Mode(), err)
	}
	again, err := loadKey(path)
	if err != nil || !first.Equal(again) {
		t.Errorf("read again it is another one, %v", err)
	}
	public, err := ReadPublicKey(path)
	if err != nil || !public.Equal(first.Public()) {
		t.Errorf("public key differs, %v", err)
	}
	if _, err := ReadPublicKey(path + ".none"); err == nil {
		t.Error("reading a missing key made one")
	}
	if err := os.WriteFile(path, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadKey(path); problem.CodeOf(err) != problem.ConfigFile {
		t.Errorf("got %v", err)
	}
}

func TestMerkle(t *testing.T) {
	seen := map[string]bool{}
	var hashes []string
	for n := range 9 {
		hashes = append(hashes, fmt.Sprintf("%064d", n))
		root := merkle(hashes)
		if seen[root] {
			t.Errorf("%d hashes have the root of fewer", n+1)
		}
		seen[root] = true
	}
}

func FuzzVerify(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	l := Line{Place: 1, At: "2026-11-24T12:00:00Z", Principal: "x", Act: "a", Object: "o", Version: 1}
	e, err := l.entry()
	if err != nil {
		f.Fatal(err)
	}
	l.Hash = EntryHash(1, "", e)
	good, _ := json.Marshal(l)
	a := Anchor{Count: 1, Head: l.Hash, Root: merkle([]string{l.Hash}), At: l.At}
	a.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key, a.Text()))
	anchor, _ := json.Marshal(a)
	f.Add(string(good), string(anchor))
	f.Add(string(good)+"\n\n{}", "")
	f.Add("{", `{"count":-1}`)
	f.Add("null", "null")
	f.Fuzz(func(t *testing.T, export, anchors string) {
		r, err := Verify(strings.NewReader(export), strings.NewReader(anchors), key.Public().(ed25519.PublicKey))
		if err == nil && (r.Anchored > r.Entries || r.Anchored+r.Unanchored != r.Entries) {
			t.Errorf("report %+v", r)
		}
		if err != nil && problem.CodeOf(err) != problem.LedgerBroken {
			t.Errorf("error without its code: %v", err)
		}
	})
}

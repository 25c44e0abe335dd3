package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/ledger"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
)

// chain makes an export of n sealed entries, an anchor of the first that many, and the key.
func chain(t *testing.T, n, anchored int, at time.Time) (export, anchors, key string) {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	var lines, anchor bytes.Buffer
	head := ""
	level := []string{}
	for i := range n {
		e := store.Sealed{Place: int64(i + 1), Prev: head, Entry: store.Entry{
			At: at, Principal: "alice", Act: "quality.hold.placed.v1", Object: "hold:1", Version: int64(i + 1), Reason: "scratch",
		}}
		e.Hash = ledger.EntryHash(e.Place, e.Prev, &e.Entry)
		head = e.Hash
		level = append(level, head)
		b, err := json.Marshal(ledger.LineOf(&e))
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(b, '\n'))
		if i+1 == anchored {
			a := ledger.Anchor{Count: e.Place, Head: head, Root: root(level), At: "2026-11-24T09:15:00Z", KeyID: "k"}
			a.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(private, a.Text()))
			if b, err = json.Marshal(a); err != nil {
				t.Fatal(err)
			}
			anchor.Write(append(b, '\n'))
		}
	}
	return lines.String(), anchor.String(), base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
}

// root is the Merkle root of at most two hashes.
func root(hashes []string) string {
	if len(hashes) == 1 {
		return hashes[0]
	}
	sum := sha256.Sum256([]byte(hashes[0] + hashes[1]))
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, x := range sum {
		b.WriteByte(digits[x>>4])
		b.WriteByte(digits[x&15])
	}
	return b.String()
}

func TestProgram_LedgerVerify(t *testing.T) {
	fresh, old := time.Date(2026, 11, 24, 9, 19, 30, 0, time.UTC), time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	offline := func(t *testing.T, export, anchors, key string) ran {
		t.Helper()
		dir := t.TempDir()
		for name, text := range map[string]string{"export": export, "anchors": anchors, "key": key + "\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return run(t, nil, "", "ledger", "verify", "--export", filepath.Join(dir, "export"), "--anchors", filepath.Join(dir, "anchors"),
			"--key", filepath.Join(dir, "key"))
	}
	t.Run("OK", func(t *testing.T) {
		export, anchors, key := chain(t, 2, 2, fresh)
		r := offline(t, export, anchors, key)
		if r.code != cli.ExitOK || !strings.HasPrefix(r.out, "The chain is whole: 2 entries, 1 anchors") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("OKFreshTail", func(t *testing.T) {
		export, anchors, key := chain(t, 3, 2, fresh)
		r := offline(t, export, anchors, key)
		if r.code != cli.ExitOK || !strings.Contains(r.out, "1 entries since 2026-11-24 09:19:30 UTC are proven by the database alone") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("ErrOldTail", func(t *testing.T) {
		export, anchors, key := chain(t, 3, 2, old)
		if r := offline(t, export, anchors, key); r.code != cli.ExitPartial || !strings.Contains(r.err, "E-7202") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("ErrChanged", func(t *testing.T) {
		export, anchors, key := chain(t, 2, 2, fresh)
		r := offline(t, strings.Replace(export, "scratch", "nothing", 1), anchors, key)
		if r.code != cli.ExitFailed || !strings.Contains(r.err, "place 1 was changed") || !strings.Contains(r.err, "E-7201") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("ErrCut", func(t *testing.T) {
		export, anchors, key := chain(t, 2, 2, fresh)
		r := offline(t, export[:strings.IndexByte(export, '\n')+1], anchors, key)
		if r.code != cli.ExitFailed || !strings.Contains(r.err, "it was cut") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("OKByAPI", func(t *testing.T) {
		export, anchors, key := chain(t, 2, 2, fresh)
		lines := strings.Split(strings.TrimSpace(export), "\n")
		s := newStub(t, map[string]string{
			"GET /ledger?limit=1000":         `{"entries":[` + lines[0] + `],"next":1}`,
			"GET /ledger?after=1&limit=1000": `{"entries":[` + lines[1] + `]}`,
			"GET /ledger/key":                `{"key":"` + key + `","id":"k"}`,
			"GET /anchors":                   anchors,
		})
		r := s.run(t, "ledger", "verify")
		if r.code != cli.ExitOK || !strings.HasPrefix(r.out, "The chain is whole: 2 entries") || !strings.Contains(r.err, "server's own word") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("ErrExportFails", func(t *testing.T) {
		_, anchors, key := chain(t, 2, 2, fresh)
		s := newStub(t, map[string]string{"GET /ledger/key": `{"key":"` + key + `","id":"k"}`, "GET /anchors": anchors})
		if r := s.run(t, "ledger", "verify"); r.code != cli.ExitFailed || !strings.Contains(r.err, "E-8003") {
			t.Errorf("%+v", r)
		}
	})
}

package opcua

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFolder_Accept(t *testing.T) {
	now := time.Now()
	ca := newAuthority(t, "ca")
	const uri = "urn:example:server"
	f := Folder{t.TempDir()}
	tr := trust{f.Dir}
	if err := tr.prepare(); err != nil {
		t.Fatal(err)
	}
	der := ca.issue(t, 5, uri)
	if _, err := tr.judge(peer{der, uri, "press1"}, now); err == nil {
		t.Fatal("an unknown certificate is trusted")
	}
	e, err := f.Rejected(thumbprintOf(der), now)
	if err != nil || e.Use != UseRejected {
		t.Fatalf("rejected is %+v, %v", e, err)
	}
	if _, err := f.Accept(e); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.judge(peer{der, uri, "press1"}, now); err != nil {
		t.Errorf("an accepted certificate is not trusted: %v", err)
	}
	if e, err = f.Rejected(thumbprintOf(der), now); err != nil || e.Use != UseTrusted {
		t.Errorf("accepted is %+v, %v", e, err)
	}
	if _, err := f.Rejected(strings.Repeat("0", 40), now); !errors.Is(err, ErrNotRejected) {
		t.Errorf("one that does not wait: %v", err)
	}
}

// TestFolder_Rejected says no to what a source would refuse all the same.
func TestFolder_Rejected(t *testing.T) {
	now := time.Now()
	ca := newAuthority(t, "ca")
	der := ca.issue(t, 5, "urn:example:server")
	for name, c := range map[string]struct {
		files map[string][]byte
		at    time.Time
		want  string
	}{
		"OK":            {nil, now, ""},
		"ErrExpired":    {nil, now.Add(48 * time.Hour), "expired on"},
		"ErrNotYet":     {nil, now.Add(-48 * time.Hour), "check this host's clock first"},
		"ErrRevoked":    {map[string][]byte{"issuers/ca.der": ca.cert.Raw, "crl/ca.crl": ca.revoke(t, 5)}, now, "was revoked"},
		"ErrUnreadable": {map[string][]byte{"trusted/half.der": {1}}, now, "half.der in trusted is no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			f := Folder{t.TempDir()}
			tr := trust{f.Dir}
			for file, content := range c.files {
				put(t, tr, file, content)
			}
			put(t, tr, "rejected/any.der", der)
			e, err := f.Rejected(thumbprintOf(der), c.at)
			if e.Leaf == nil || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v; want %q", e.Leaf, err, c.want)
			}
		})
	}
}

// TestTrust_RejectBounded shows that a server with a new certificate each time does not fill the disk.
func TestTrust_RejectBounded(t *testing.T) {
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	tr := trust{t.TempDir()}
	if err := tr.prepare(); err != nil {
		t.Fatal(err)
	}
	for i := range mostRejected {
		file := tr.path(fmt.Sprintf("rejected/%03d.der", i))
		if err := os.WriteFile(file, []byte{1}, 0o600); err != nil {
			t.Fatal(err)
		}
		if at := now.Add(time.Duration(i) * time.Second); os.Chtimes(file, at, at) != nil {
			t.Fatal("cannot set times")
		}
	}
	if err := os.WriteFile(tr.path("rejected/.new-1"), []byte{1}, 0o600); err != nil { // left by a kill
		t.Fatal(err)
	}
	leaf := newAuthority(t, "ca").cert
	file, err := tr.reject(leaf)
	if err != nil || filepath.Base(file) != thumbprint(leaf)+".der" {
		t.Fatalf("rejected as %s, %v", file, err)
	}
	files, err := tr.files("rejected")
	if err != nil || len(files) != mostRejected {
		t.Errorf("%d files, %v", len(files), err)
	}
	if _, err := os.Stat(tr.path("rejected/000.der")); !os.IsNotExist(err) {
		t.Error("the longest rejected one is still there")
	}
}

func TestParseThumbprint(t *testing.T) {
	const sha1, sha256 = "4aa28b2474ee0e27bd499a46379d850306be0f86", "1ae659db57b479d37f9f102f5004f806bf77c2cf076886a5bc0343cac37bd1cd"
	for text, want := range map[string]string{
		sha1: sha1, strings.ToUpper(sha1): sha1, "4A:A2:8B:24:74:EE:0E:27:BD:49:9A:46:37:9D:85:03:06:BE:0F:86": sha1,
		"4aa28b24 74ee0e27 bd499a46 379d8503 06be0f86": sha1, sha256: sha256, "": "", sha1[:38]: "", sha1[:39] + "g": "", "../" + sha1: "",
	} {
		got, err := ParseThumbprint(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q gives %q, %v; want %q", text, got, err, want)
		}
	}
}

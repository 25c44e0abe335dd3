package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
)

// pki is a plant whose agent reads two OPC UA servers.
type pki struct {
	t          *testing.T
	dir        string
	configFile string
}

// newPKI makes one with certificates of testdata/cert, by their place in the trust folder.
func newPKI(t *testing.T, files map[string]string) *pki {
	t.Helper()
	p := &pki{t: t, dir: t.TempDir()}
	p.configFile = filepath.Join(p.dir, "agent.yaml")
	text := `{plant: p1, agent: gw1, data: data, kafka: {brokers: ["127.0.0.1:9092"]}, sources: [
  {id: press1, opcua: {endpoint: "opc.tcp://press1:4840", items: [{node: "nsu=urn:example:press1;s=Torque"}]}},
  {id: press1-parts, opcua: {endpoint: "opc.tcp://press1:4840", items: [{node: "nsu=urn:example:press1;s=Part"}]}}]}`
	p.write(p.configFile, []byte(text))
	for _, sub := range []string{"trusted", "rejected", "issuers", "crl", "own"} {
		if err := os.MkdirAll(p.path(sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for to, from := range files {
		p.write(p.path(to), p.read(filepath.Join("testdata", "cert", from)))
	}
	return p
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, "data", "pki", name) }

func (p *pki) write(path string, content []byte) {
	p.t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pki) read(path string) []byte {
	p.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	return content
}

// call runs a command; its output has DIR for the folder of the test.
func (p *pki) call(input string, args ...string) result {
	p.t.Helper()
	r := call(p.t, input, nil, append([]string{"--config", p.configFile, "--utc"}, args...)...)
	for _, text := range []*string{&r.out, &r.err} {
		*text = filepath.ToSlash(strings.ReplaceAll(*text, p.dir, "DIR"))
	}
	return r
}

// thumbOf returns the thumbprint of a certificate of testdata/cert.
func thumbOf(t *testing.T, name string) string {
	t.Helper()
	e := opcua.ReadEntry(opcua.UseRejected, filepath.Join("testdata", "cert", name))
	if e.Err != nil {
		t.Fatal(e.Err)
	}
	return e.Thumbprint()
}

func everyone(t *testing.T) *pki {
	return newPKI(t, map[string]string{
		"own/holdfast.pem": "own.der", "trusted/press1.der": "server-old.der", "rejected/" + thumbOf(t, "server.der") + ".der": "server.der",
		"rejected/" + thumbOf(t, "server-expired.der") + ".der": "server-expired.der",
	})
}

func TestCertShow(t *testing.T) {
	p := everyone(t)
	p.write(p.path("issuers/half.der"), []byte{0x30})
	for name, args := range map[string][]string{
		"cert-show.txt": {"cert", "show"}, "cert-show.json": {"cert", "show", "-o", "json"}, "cert-pending.txt": {"cert", "pending"},
		"cert-one.txt": {"cert", "show", thumbOf(t, "server-old.der")},
	} {
		r := p.call("", args...)
		if r.code != cli.ExitOK || r.err != "" {
			t.Fatalf("%s: exit %d: %s", name, r.code, r.err)
		}
		golden(t, name, r.out)
	}
	if r := newPKI(t, nil).call("", "cert", "list"); r.code != cli.ExitOK || r.out != "none\n" {
		t.Errorf("without certificates: exit %d: %s%s", r.code, r.out, r.err)
	}
}

func TestCertTrust(t *testing.T) {
	p := everyone(t)
	name := thumbOf(t, "server.der")
	if r := p.call("n\n", "cert", "trust", name); r.code != cli.ExitUsage || len(p.trusted()) != 1 {
		t.Fatalf("not confirmed: exit %d, trusted %v\n%s", r.code, p.trusted(), r.err)
	}
	if r := p.call("", "cert", "trust", name); r.code != cli.ExitUsage || len(p.trusted()) != 1 {
		t.Fatalf("nobody there to confirm: exit %d, trusted %v\n%s", r.code, p.trusted(), r.err)
	}
	r := p.call("y\n", "cert", "trust", strings.ToUpper(name[:20])+":"+name[20:])
	if r.code != cli.ExitOK {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	golden(t, "cert-trust.txt", "stderr:\n"+r.err+"\nstdout:\n"+r.out)
	if _, err := os.Stat(p.path("rejected/" + name + ".der")); !os.IsNotExist(err) {
		t.Errorf("it is still rejected: %v", err)
	}
	r = p.call("", "cert", "trust", name, "-o", "json")
	var d trusted
	if err := json.Unmarshal([]byte(r.out), &d); err != nil || r.code != cli.ExitOK || d.Changed || d.Certificate.Use != "trusted" || d.Certificate.Thumbprint != name || len(d.Others) != 1 {
		t.Errorf("a second time: exit %d, %v: %s%s", r.code, err, r.out, r.err)
	}
}

func (p *pki) trusted() []string {
	files, _ := filepath.Glob(p.path("trusted/*"))
	return files
}

func TestCertTrust_Refused(t *testing.T) {
	for name, c := range map[string]struct {
		arg  string
		code int
		says string
	}{
		"ErrExpired":     {thumbOf(t, "server-expired.der"), cli.ExitRefused, "expired on 2026-11-01"},
		"ErrNoURI":       {thumbOf(t, "no-uri.der"), cli.ExitRefused, "names no application URI"},
		"ErrSeveral":     {thumbOf(t, "server-old.der"), cli.ExitConfig, "holds more than this one certificate"},
		"ErrNoneWaits":   {strings.Repeat("ab", 20), cli.ExitUsage, "cert pending"},
		"ErrNoThumb":     {"press1", cli.ExitUsage, "is no thumbprint"},
		"ErrHalfAThumb":  {thumbOf(t, "server.der")[:20], cli.ExitUsage, "40 hex digits"},
		"OKByTheLongOne": {"", cli.ExitOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := everyone(t)
			p.write(p.path("rejected/no-uri.der"), p.read("testdata/cert/no-uri.der"))
			if err := os.Remove(p.path("trusted/press1.der")); err != nil {
				t.Fatal(err)
			}
			p.write(p.path("rejected/two.der"), append(p.read("testdata/cert/server-old.der"), p.read("testdata/cert/own.der")...))
			if c.arg == "" {
				c.arg = opcua.Fingerprint(opcua.ReadEntry(opcua.UseRejected, "testdata/cert/server.der").Leaf)
			}
			r := p.call("", "cert", "trust", "-y", c.arg)
			if r.code != c.code || !strings.Contains(r.err, c.says) {
				t.Errorf("exit %d: want %d with %q\n%s", r.code, c.code, c.says, r.err)
			}
			if trusted := len(p.trusted()); (trusted == 1) != (c.code == cli.ExitOK) {
				t.Errorf("%d trusted", trusted)
			}
		})
	}
}

func TestCertRenew(t *testing.T) {
	p := everyone(t)
	if r := p.call("", "cert", "renew", "--use", "-y"); r.code != cli.ExitUsage || !strings.Contains(r.err, "no next certificate has been prepared") {
		t.Errorf("nothing prepared: exit %d: %s", r.code, r.err)
	}
	var first, second renewed
	for _, d := range []*renewed{&first, &second} {
		r := p.call("", "cert", "renew", "-o", "json")
		if err := json.Unmarshal([]byte(r.out), d); err != nil || r.code != cli.ExitOK || d.InUse || d.Certificate.Days != 730 || d.Public != "DIR/data/pki/own/holdfast.next.der" {
			t.Fatalf("exit %d, %v: %s%s", r.code, err, r.out, r.err)
		}
	}
	if first.Certificate.Thumbprint != second.Certificate.Thumbprint {
		t.Error("the second call made another certificate: the servers were given the first")
	}
	if r := p.call("", "cert", "show", thumbOf(t, "own.der")); r.code != cli.ExitOK {
		t.Errorf("the present certificate is gone before its time: %s", r.err)
	}
	if r := p.call("", "cert", "renew", "--use"); r.code != cli.ExitUsage {
		t.Errorf("nobody confirmed: exit %d", r.code)
	}
	r := p.call("y\n", "cert", "renew", "--use")
	if r.code != cli.ExitOK || !strings.Contains(r.err, "opc.tcp://press1:4840") || !strings.Contains(r.out, "holdfast.previous.pem") {
		t.Fatalf("exit %d: %s%s", r.code, r.out, r.err)
	}
	own := opcua.ReadEntry(opcua.UseOwn, p.path("own/holdfast.pem"))
	previous := opcua.ReadEntry(opcua.UseOwn, p.path("own/holdfast.previous.pem"))
	if own.Thumbprint() != first.Certificate.Thumbprint || previous.Thumbprint() != thumbOf(t, "own.der") {
		t.Errorf("own is %s, previous %s", own.Thumbprint(), previous.Thumbprint())
	}
}

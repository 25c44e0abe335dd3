package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// withAdmin gives the cloud of a stack that was not started yet an administrator, root, with a token beside alice's.
func withAdmin(t *testing.T, s *stack.Stack) {
	t.Helper()
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Path("root.token"), []byte("hf_"+base64.RawURLEncoding.EncodeToString(b[:])+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.Path("cloud.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	with := bytes.Replace(text, []byte("tokens: ["), []byte("tokens: [{ principal: root, roles: [admin], token_file: root.token }, "), 1)
	if bytes.Equal(with, text) {
		t.Fatalf("cloud.yaml has no tokens:\n%s", text)
	}
	if err := os.WriteFile(s.Path("cloud.yaml"), with, 0o600); err != nil {
		t.Fatal(err)
	}
}

// person is a user of the cloud with a password of their own.
func person(t *testing.T, s *stack.Stack, name, printed, id string, roles ...string) {
	t.Helper()
	for file, password := range map[string]string{".first": "given to " + name + " by root", ".password": "known to " + name + " alone"} {
		if err := os.WriteFile(s.Path(name+file), []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"user", "add", name, "--printed-name", printed, "--person", id, "--password-file", s.Path(name + ".first")}
	for _, r := range roles {
		args = append(args, "--role", r)
	}
	as := []string{"--url", "http://" + s.Cloud.Address, "--token-file", s.Path("root.token"), "--no-color", "-y", "--timeout", "1m"}
	if _, _, code := cli(t, "holdfast-cloud", append(args, as...)...); code != 0 {
		t.Fatalf("user add %s exits %d", name, code)
	}
	if _, _, code := cloudCLI(t, s, "user", "passwd", name, "--timeout", "1m", "--old-password-file", s.Path(name+".first"), "--password-file", s.Path(name+".password")); code != 0 {
		t.Fatalf("user passwd %s exits %d", name, code)
	}
}

// coverage returns what a lot's release waits for.
func coverage(t *testing.T, s *stack.Stack, lot string) (c api.Coverage) {
	t.Helper()
	out, _, code := cloudCLI(t, s, "coverage", "show", "--lot", lot, "-o", "json")
	if err := json.Unmarshal([]byte(out), &c); code != 0 || err != nil {
		t.Fatalf("coverage show exits %d: %v", code, err)
	}
	return c
}

// TestB088_SecondSignatureOfOnePerson: the gateway of a plant is dead, so that a lot cannot be released. Two persons sign
// for its answer; one person with two accounts cannot, nor can one alone, nor an administrator.
func TestB088_SecondSignatureOfOnePerson(t *testing.T) {
	cfg := stack.Config{}
	cfg.SAP.AutoCreate = true
	s := build(t, cfg)
	withAdmin(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, begin := range []func(context.Context, ...string) error{s.StartCloud, s.StartAgent} {
		if err := begin(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.WaitLive(ctx); err != nil {
		t.Fatal(err)
	}
	person(t, s, "anna", "Anna Weber", "4711", "quality")
	person(t, s, "anna-2", "Anna Weber", "4711", "quality")
	person(t, s, "bert", "Bert Stein", "4712", "quality")
	person(t, s, "rita", "Rita Adler", "4713", "quality", "admin")

	p := publisher(t, s, "press")
	send(t, p, plant.TopicLot, lot("L-QUIET", "kg"))
	eventually(t, 20*time.Second, "the lot is known", func() bool {
		_, _, code := cloudCLI(t, s, "lots", "hold", "L-QUIET", "--reason", "waits for its gateway to die")
		return code == 0
	})
	s.Agent.Kill()
	if _, _, code := cloudCLI(t, s, "lots", "lift", "L-QUIET", "--reason", "it is dead"); code != 0 {
		t.Fatalf("lift exits %d", code)
	}
	var c api.Coverage
	eventually(t, 20*time.Second, "the lot waits for the gateway's answer", func() bool {
		c = coverage(t, s, "L-QUIET")
		return c.Release == quality.Asking && c.Barrier > 0 && len(c.Answers) == 1 && c.Answers[0].Missing
	})
	if show, _, _ := cloudCLI(t, s, "lots", "show", "L-QUIET"); !strings.Contains(show, "agent p1/gw1 was asked what it has on disk and has not answered") {
		t.Error("lots show does not say whose answer is missing")
	}
	free := func() bool {
		entries := s.SAP.Batch("MAT-100", "L-QUIET")
		return len(entries) > 0 && entries[len(entries)-1].FreeAfter
	}
	if free() {
		t.Fatal("the batch is free though a plant has not answered")
	}

	accept := func(signers ...string) int {
		args := []string{"coverage", "accept", "--lot", "L-QUIET", "--plant", "p1", "--agent", "gw1", "--barrier", fmt.Sprint(c.Barrier),
			"--reason", "gateway burnt; paper log checked, no hold"}
		for _, name := range signers {
			args = append(args, "--signer", name, "--password-file", s.Path(name+".password"))
		}
		_, stderr, code := cloudCLI(t, s, args...)
		if strings.Contains(stderr, "alone") {
			t.Errorf("a password is told: %s", stderr)
		}
		return code
	}
	const refused = 4
	for name, signers := range map[string][]string{
		"OneAlone": {"anna"}, "OnePersonTwice": {"anna", "anna-2"}, "OneAccountTwice": {"anna", "anna"}, "Administrator": {"anna", "rita"},
	} {
		t.Run(name, func(t *testing.T) {
			if code := accept(signers...); code != refused {
				t.Errorf("exits %d, want %d", code, refused)
			}
		})
	}
	if c := coverage(t, s, "L-QUIET"); len(c.Accepted) != 0 || free() {
		t.Fatalf("what was refused counts: %+v", c.Accepted)
	}
	if code := accept("anna", "bert"); code != 0 {
		t.Fatalf("two persons: exits %d", code)
	}
	eventually(t, 20*time.Second, "the batch is free in the ERP", free)
	eventually(t, 20*time.Second, "the lot is released", func() bool {
		c = coverage(t, s, "L-QUIET")
		return c.Release == quality.Released && len(c.Accepted) == 1
	})
	if out, _, _ := cloudCLI(t, s, "coverage", "show", "--lot", "L-QUIET"); !strings.Contains(out, "Anna Weber (anna), Bert Stein (bert)") {
		t.Error("coverage show does not say who has signed")
	}
	if out, _, _ := cloudCLI(t, s, "ledger", "show", "--lot", "L-QUIET", "-o", "jsonl"); !strings.Contains(out, `"anna, bert"`) || !strings.Contains(out, "Anna Weber") || !strings.Contains(out, "Bert Stein") {
		t.Error("the signatures are not in the lot's ledger")
	}
	if _, _, code := cloudCLI(t, s, "ledger", "verify"); code != 0 {
		t.Errorf("ledger verify exits %d", code)
	}
}

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// startManned runs a stack with an administrator, root, and two persons who sign, anna and bert. An agent that lots wait for
// is spoken about after two seconds.
func startManned(t *testing.T) *stack.Stack {
	t.Helper()
	cfg := stack.Config{}
	cfg.SAP.AutoCreate = true
	s := build(t, cfg)
	withAdmin(t, s)
	text, err := os.ReadFile(s.Path("cloud.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("\ncoverage:")) {
		t.Fatalf("cloud.yaml has a section coverage:\n%s", text)
	}
	if err := os.WriteFile(s.Path("cloud.yaml"), append(text, "\ncoverage: { max_age: 2s }\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	begin(t, s.StartCloud)
	begin(t, s.StartAgent)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.WaitLive(ctx); err != nil {
		t.Fatal(err)
	}
	person(t, s, "anna", "Anna Weber", "4711", "quality")
	person(t, s, "bert", "Bert Stein", "4712", "quality")
	return s
}

// begin starts a program.
func begin(t *testing.T, start func(context.Context, ...string) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := start(ctx); err != nil {
		t.Fatal(err)
	}
}

// rootCLI runs holdfast-cloud as the administrator.
func rootCLI(t *testing.T, s *stack.Stack, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return cli(t, "holdfast-cloud", append(args, "--url", "http://"+s.Cloud.Address, "--token-file", s.Path("root.token"), "--no-color", "-y")...)
}

// both adds the signatures of anna and bert.
func both(s *stack.Stack, args ...string) []string {
	for _, name := range []string{"anna", "bert"} {
		args = append(args, "--signer", name, "--password-file", s.Path(name+".password"))
	}
	return args
}

// onDuty is what status -o json says that these tests look at.
type onDuty struct {
	Systems api.SystemList `json:"systems"`
	Alerts  []api.Alert    `json:"alerts"`
}

func statusOf(t *testing.T, s *stack.Stack) (d onDuty) {
	t.Helper()
	out, _, code := cloudCLI(t, s, "status", "-o", "json")
	if err := json.Unmarshal([]byte(out), &d); code != 0 || err != nil {
		t.Fatalf("status exits %d: %v", code, err)
	}
	return d
}

// ask reads from the API as alice, for what is looked at again and again.
func ask(t *testing.T, s *stack.Stack, path string, into any) {
	t.Helper()
	token, err := os.ReadFile(s.Path("alice.token"))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Cloud.Address+api.Base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %s, %v", path, res.Status, err)
	}
}

// alerted tells whether an alert is raised.
func alerted(t *testing.T, s *stack.Stack, code, subject string) bool {
	t.Helper()
	var list api.AlertList
	ask(t, s, "/alerts", &list)
	for _, a := range list.Alerts {
		if a.Code == code && a.Subject == subject {
			return true
		}
	}
	return false
}

// waitsFor makes a lot whose release waits: held until its gateway is dead, then lifted.
func waitsFor(t *testing.T, s *stack.Stack, name string) {
	t.Helper()
	eventually(t, 20*time.Second, "the lot is known", func() bool {
		var page api.LotPage
		ask(t, s, "/lots?number="+name, &page)
		return len(page.Lots) == 1
	})
	if _, _, code := cloudCLI(t, s, "lots", "hold", name, "--reason", "waits for its gateway to die"); code != 0 {
		t.Fatalf("hold exits %d", code)
	}
	s.Agent.Kill()
	if _, _, code := cloudCLI(t, s, "lots", "lift", name, "--reason", "it is dead"); code != 0 {
		t.Fatalf("lift exits %d", code)
	}
	eventually(t, 20*time.Second, "the lot waits for the gateway's answer", func() bool {
		var page api.LotPage
		ask(t, s, "/lots?number="+name, &page)
		return len(page.Lots) == 1 && slices.ContainsFunc(page.Lots[0].WaitsFor, func(w quality.ReleaseWait) bool { return w.Kind == quality.WaitAnswer })
	})
}

// heldInERP tells whether the ERP keeps a batch from being used. Its book has what we made it do: nothing, where a batch was
// never held.
func heldInERP(s *stack.Stack, name string) bool {
	entries := s.SAP.Batch("MAT-100", name)
	return len(entries) > 0 && !entries[len(entries)-1].FreeAfter
}

// released tells whether a lot is released, and free in the ERP.
func released(t *testing.T, s *stack.Stack, name string) bool {
	t.Helper()
	var page api.LotPage
	ask(t, s, "/lots?number="+name, &page)
	return len(page.Lots) == 1 && page.Lots[0].MayMove && !heldInERP(s, name)
}

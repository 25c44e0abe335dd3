package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

var update = flag.Bool("update", false, "write the golden files anew")

const token = "hf_canary-never-to-be-seen-xxxxxxxxxxxxxxxxxxxx"

// stub plays the API with the answers that the API's own tests keep as golden files.
type stub struct {
	*httptest.Server
	tokenFile string
	answers   map[string]string // method and path -> golden file of cloud/api, or a body
	asked     []*http.Request
	bodies    []string
}

func newStub(t *testing.T, answers map[string]string) *stub {
	t.Helper()
	s := &stub{answers: answers, tokenFile: filepath.Join(t.TempDir(), "me.token")}
	if err := os.WriteFile(s.tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.asked, s.bodies = append(s.asked, r), append(s.bodies, string(body))
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		key := r.Method + " " + strings.TrimPrefix(r.URL.EscapedPath(), api.Base)
		if r.URL.RawQuery != "" && s.answers[key+"?"+r.URL.RawQuery] != "" {
			key += "?" + r.URL.RawQuery
		}
		answer, ok := s.answers[key]
		if !ok {
			p := problem.New(problem.ObjectHidden, "there is nothing at %s", key)
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(api.Failure{Status: 404, Detail: p.Cause, Code: p.Code, Consequence: p.Consequence, Next: p.Next})
			return
		}
		if !strings.HasPrefix(answer, "{") {
			b, err := os.ReadFile(filepath.Join("..", "..", "api", "testdata", answer+".json"))
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			answer = string(b)
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

// ran is what a command line did.
type ran struct {
	code     int
	out, err string
}

func run(t *testing.T, env map[string]string, in string, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	p := program{
		in: strings.NewReader(in), out: &out, err: &errs,
		lookupEnv: func(key string) (string, bool) { v, ok := env[key]; return v, ok },
		now:       func() time.Time { return time.Date(2026, 11, 24, 9, 20, 0, 0, time.UTC) },
	}
	code := p.main(context.WithoutCancel(t.Context()), args)
	if strings.Contains(out.String()+errs.String(), "canary") {
		t.Errorf("%v shows the token:\n%s%s", args, &out, &errs)
	}
	return ran{code, out.String(), errs.String()}
}

func (s *stub) run(t *testing.T, args ...string) ran {
	t.Helper()
	return run(t, map[string]string{"HOLDFAST_URL": s.URL, "HOLDFAST_TOKEN_FILE": s.tokenFile}, "", args...)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}

const (
	lotA = "/lots/lot:1000:MAT-100:L-88213"
	lotB = "/lots/lot:1000:MAT-100:L-88214"
	lotC = "/lots/lot:2000:MAT-200:L-9"
)

func TestProgram_Golden(t *testing.T) {
	one := func(key, number string) string { return `{"lots":[{"key":"` + key + `","number":"` + number + `"}]}` }
	s := newStub(t, map[string]string{
		"GET /lots?limit=100":      "lots",
		"GET /lots?number=L-88213": one("lot:1000:MAT-100:L-88213", "L-88213"),
		"GET " + lotA:              "lot-held",
		"GET " + lotB:              "lot-waiting",
		"GET " + lotC:              "lot-inspection",
		"GET /trace/L-88213":       "trace-lot",
		"GET /trace/L-88214":       "trace-waiting",
		"GET /deadletters":         "deadletters",
		"GET /deadletters/1":       "deadletter",
		"GET /ledger":              "ledger",
		"GET /agents":              "agents",
		"GET /users":               "users",
		"GET /coverage?lot=lot%3A1000%3AMAT-100%3AL-88500": "coverage-lot",
		"GET /coverage?plant=p1":                           "coverage-plant",
		"GET /lots/lot:1000:MAT-100:L-88500":               "lot-gap",
		"GET /lots/lot:1000:MAT-100:L-88600":               "lot-takeback",
		"GET /agents?plant=p1":                             "agents",
		"POST " + lotB + "/holds":                          "hold",
		"POST /deadletters/1/fix":                          `{"id":2,"replaces":1}`,
		"GET /agents?plant=p9":                             "agents-retired",
		"GET /systems":                                     "systems-restored",
		"GET /overview":                                    "overview",
		"GET /alerts":                                      "alerts",
	})
	tests := map[string][]string{
		"lots-list.txt":           {"lots", "list"},
		"lots-list.json":          {"lots", "list", "-o", "json"},
		"lots-list.jsonl":         {"lots", "list", "-o", "jsonl"},
		"lots-show-held.txt":      {"lots", "show", "L-88213"},
		"lots-show-held.json":     {"lots", "show", "L-88213", "-o", "json"},
		"lots-show-utc.txt":       {"lots", "show", "lot:1000:MAT-100:L-88213", "--utc"},
		"lots-show-wait.txt":      {"lots", "show", "lot:1000:MAT-100:L-88214"},
		"lots-show-insp.txt":      {"lots", "show", "lot:2000:MAT-200:L-9"},
		"lots-show-moved.txt":     {"lots", "show", "lot:1000:MAT-100:L-88600"},
		"lots-hold.txt":           {"lots", "hold", "lot:1000:MAT-100:L-88214", "--reason", "customer complaint 118"},
		"trace.txt":               {"trace", "L-88213"},
		"trace.json":              {"trace", "L-88213", "-o", "json"},
		"trace-waiting.txt":       {"trace", "L-88214"},
		"deadletter-list.txt":     {"deadletter", "list"},
		"deadletter-list.json":    {"deadletter", "list", "-o", "json"},
		"deadletter-show.txt":     {"deadletter", "show", "1"},
		"agents-list.txt":         {"agents", "list", "--plant", "p1"},
		"agents-list.json":        {"agents", "list", "-o", "json"},
		"user-list.txt":           {"user", "list"},
		"user-list.jsonl":         {"user", "list", "-o", "jsonl"},
		"coverage-lot.txt":        {"coverage", "show", "--lot", "lot:1000:MAT-100:L-88500"},
		"coverage-plant.txt":      {"coverage", "show", "--plant", "p1"},
		"coverage-lot.json":       {"coverage", "show", "--lot", "lot:1000:MAT-100:L-88500", "-o", "json"},
		"lots-show-gap.txt":       {"lots", "show", "lot:1000:MAT-100:L-88500"},
		"ledger-show.txt":         {"ledger", "show"},
		"agents-retired.txt":      {"agents", "list", "--plant", "p9"},
		"systems-list.txt":        {"systems", "list"},
		"systems-list.json":       {"systems", "list", "-o", "json"},
		"status.txt":              {"status"},
		"status.json":             {"status", "-o", "json"},
		"deadletter-export.jsonl": {"deadletter", "export"},
		"ledger-show.jsonl":       {"ledger", "show", "-o", "jsonl"},
	}
	for file, args := range tests {
		t.Run(file, func(t *testing.T) {
			r := s.run(t, args...)
			if r.code != cli.ExitOK {
				t.Fatalf("%v exits with %d: %s", args, r.code, r.err)
			}
			golden(t, file, r.out)
		})
	}
}

func TestProgram_Exit(t *testing.T) {
	s := newStub(t, map[string]string{"GET /lots?number=twice": `{"lots":[{"key":"lot:1:M:twice"},{"key":"lot:2:M:twice"}]}`})
	refuse := func(status int, code problem.Code) *httptest.Server {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			p := problem.New(code, "no")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(api.Failure{Status: status, Detail: p.Cause, Code: p.Code, Consequence: p.Consequence, Next: p.Next})
		}))
		t.Cleanup(srv.Close)
		return srv
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>log in</html>")
	}))
	t.Cleanup(proxy.Close)
	env := func(url string) map[string]string {
		return map[string]string{"HOLDFAST_URL": url, "HOLDFAST_TOKEN_FILE": s.tokenFile}
	}
	open := filepath.Join(t.TempDir(), "open.token")
	if err := os.WriteFile(open, []byte(token), 0o644); err != nil { //nolint:gosec // the mode is what is tested
		t.Fatal(err)
	}
	accept := func(more ...string) []string {
		return append([]string{"coverage", "accept", "--lot", "lot:1:M:1"}, more...)
	}
	decide := func(more ...string) []string {
		return append([]string{"agents", "epoch", "decide", "--plant", "p1", "--agent", "a1", "--epoch", "ff"}, more...)
	}
	tests := []struct {
		name string
		env  map[string]string
		args []string
		code int
		says string
	}{
		{"OKVersion", nil, []string{"version"}, cli.ExitOK, ""},
		{"ErrCommand", nil, []string{"lot"}, cli.ExitUsage, "E-1201"},
		{"ErrVerb", nil, []string{"lots", "sell"}, cli.ExitUsage, "E-1201"},
		{"ErrFlag", nil, []string{"lots", "list", "--colour"}, cli.ExitUsage, "E-1201"},
		{"ErrOutput", nil, []string{"lots", "list", "-o", "xml"}, cli.ExitUsage, "E-1201"},
		{"ErrArguments", nil, []string{"trace"}, cli.ExitUsage, "E-1201"},
		{"ErrNoToken", nil, []string{"lots", "list"}, cli.ExitUsage, "--token-file"},
		{"ErrOpenToken", map[string]string{"HOLDFAST_TOKEN_FILE": open}, []string{"lots", "list"}, cli.ExitRefused, "E-1006"},
		{"ErrURL", env("ftp://x"), []string{"lots", "list"}, cli.ExitUsage, "E-1201"},
		{"ErrHoldNoReason", env(s.URL), []string{"lots", "hold", "L-1"}, cli.ExitUsage, "E-8004"},
		{"ErrLiftNoReason", env(s.URL), []string{"lots", "lift", "L-1"}, cli.ExitUsage, "E-8004"},
		{"ErrFixNoReason", env(s.URL), []string{"deadletter", "fix", "1", "--file", "-"}, cli.ExitUsage, "E-8004"},
		{"ErrRedriveNoReason", env(s.URL), []string{"deadletter", "redrive", "1"}, cli.ExitUsage, "E-8004"},
		{"ErrFixNoFile", env(s.URL), []string{"deadletter", "fix", "1", "--reason", "x"}, cli.ExitUsage, "--file"},
		{"ErrDeadletterID", env(s.URL), []string{"deadletter", "show", "../lots"}, cli.ExitUsage, "E-1201"},
		{"ErrTwoLots", env(s.URL), []string{"lots", "show", "twice"}, cli.ExitUsage, "lot:2:M:twice"},
		{"ErrUnknownLot", env(s.URL), []string{"lots", "show", "lot:1:M:none"}, cli.ExitFailed, "E-8003"},
		{"ErrUnreachable", env("http://127.0.0.1:1"), []string{"lots", "list"}, cli.ExitUnreachable, "E-2301"},
		{"ErrNotOurs", env(proxy.URL), []string{"lots", "list"}, cli.ExitUnreachable, "E-2301"},
		{"ErrRole", env(refuse(403, problem.RoleRefused).URL), []string{"trace", "x"}, cli.ExitRefused, "E-8002"},
		{"ErrToken", env(refuse(401, problem.TokenRefused).URL), []string{"trace", "x"}, cli.ExitRefused, "E-8001"},
		{"ErrRule", env(refuse(409, problem.RuleRefused).URL), []string{"deadletter", "redrive", "1", "--reason", "x"}, cli.ExitRefused, "E-6201"},
		{"ErrDecideNoReason", env(s.URL), decide("accepted"), cli.ExitUsage, "E-8004"},
		{"ErrDecideWhat", env(s.URL), decide("perhaps", "--reason", "x"), cli.ExitUsage, "accepted or quarantined"},
		{"ErrDecideNothing", env(s.URL), []string{"agents", "epoch", "decide", "accepted", "--reason", "x"}, cli.ExitUsage, "agents list"},
		{"ErrDecideRole", env(refuse(403, problem.RoleRefused).URL), decide("accepted", "--reason", "x"), cli.ExitRefused, "E-8002"},
		{"ErrAddNoPerson", env(s.URL), []string{"user", "add", "alice", "--printed-name", "Alice", "--role", "quality"}, cli.ExitUsage, "--person"},
		{"ErrAddNoTerminal", env(s.URL), []string{"user", "add", "alice", "--printed-name", "Alice", "--person", "1", "--role", "quality"}, cli.ExitUsage, "no terminal"},
		{"ErrAddOpenFile", env(s.URL), []string{"user", "add", "alice", "--printed-name", "Alice", "--person", "1", "--role", "quality", "--password-file", open}, cli.ExitRefused, "E-1006"},
		{"ErrPasswordInTheClear", env("http://192.0.2.1:7490"), []string{"user", "passwd", "alice", "--old-password-file", s.tokenFile, "--password-file", s.tokenFile}, cli.ExitUsage, "neither https nor this host"},
		{"ErrSignInTheClear", env("http://cloud.example:7490"), accept("--gap", "gap:x:1", "--signer", "a", "--reason", "x"), cli.ExitUsage, "neither https nor this host"},
		{"ErrDisableNoReason", env(s.URL), []string{"user", "disable", "alice"}, cli.ExitUsage, "E-8004"},
		{"ErrResetNoReason", env(s.URL), []string{"user", "passwd", "alice", "--reset"}, cli.ExitUsage, "E-8004"},
		{"ErrPasswordIsNoArgument", env(s.URL), []string{"user", "passwd", "alice", "secret"}, cli.ExitUsage, "E-1201"},
		{"ErrCoverageWhat", env(s.URL), []string{"coverage", "show"}, cli.ExitUsage, "--lot or --plant"},
		{"ErrAcceptNoLot", env(s.URL), accept("--lot", "", "--gap", "gap:x:1", "--signer", "a", "--reason", "x"), cli.ExitUsage, "--lot"},
		{"ErrAcceptNothing", env(s.URL), accept("--signer", "a", "--reason", "x"), cli.ExitUsage, "--gap"},
		{"ErrAcceptBoth", env(s.URL), accept("--gap", "gap:x:1", "--plant", "p1", "--signer", "a", "--reason", "x"), cli.ExitUsage, "--gap"},
		{"ErrAcceptNobody", env(s.URL), accept("--gap", "gap:x:1", "--reason", "x"), cli.ExitUsage, "--signer"},
		{"ErrAcceptNoReason", env(s.URL), accept("--gap", "gap:x:1", "--signer", "a"), cli.ExitUsage, "E-8004"},
		{"ErrAcceptFiles", env(s.URL), accept("--gap", "gap:x:1", "--signer", "a", "--signer", "b", "--password-file", open, "--reason", "x"), cli.ExitUsage, "in their order"},
		{"ErrAcceptLocked", env(refuse(401, problem.UserLocked).URL), accept("--gap", "gap:x:1", "--signer", "a", "--password-file", s.tokenFile, "--reason", "x"), cli.ExitRefused, "E-8007"},
		{"ErrDropNobody", env(s.URL), []string{"deadletter", "drop", "1", "--reason", "x"}, cli.ExitUsage, "--signer"},
		{"ErrDropNoReason", env(s.URL), []string{"deadletter", "drop", "1", "--signer", "a", "--signer", "b"}, cli.ExitUsage, "E-8004"},
		{"ErrDropInTheClear", env("http://cloud.example:7490"), []string{"deadletter", "drop", "1", "--signer", "a", "--signer", "b", "--reason", "x"}, cli.ExitUsage, "neither https nor this host"},
		{"ErrRetireWho", env(s.URL), []string{"agents", "retire", "--plant", "p1", "--reason", "x"}, cli.ExitUsage, "agents list"},
		{"ErrRetireNoReason", env(s.URL), []string{"agents", "retire", "--plant", "p1", "--agent", "a1"}, cli.ExitUsage, "E-8004"},
		{"ErrRetireFiles", env(s.URL), []string{"agents", "retire", "--plant", "p1", "--agent", "a1", "--password-file", open, "--reason", "x"}, cli.ExitUsage, "--signer"},
		{"ErrPauseHowLong", env(s.URL), []string{"systems", "pause", "s4", "--reason", "x"}, cli.ExitUsage, "--for"},
		{"ErrPauseNoReason", env(s.URL), []string{"systems", "pause", "s4", "--for", "1m"}, cli.ExitUsage, "E-8004"},
		{"ErrDispatchWhat", env(s.URL), []string{"systems", "dispatch", "maybe", "--reason", "x"}, cli.ExitUsage, "on or off"},
		{"ErrDispatchNoReason", env(s.URL), []string{"systems", "dispatch", "on"}, cli.ExitUsage, "E-8004"},
		{"ErrResumeRule", env(refuse(409, problem.RuleRefused).URL), []string{"systems", "resume", "s4", "--reason", "x"}, cli.ExitRefused, "E-6201"},
		{"ErrVerifyHalf", env(s.URL), []string{"ledger", "verify", "--export", "x"}, cli.ExitUsage, "--anchors"},
		{"ErrConfigMissing", nil, []string{"run", "--config", "testdata/none.yaml"}, cli.ExitConfig, "testdata/none.yaml"},
		{"ErrLogFormat", nil, []string{"run", "--log-format", "xml"}, cli.ExitUsage, "E-1201"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, test.env, "{}", test.args...)
			if r.code != test.code || !strings.Contains(r.err, test.says) {
				t.Errorf("%v exits with %d and says %q, want %d and %q", test.args, r.code, r.err, test.code, test.says)
			}
			if test.code != cli.ExitOK && r.out != "" {
				t.Errorf("%v prints %q on stdout", test.args, r.out)
			}
		})
	}
}

// systemsAfter is what an act on systems that leaves none prints.
const systemsAfter = "SYSTEM  DISPATCH  ANSWERS  WAITING  HOLDS AMONG THEM  OLDEST\n"

func TestProgram_Acts(t *testing.T) {
	s := newStub(t, map[string]string{
		"GET " + lotB: "lot-waiting",
		"GET " + lotA: "lot-held",
		"POST " + lotA + "/holds/hold:mes:900/lift": `{"id":"hold:mes:900","lot":"lot:1000:MAT-100:L-88213","kind":"quality"}`,
		"POST /users":                   "user",
		"POST /users/alice/disable":     "user",
		"POST /users/alice/password":    "user",
		"POST /lots/lot:1:M:1/evidence": `{"id":"n-1","lot":"lot:1:M:1","gap":"gap:x:1","reason":"x","signatures":[{"by":"alice","printed_name":"Alice Weber","meaning":"approval","at":"2026-11-24T09:20:00Z","record_hash":"ab"}]}`,
		"POST /holds":                   `{"id":"hold:x","scope":{"kind":"material","value":"MAT-100"},"kind":"recall"}`,
		"POST /deadletters/1/fix":       `{"id":2,"replaces":1}`,
		"POST /agents/p1/a1/epochs/ffeeddccbbaa99887766554433221100/decision": "agents-decided",
		"GET /deadletters/1":            "deadletter",
		"POST /deadletters/1/drop":      `{"id":1,"raw_sha256":"ab","left":[],"signatures":[{"by":"alice","printed_name":"Alice Weber","meaning":"approval","at":"2026-11-24T09:20:00Z","record_hash":"cd"}]}`,
		"GET /agents/p1/a1/rest":        `{"plant":"p1","agent":"a1","head_at":"2026-11-24T09:19:00Z"}`,
		"POST /agents/p1/a1/retirement": `{"plant":"p1","agent":"a1","answered":true,"signatures":[]}`,
		"GET /agents/p1/a2/rest":        `{"plant":"p1","agent":"a2","asked":true,"missing":"4-6 of epoch ff"}`,
		"POST /agents/p1/a2/retirement": `{"plant":"p1","agent":"a2","missing":"4-6 of epoch ff","signatures":[{"by":"alice","printed_name":"Alice Weber","meaning":"approval","at":"2026-11-24T09:20:00Z","record_hash":"cd"}]}`,
		"GET /systems":                  "systems",
		"POST /systems/s4/pause":        `{"systems":[],"off":[]}`,
		"POST /systems/s4/resume":       `{"systems":[],"off":[]}`,
		"POST /dispatch":                `{"systems":[],"off":[]}`,
		"POST /deadletters/2/redrive":   `{"results":[{"outcome":"accepted"}],"applied":1,"left":0}`,
		"POST /deadletters/3/redrive":   `{"results":[{"outcome":"accepted"},{"outcome":"parked","deadletter":4,"code":"E-6007","cause":"bad"}],"applied":1,"left":2}`,
	})
	tests := []struct {
		name, in, out, body string
		args                []string
		code                int
	}{
		{"lift the only hold", "", "lifted: lot:1000:MAT-100:L-88213   hold hold:mes:900 (quality)\n", `{"reason":"sorted"}`,
			[]string{"lots", "lift", "lot:1000:MAT-100:L-88213", "--reason", "sorted", "--if-version", "3"}, cli.ExitOK},
		{"hold by scope", "", "held: every lot of material MAT-100   hold hold:x (recall)\n",
			`{"kind":"recall","reason":"recall 7","scope":{"kind":"material","value":"MAT-100","plant":"p1"}}`,
			[]string{"lots", "hold", "--scope", "material=MAT-100", "--plant", "p1", "--kind", "recall", "--reason", "recall 7"}, cli.ExitOK},
		{"fix from stdin", `{"a":12345678901234567890}`, "dead letter 2 takes the place of 1; apply it with: holdfast-cloud deadletter redrive 2 --reason ...\n",
			`{"value":{"a":12345678901234567890},"reason":"unit"}`, []string{"deadletter", "fix", "1", "--file", "-", "--reason", "unit"}, cli.ExitOK},
		{"redrive", "", "applied 1, 0 still wait\n", `{"reason":"again"}`, []string{"deadletter", "redrive", "2", "--reason", "again"}, cli.ExitOK},
		{"decide about an epoch", "", "accepted: epoch ffeeddccbbaa99887766554433221100 of p1/a1   now applying\n",
			`{"decision":"accepted","reason":"disk replaced, ticket 4711"}`, []string{"agents", "epoch", "decide", "--plant", "p1", "--agent", "a1",
				"--epoch", "ffeeddccbbaa99887766554433221100", "accepted", "--reason", "disk replaced, ticket 4711"}, cli.ExitOK},
		{"add a user", "", "added: alice (Alice Weber, person 4711)   roles quality, viewer   has to change the password\n",
			`{"name":"alice","printed_name":"Alice Weber","person":"4711","roles":["quality","viewer"],"plants":["p1"],"password":"` + token + `"}`,
			[]string{"user", "add", "alice", "--printed-name", "Alice Weber", "--person", "4711", "--role", "quality", "--role", "viewer", "--plant", "p1",
				"--password-file", s.tokenFile}, cli.ExitOK},
		{"change a password", "", "new password: alice (Alice Weber, person 4711)   roles quality, viewer   has to change the password\n",
			`{"old":"` + token + `","new":"` + token + `"}`, []string{"user", "passwd", "alice", "--old-password-file", s.tokenFile, "--password-file", s.tokenFile}, cli.ExitOK},
		{"reset a password", "", "new password: alice (Alice Weber, person 4711)   roles quality, viewer   has to change the password\n",
			`{"new":"` + token + `","reason":"forgotten"}`, []string{"user", "passwd", "alice", "--reset", "--password-file", s.tokenFile, "--reason", "forgotten"}, cli.ExitOK},
		{"disable a user", "", "disabled: alice (Alice Weber, person 4711)   roles quality, viewer   has to change the password\n", `{"reason":"left"}`,
			[]string{"user", "disable", "alice", "--reason", "left"}, cli.ExitOK},
		{"accept a gap", "", "SIGNED BY    USER   AT                       MEANING   RECORD HASH\nAlice Weber  alice  2026-11-24 09:20:00 UTC  approval  ab\n",
			`{"gap":"gap:x:1","reason":"measured again","signers":[{"user":"alice","password":"` + token + `"},{"user":"bob","password":"` + token + `"}]}`,
			[]string{"coverage", "accept", "--lot", "lot:1:M:1", "--gap", "gap:x:1", "--signer", "alice", "--signer", "bob", "--password-file", s.tokenFile,
				"--password-file", s.tokenFile, "--reason", "measured again"}, cli.ExitOK},
		{"drop", "", "dropped: dead letter 1   its bytes stay, SHA-256 ab\nSIGNED BY    USER   AT                       MEANING   RECORD HASH\nAlice Weber  alice  2026-11-24 09:20:00 UTC  approval  cd\n",
			`{"reason":"never made","signers":[{"user":"alice","password":"` + token + `"},{"user":"bob","password":"` + token + `"}]}`,
			[]string{"deadletter", "drop", "1", "--signer", "alice", "--signer", "bob", "--password-file", s.tokenFile, "--password-file", s.tokenFile, "--reason", "never made"}, cli.ExitOK},
		{"retire", "", "retired: p1/a1   all that it had on disk is here\n", `{"reason":"sold"}`,
			[]string{"agents", "retire", "--plant", "p1", "--agent", "a1", "--reason", "sold"}, cli.ExitOK},
		{"retire by signature", "", "retired: p1/a2   signed for what is not known of it: 4-6 of epoch ff\nSIGNED BY    USER   AT                       MEANING   RECORD HASH\nAlice Weber  alice  2026-11-24 09:20:00 UTC  approval  cd\n",
			`{"reason":"burnt","missing":"4-6 of epoch ff","signers":[{"user":"alice","password":"` + token + `"}]}`,
			[]string{"agents", "retire", "--plant", "p1", "--agent", "a2", "--signer", "alice", "--password-file", s.tokenFile, "--reason", "burnt"}, cli.ExitOK},
		{"pause", "", systemsAfter, `{"seconds":1800,"reason":"maintenance"}`, []string{"systems", "pause", "s4", "--for", "30m", "--reason", "maintenance"}, cli.ExitOK},
		{"resume", "", systemsAfter, `{"reason":"done"}`, []string{"systems", "resume", "s4", "--reason", "done"}, cli.ExitOK},
		{"dispatch on", "", systemsAfter, `{"on":true,"reason":"compared"}`, []string{"systems", "dispatch", "on", "--reason", "compared"}, cli.ExitOK},
		{"dispatch off", "", systemsAfter, `{"system":"s4","on":false,"reason":"cut-over"}`, []string{"systems", "dispatch", "off", "--system", "s4", "--reason", "cut-over"}, cli.ExitOK},
		{"redrive in part", "", "applied 1, 2 still wait\n", `{"reason":"again"}`, []string{"deadletter", "redrive", "3", "--reason", "again"}, cli.ExitPartial},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, map[string]string{"HOLDFAST_URL": s.URL, "HOLDFAST_TOKEN_FILE": s.tokenFile}, test.in, test.args...)
			last := s.asked[len(s.asked)-1]
			if r.code != test.code || r.out != test.out || s.bodies[len(s.bodies)-1] != test.body {
				t.Errorf("exit %d, stdout %q, sent %s\nwant %d, %q, %s\n%s", r.code, r.out, s.bodies[len(s.bodies)-1], test.code, test.out, test.body, r.err)
			}
			if last.Header.Get("Idempotency-Key") == "" {
				t.Error("the act has no Idempotency-Key")
			}
		})
	}
	t.Run("IfMatch", func(t *testing.T) {
		for _, r := range s.asked {
			if strings.HasSuffix(r.URL.Path, "hold:mes:900/lift") && r.Header.Get("If-Match") != `"3"` {
				t.Errorf("If-Match %q", r.Header.Get("If-Match"))
			}
		}
	})
}

// FuzzPlain proves that nothing from outside steers the terminal.
func FuzzPlain(f *testing.F) {
	f.Add("a\nb\x1b[2Jc\u009bd")
	f.Add("\xff\x9b31m")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range plain(text) {
			if r < 0x20 || r >= 0x7f && r < 0xa0 {
				t.Errorf("plain(%q) leaves %q", text, r)
			}
		}
	})
}

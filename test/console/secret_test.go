package console

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// secrets are the credentials of a house, by what they are. None of them may be seen outside of the file that keeps it.
type secrets struct {
	mu    sync.Mutex // guards known
	known map[string]string
}

func (s *secrets) add(what, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]string{}
	}
	s.known[what] = secret
}

// forms returns how a secret looks in texts: as it is, as hex digits, in an address, in JSON, and in the base64 of something
// that it is a part of, wherever in there it begins.
func forms(secret string) [][]byte {
	all := []string{secret, hex.EncodeToString([]byte(secret)), url.QueryEscape(secret), url.PathEscape(secret)}
	if text, err := json.Marshal(secret); err == nil {
		all = append(all, strings.Trim(string(text), `"`))
	}
	for shift := range 3 {
		// Of the first and the last group of four digits some bits belong to the neighbours.
		whole := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), secret...))
		first := (shift*8 + 5) / 6
		last := (shift + len(secret)) * 8 / 6
		inner := whole[first:last]
		all = append(all, inner, strings.NewReplacer("+", "-", "/", "_").Replace(inner))
	}
	slices.Sort(all)
	var unique [][]byte
	for _, f := range slices.Compact(all) {
		unique = append(unique, []byte(f))
	}
	return unique
}

// find returns what of the secrets a text holds.
func (s *secrets) find(text []byte) (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for what, secret := range s.known {
		for _, f := range forms(secret) {
			if bytes.Contains(text, f) {
				found = append(found, fmt.Sprintf("%s, as %s", what, f))
				break
			}
		}
	}
	return found
}

func TestSecrets_Find(t *testing.T) {
	var s secrets
	s.add("password", `to/day+"1`)
	for _, text := range []string{
		`to/day+"1`, `{"password":"to/day+\"1"}`, "q=to%2Fday%2B%221&r=2", "Basic " + base64.StdEncoding.EncodeToString([]byte(`anna:to/day+"1`)),
		"x" + base64.RawURLEncoding.EncodeToString([]byte(`a:to/day+"1 and more`)), base64.StdEncoding.EncodeToString([]byte(`to/day+"1`)),
		hex.EncodeToString([]byte(`to/day+"1`)),
	} {
		if len(s.find([]byte(text))) != 1 {
			t.Errorf("the password is not found in %s", text)
		}
	}
	if found := s.find([]byte("to-day there is nothing")); len(found) > 0 {
		t.Errorf("found %q", found)
	}
}

// withLogIns gives gateways and cloud a user and a password at Kafka and at the brokers of the plants.
func withLogIns(t testing.TB, s *stack.Stack, all *secrets) {
	t.Helper()
	all.add("password at Kafka", "kafka-canary-5b1e0c77")
	all.add("password at the plant's broker", "mqtt-canary-90aa41d2")
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	up := kadm.UpsertSCRAM{User: "mesh", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: all.known["password at Kafka"]}
	if _, err := kadm.NewClient(client).AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{up}); err != nil {
		t.Fatal(err)
	}
	folders := []string{""}
	for _, p := range s.Plants {
		folders = append(folders, p.ID)
	}
	for _, dir := range folders {
		for name, what := range map[string]string{"kafka.pw": "password at Kafka", "mqtt.pw": "password at the plant's broker"} {
			if err := os.WriteFile(s.Path(filepath.Join(dir, name)), []byte(all.known[what]+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		file := s.Path(filepath.Join(dir, map[bool]string{true: "cloud.yaml", false: "agent.yaml"}[dir == ""]))
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		with := bytes.Replace(text, []byte("kafka: { "), []byte("kafka: { sasl: { user: mesh, password_file: kafka.pw }, "), 1)
		with = bytes.ReplaceAll(with, []byte("mqtt: { "), []byte("mqtt: { user: gateway, password_file: mqtt.pw, "))
		if dir != "" && bytes.Count(with, []byte("mqtt.pw")) < 2 || !bytes.Contains(with, []byte("kafka.pw")) {
			t.Fatalf("%s takes no log-ins:\n%s", file, with)
		}
		if err := os.WriteFile(file, with, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestF48_NoSecretIsSeen takes a house with a log-in at every door through a bad day: business systems that refuse, break off and
// answer with what they were sent, wrong passwords, records that can't be applied. Afterwards none of its credentials, nor of its
// sessions, stands in a file other than its own, on a page, in an answer of the API, in the figures, or in Kafka; not even after
// a program was made to dump where all of it is.
func TestF48_NoSecretIsSeen(t *testing.T) {
	t.Parallel()
	all := &secrets{}
	h := build(t, func(s *stack.Stack) { withLogIns(t, s, all) })
	for what, secret := range map[string]string{
		"password at the ERP": stack.ERPPassword, "token of the QMS": stack.QMSToken, "token of the WMS": stack.WMSToken, "token of notices": stack.NoticeToken,
		"token of orders": stack.OrderToken, "token of alice": h.Token, "wrong password": "maria mistyped her canary", "wrong token": "hf_" + strings.Repeat("canary-", 6) + "c",
	} {
		all.add(what, secret)
	}
	key, err := os.ReadFile(h.Path("ledger.key"))
	if err != nil {
		t.Fatal(err)
	}
	all.add("key of the ledger", strings.TrimSpace(string(key)))
	seed, err := hex.DecodeString(strings.TrimSpace(string(key)))
	if err != nil {
		t.Fatal(err)
	}
	all.add("key of the ledger, bare", string(seed))
	h.inhabit()
	for _, p := range []person{rita, maria, anna, otto, vera} {
		all.add("password of "+p.name, p.password)
		all.add("first password of "+p.name, "given to "+p.name+" by rita")
	}
	own := ownFiles(t, h, all)
	visitors := h.badDay(all)
	h.judgePages(visitors, all)
	h.judgeAPI(all)
	h.judgeMetrics(all)
	h.judgeTopics(all)
	h.dump()
	h.judgeFiles(own, all)
}

// ownFiles returns the files that keep the house's secrets, each with a secret inside: so the search for them is proven to
// find.
func ownFiles(t testing.TB, h *house, all *secrets) map[string]bool {
	t.Helper()
	own := map[string]bool{}
	if err := filepath.WalkDir(h.Path(""), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".pw", ".token", ".key"}, filepath.Ext(path)) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if len(all.find(text)) == 0 {
			t.Errorf("%s keeps a secret that is not looked for", path)
		}
		own[path] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(own) < 10 {
		t.Fatalf("only these files keep secrets: %v", own)
	}
	return own
}

// badDay lets everything go wrong that touches a credential, and returns the visitors who are still logged in.
func (h *house) badDay(all *secrets) []*client {
	h.t.Helper()
	for _, f := range []fault.Fault{
		{Kind: fault.Echo, On: "any", Every: 3, Times: 4}, {Kind: fault.Status, Status: http.StatusInternalServerError, On: "any", Every: 4, Times: 3},
		{Kind: fault.Unauthorized, On: "any", Every: 5, Times: 2}, {Kind: fault.LostAfter, Every: 3, Times: 1}, {Kind: fault.LoginPage, On: "any", Every: 7, Times: 1},
		{Kind: fault.Redirect, On: "any", Every: 9, Times: 1, Location: "http://127.0.0.1:1/elsewhere"},
	} {
		for _, set := range h.Faults() {
			set.Add(f)
		}
	}
	var visitors []*client
	for _, p := range []person{maria, rita, vera} {
		c := h.client()
		if status, _ := c.submit("/login", "/login", "name", p.name, "password", all.known["wrong password"]); status == http.StatusOK {
			h.t.Errorf("%s logs in with a wrong password", p.name)
		}
		c.logIn(p)
		visitors = append(visitors, c)
	}
	h.play()
	s := h.lot(0)
	h.say(s, h.made(s), h.measured(s, 1, "61.20", true))
	h.stands(s, api.BoardHeld)
	visitors[0].submit(lotPath(s), lotPath(s)+"/accept", "gap", "none", "reason", "tried", "user", maria.name, "password", maria.password, "user", anna.name, "password", all.known["wrong password"])
	visitors[0].submit("/account", "/account/password", "old", all.known["wrong password"], "new", maria.password, "again", maria.password)
	h.QMS.Faults.Clear()
	h.decide(s, qms.Rejected, "unsafe")
	h.eventually(stepLimit, "the ERP blocks the lot, whatever it has answered", func() bool { return h.blocked(s) })
	acted := 0
	for _, set := range h.Faults() {
		acted += set.Acted()
	}
	if acted < 10 {
		h.t.Errorf("the systems have failed %d times only", acted)
	}
	gone := h.client()
	gone.logIn(otto)
	gone.post("/account", "/logout")
	for i, c := range append(visitors, gone) {
		u, _ := url.Parse(h.base)
		for _, cookie := range c.http.Jar.Cookies(u) {
			all.add(fmt.Sprintf("session %d", i), cookie.Value)
		}
		for n, token := range c.tokens {
			all.add(fmt.Sprintf("token %d of a form of visitor %d", n, i), token)
		}
	}
	return visitors
}

// judgePages looks at all that the visitors may see. The pages' own form tokens are new each time.
func (h *house) judgePages(visitors []*client, all *secrets) {
	h.t.Helper()
	seen := 0
	for _, c := range visitors {
		for _, path := range append([]string{"/", "/lots", "/account", "/users", "/search?q=88", "/nothing", "/login", "/lots/list.csv"}, h.below(c, "/lots")...) {
			_, text := c.get(path)
			seen++
			h.judge("page "+path, []byte(text), all)
		}
	}
	if seen < 30 {
		h.t.Errorf("only %d pages were looked at", seen)
	}
}

// below returns where a page leads.
func (h *house) below(c *client, page string) (paths []string) {
	_, text := c.get(page)
	for _, m := range linksPattern.FindAllStringSubmatch(text, -1) {
		if u, err := url.Parse(strings.ReplaceAll(m[1], "&amp;", "&")); err == nil && u.Host == "" {
			paths = append(paths, u.RequestURI())
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// judgeAPI looks at the answers of every operation that reads, and at refusals.
func (h *house) judgeAPI(all *secrets) {
	h.t.Helper()
	var lots api.LotPage
	h.ask("/lots?limit=100", &lots)
	var dead api.DeadletterPage
	h.ask("/deadletters?closed=true", &dead)
	paths := []string{
		"/version", "/overview", "/lots", "/board", "/holds", "/agents", "/systems", "/alerts", "/deadletters?closed=true", "/deadletters/groups", "/ledger?limit=1000",
		"/ledger/key", "/anchors", "/users", "/coverage?plant=p1", "/nothing",
	}
	for i := range lots.Lots {
		lot := url.PathEscape(string(lots.Lots[i].Key))
		paths = append(paths, "/lots/"+lot, "/lots/"+lot+"/record", "/trace/"+lot, "/coverage?lot="+lot)
	}
	for i := range dead.Deadletters {
		paths = append(paths, fmt.Sprint("/deadletters/", dead.Deadletters[i].ID))
	}
	if len(lots.Lots) < 5 || len(dead.Deadletters) < 2 {
		h.t.Fatalf("there are only %d lots and %d records that were not applied", len(lots.Lots), len(dead.Deadletters))
	}
	for _, path := range paths {
		for _, token := range []string{h.Token, all.known["wrong token"]} {
			req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.base+api.Base+path, nil)
			if err != nil {
				h.t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				h.t.Fatal(err)
			}
			h.judge("operation "+path, []byte(read(h.t, res)), all)
		}
	}
}

// judgeMetrics looks at what programs show of themselves without a log-in.
func (h *house) judgeMetrics(all *secrets) {
	h.t.Helper()
	for _, p := range []*stack.Process{h.Cloud, h.Plants[0].Agent} {
		for _, path := range []string{"/metrics", "/healthz", "/readyz", "/"} {
			res, err := http.Get("http://" + p.Address + path)
			if err != nil {
				h.t.Fatal(err)
			}
			h.judge(p.Name+" "+path, []byte(read(h.t, res)), all)
		}
	}
}

// judgeTopics looks at every record in Kafka.
func (h *house) judgeTopics(all *secrets) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), stepLimit)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(h.Kafka.Addrs()...), kgo.ConsumeRegex(), kgo.ConsumeTopics(`^holdfast\..*`), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		h.t.Fatal(err)
	}
	defer client.Close()
	offsets, err := kadm.NewClient(client).ListEndOffsets(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	var left int64
	offsets.Each(func(o kadm.ListedOffset) {
		if strings.HasPrefix(o.Topic, "holdfast.") && strings.HasSuffix(o.Topic, ".quality.v1") {
			left += o.Offset // no transactions: each offset is a record
		}
	})
	if left < 20 {
		h.t.Fatalf("only %d records came from the plants", left)
	}
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			h.t.Fatalf("%d records are not read: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if strings.HasSuffix(r.Topic, ".quality.v1") {
				left--
			}
			text := slices.Concat(r.Key, []byte{0}, r.Value)
			for _, header := range r.Headers {
				text = slices.Concat(text, []byte{0}, []byte(header.Key), []byte{0}, header.Value)
			}
			h.judge("topic "+r.Topic, text, all)
		})
	}
}

// dump has the programs write down where all of their goroutines are, which ends them.
func (h *house) dump() {
	h.t.Helper()
	for _, p := range []*stack.Process{h.Cloud, h.Plants[0].Agent} {
		process, err := os.FindProcess(p.Pid())
		if err == nil {
			err = process.Signal(syscall.SIGQUIT)
		}
		if err != nil {
			h.t.Fatal(err)
		}
		select {
		case <-p.Done():
		case <-time.After(stepLimit):
			h.t.Fatalf("%s goes on", p.Name)
		}
		if !strings.Contains(p.Tail(), "goroutine ") {
			h.t.Errorf("%s has dumped nothing:\n%s", p.Name, p.Tail())
		}
	}
}

// judgeFiles looks at every file of the house: logs, queues, databases, anchors, books.
func (h *house) judgeFiles(own map[string]bool, all *secrets) {
	h.t.Helper()
	looked := map[string]bool{}
	if err := filepath.WalkDir(h.Path(""), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || own[path] || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		looked[filepath.Base(path)] = true
		h.judge("file "+path, text, all)
		return nil
	}); err != nil {
		h.t.Fatal(err)
	}
	for _, name := range []string{"cloud.log", "agent.log", "holdfast.db", "cloud.yaml", "agent.yaml", "anchors.jsonl"} {
		if !looked[name] {
			h.t.Errorf("there is no file %s", name)
		}
	}
}

// judge fails the test where a text holds a secret.
func (h *house) judge(where string, text []byte, all *secrets) {
	h.t.Helper()
	for _, found := range all.find(text) {
		h.t.Errorf("%s shows the %s", where, found)
	}
}

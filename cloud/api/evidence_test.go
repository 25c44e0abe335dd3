package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// signing of what a lot lacks.
func signing(gap string, signers ...string) map[string]any {
	list := []map[string]string{}
	for _, name := range signers {
		list = append(list, map[string]string{"user": name, "password": ownPassword})
	}
	return map[string]any{"gap": gap, "reason": "first and last part measured again", "signers": list}
}

// answering is a signature for what an agent did not answer.
func answering(plant, agent string, barrier int64, signers ...string) map[string]any {
	body := signing("", signers...)
	delete(body, "gap")
	body["plant"], body["agent"], body["barrier"] = plant, agent, barrier
	return body
}

func TestSignedRecord_Hash(t *testing.T) {
	record := api.SignedRecord{Lot: lotA, Version: 7, Gap: "gap:p1:1", Reason: "measured again"}
	signature := event.Signature{By: "alice", PrintedName: "Alice Weber", Meaning: "approval", At: event.At(start())}
	hash := record.Hash(&signature)
	if want := event.Hash("149d4e61b6b81a3bb48caaae730ef64b1b2957eb09c9219947c8c5b4606b09a0"); hash != want {
		t.Fatalf("hash is %s, want %s: signatures given before would no longer verify", hash, want)
	}
	for name, change := range map[string]func(*api.SignedRecord, *event.Signature){
		"Lot":     func(r *api.SignedRecord, _ *event.Signature) { r.Lot = lotB },
		"Version": func(r *api.SignedRecord, _ *event.Signature) { r.Version = 8 },
		"Gap":     func(r *api.SignedRecord, _ *event.Signature) { r.Gap = "gap:p1:2" },
		"Plant":   func(r *api.SignedRecord, _ *event.Signature) { r.Plant = "p1" },
		"Agent":   func(r *api.SignedRecord, _ *event.Signature) { r.Agent = "a1" },
		"Barrier": func(r *api.SignedRecord, _ *event.Signature) { r.Barrier = 1 },
		"Reason":  func(r *api.SignedRecord, _ *event.Signature) { r.Reason = "x" },
		"By":      func(_ *api.SignedRecord, s *event.Signature) { s.By = "bob" },
		"Printed": func(_ *api.SignedRecord, s *event.Signature) { s.PrintedName = "Bob" },
		"Meaning": func(_ *api.SignedRecord, s *event.Signature) { s.Meaning = "review" },
		"At":      func(_ *api.SignedRecord, s *event.Signature) { s.At = event.At(start().Add(time.Microsecond)) },
	} {
		t.Run(name, func(t *testing.T) {
			r, s := record, signature
			change(&r, &s)
			if r.Hash(&s) == hash {
				t.Error("the hash does not cover it")
			}
		})
	}
}

func TestAPI_Evidence(t *testing.T) {
	f := newFixture(t)
	f.seed()
	f.addUser("alice", "Alice Weber", "4711", "quality")
	f.addUser("bob", "Bob Stein", "4712", "quality", "operator")
	f.addUser("alice-2", "Alice Weber", "4711", "quality")
	f.addUser("root", "Rita Adler", "4713", "quality", "admin")
	f.addUser("vera", "Vera Lang", "4714", "viewer")
	var u api.User
	f.post("admin", "/users", nil, user("newbie", "Nils Beck", "4715", "quality")).into(t, &u)
	f.post("admin", "/users", nil, map[string]any{
		"name": "paul", "printed_name": "Paul Roth", "person": "4716", "roles": []string{"quality"}, "plants": []string{"p2"}, "password": firstPassword,
	}).into(t, &u)
	f.post("viewer", "/users/paul/password", nil, map[string]string{"old": firstPassword, "new": ownPassword}).into(t, &u)

	const lotE = event.LotKey("lot:1000:MAT-100:L-88400")
	f.mustApply("lot-e", "p1", created(lotE))
	path := lotPath(lotE) + "/evidence"
	gap := f.gap(lotE)
	for name, c := range map[string]struct {
		body   map[string]any
		status int
		code   problem.Code
	}{
		"ErrOneOfTwo":    {signing(gap, "alice"), http.StatusConflict, problem.RuleRefused},
		"ErrSamePerson":  {signing(gap, "alice", "alice-2"), http.StatusConflict, problem.SignerRepeated},
		"ErrSameUser":    {signing(gap, "alice", "alice"), http.StatusConflict, problem.SignerRepeated},
		"ErrAdmin":       {signing(gap, "alice", "root"), http.StatusForbidden, problem.SignatureRefused},
		"ErrViewer":      {signing(gap, "vera", "alice"), http.StatusForbidden, problem.SignatureRefused},
		"ErrOtherPlant":  {signing(gap, "alice", "paul"), http.StatusForbidden, problem.SignatureRefused},
		"ErrUnknownUser": {signing(gap, "alice", "mallory"), http.StatusUnauthorized, problem.PasswordRefused},
		"ErrToken":       {signing(gap, "quality", "alice"), http.StatusUnauthorized, problem.PasswordRefused}, // a token's principal is no user
		"ErrNothing":     {map[string]any{"reason": "x", "signers": signing(gap, "alice", "bob")["signers"]}, http.StatusUnprocessableEntity, problem.Usage},
		"ErrNoReason":    {map[string]any{"reason": " ", "gap": gap, "signers": signing(gap, "alice", "bob")["signers"]}, http.StatusUnprocessableEntity, problem.ReasonNeeded},
		"ErrOtherGap":    {signing("gap:p1:none", "alice", "bob"), http.StatusConflict, problem.RuleRefused},
		"ErrNoSuchAgent": {answering("p1", "a9", 1, "alice", "bob"), http.StatusConflict, problem.RuleRefused},
		"ErrNotAsking":   {answering("p1", "a1", 999, "alice", "bob"), http.StatusConflict, problem.RuleRefused}, // the gap comes first
		"ErrNobody":      {map[string]any{"reason": "x", "gap": gap, "signers": []string{}}, http.StatusUnprocessableEntity, problem.Usage},
	} {
		t.Run(name, func(t *testing.T) { f.post("quality", path, nil, c.body).refused(t, c.status, c.code) })
	}
	t.Run("ErrGivenPassword", func(t *testing.T) {
		body := signing(gap, "alice", "newbie")
		body["signers"].([]map[string]string)[1]["password"] = firstPassword
		f.post("quality", path, nil, body).refused(t, http.StatusForbidden, problem.SignatureRefused)
	})
	t.Run("ErrStale", func(t *testing.T) {
		f.post("quality", path, http.Header{"If-Match": {`"999"`}}, signing(gap, "alice", "bob")).refused(t, http.StatusPreconditionFailed, problem.StateMoved)
	})
	t.Run("ErrHiddenLot", func(t *testing.T) {
		f.post("alice-p1", lotPath(lotC)+"/evidence", nil, signing(gap, "alice", "bob")).refused(t, http.StatusNotFound, problem.ObjectHidden)
	})
	t.Run("OK", func(t *testing.T) {
		tag := f.get("quality", lotPath(lotE)).header.Get("ETag")
		header := func() http.Header { return http.Header{"If-Match": {tag}, "Idempotency-Key": {"k"}} }
		var e api.Evidence
		f.post("quality", path, header(), signing(gap, "alice", "bob")).into(t, &e)
		if len(e.Signatures) != 2 || e.Signatures[0].PrintedName != "Alice Weber" || e.Signatures[1].By != "bob" || fmt.Sprintf(`"%d"`, e.Version) != tag {
			t.Fatalf("signed is %+v", e)
		}
		record := api.SignedRecord{Lot: e.Lot, Version: e.Version, Gap: e.Gap, Reason: e.Reason}
		for i := range e.Signatures {
			if s := &e.Signatures[i]; s.RecordHash != record.Hash(s) || s.Meaning == "" || !s.At.Equal(f.now.UTC().Truncate(time.Microsecond)) {
				t.Errorf("signature is %+v", s)
			}
		}
		a := f.post("quality", path, header(), signing(gap, "alice", "bob"))
		var again api.Evidence
		if a.into(t, &again); a.header.Get("Idempotent-Replayed") != "true" || again.ID != e.ID || again.Signatures[0].RecordHash != e.Signatures[0].RecordHash {
			t.Errorf("the second answer is %+v", again)
		}
		if err := f.store.View(t.Context(), func(tx *store.Tx) error {
			entries, err := tx.EntriesOf(lotE)
			found := false
			for _, x := range entries {
				// Names, meaning and hashes stand in the chain, not beside it.
				found = found || x.EventID == e.ID && x.Principal == "alice, bob" && x.Reason == e.Reason && strings.Contains(x.Now, "Bob Stein") &&
					strings.Contains(x.Now, e.Signatures[0].Meaning) && strings.Contains(x.Now, string(e.Signatures[1].RecordHash))
			}
			if !found {
				t.Error("the ledger does not have both persons and their reason")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a missing answer", func(t *testing.T) {
		var c api.Coverage
		f.get("viewer", "/coverage?lot="+url.QueryEscape(string(lotE))).into(t, &c)
		if c.Release != quality.Asking || len(c.Gaps) != 0 || len(c.Accepted) != 1 || len(c.Answers) != 1 || !c.Answers[0].Missing {
			t.Fatalf("the lot's coverage is %+v", c)
		}
		if c.Barrier == 0 {
			f.post("quality", path, nil, answering("p1", "a1", 999, "alice", "bob")).refused(t, http.StatusConflict, problem.RuleRefused)
			f.timers("the lot asks", func() bool {
				f.get("viewer", "/coverage?lot="+url.QueryEscape(string(lotE))).into(t, &c)
				return c.Barrier > 0
			})
		}
		f.post("quality", path, nil, answering("p1", "a1", c.Barrier+1, "alice", "bob")).refused(t, http.StatusConflict, problem.RuleRefused)
		var e api.Evidence
		f.post("quality", path, nil, answering("p1", "a1", c.Barrier, "alice", "bob")).into(t, &e)
		f.timers("the lot is granted", func() bool { return f.release(lotE) == quality.Releasing })
		f.post("quality", path, nil, answering("p1", "a1", c.Barrier, "alice", "bob")).refused(t, http.StatusConflict, problem.RuleRefused)
	})
	t.Run("one person where the plant's policy says so", func(t *testing.T) {
		var e api.Evidence
		f.post("quality", lotPath(lotC)+"/evidence", nil, signing(f.gap(lotC), "paul")).into(t, &e)
	})
	f.silent()
}

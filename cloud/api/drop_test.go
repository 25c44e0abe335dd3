package api_test

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func letterPath(id int64) string { return "/deadletters/" + strconv.FormatInt(id, 10) }

// signed is the body of an act that persons sign.
func signed(reason string, signers ...string) map[string]any {
	body := signing("", signers...)
	delete(body, "gap")
	body["reason"] = reason
	return body
}

// late applies an event of a lot behind a later one of it, which parks the lot, and returns its dead letter.
func (f *fixture) late(id string, lot event.LotKey) int64 {
	f.t.Helper()
	n := f.seq["p1"]
	f.seq["p1"] = n + 1
	f.mustApply(id+"-after", "p1", passed(lot, "41"))
	f.seq["p1"] = n
	r := f.apply(id, "p1", passed(lot, "42"))
	if r.Outcome != workflow.Parked {
		f.t.Fatalf("event %s: %s: %v", id, r.Outcome, r.Cause)
	}
	f.seq["p1"] = n + 2
	return r.Deadletter
}

// passed is a measurement that tells nothing bad.
func passed(lot event.LotKey, value string) *event.CharacteristicRecorded {
	d := measured(lot, value, "", "50")
	d.Evaluation = event.Pass
	return d
}

func TestAPI_Drop(t *testing.T) {
	f := newFixture(t)
	f.seed()
	f.addUser("alice", "Alice Weber", "4711", "quality")
	f.addUser("bob", "Bob Stein", "4712", "quality")
	f.addUser("alice-2", "Alice Weber", "4711", "quality")
	f.addUser("vera", "Vera Lang", "4714", "viewer")
	const lotE = event.LotKey("lot:1000:MAT-100:L-88600")
	f.mustApply("lot-e", "p1", created(lotE))
	id := f.late("bad", lotE)
	behind := f.apply("behind", "p1", passed(lotE, "43")).Deadletter
	path := letterPath(id) + "/drop"
	var before api.Deadletter
	f.get("quality", letterPath(id)).into(t, &before)

	for name, c := range map[string]struct {
		body   map[string]any
		status int
		code   problem.Code
	}{
		"ErrOnePerson":  {signed("never made", "alice"), http.StatusUnprocessableEntity, problem.Usage},
		"ErrSamePerson": {signed("never made", "alice", "alice-2"), http.StatusConflict, problem.SignerRepeated},
		"ErrViewer":     {signed("never made", "alice", "vera"), http.StatusForbidden, problem.SignatureRefused},
		"ErrNoReason":   {signed(" ", "alice", "bob"), http.StatusUnprocessableEntity, problem.ReasonNeeded},
	} {
		t.Run(name, func(t *testing.T) { f.post("quality", path, nil, c.body).refused(t, c.status, c.code) })
	}
	f.post("quality", letterPath(999)+"/drop", nil, signed("x", "alice", "bob")).refused(t, http.StatusNotFound, problem.ObjectHidden)
	if got := f.release(lotE); got != quality.Asking {
		t.Fatalf("the lot stands at %s", got)
	}

	var d api.Dropped
	header := func() http.Header { return http.Header{"Idempotency-Key": {"k"}} }
	f.post("quality", path, header(), signed("never made", "alice", "bob")).into(t, &d)
	if d.ID != id || !slices.Equal(d.Left, []int64{behind}) || len(d.Signatures) != 2 || d.RawSHA256 != workflow.RawHash(before.Raw) {
		t.Fatalf("dropped is %+v", d)
	}
	record := api.SignedAct{
		Act: workflow.ActDeadletterDrop, About: workflow.DropDeadletter(id, d.RawSHA256).About, Reason: "never made",
		Details: workflow.DropDeadletter(id, d.RawSHA256).Detail,
	}
	for i := range d.Signatures {
		if s := &d.Signatures[i]; s.RecordHash != record.Hash(s) || s.Meaning == "" {
			t.Errorf("signature is %+v", s)
		}
	}
	if a := f.post("quality", path, header(), signed("never made", "alice", "bob")); a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same act again is another one: %s", a.body)
	}
	f.post("quality", path, nil, signed("never made", "alice", "bob")).refused(t, http.StatusConflict, problem.RuleRefused)

	t.Run("it can still be read, whole", func(t *testing.T) {
		var after api.Deadletter
		f.get("auditor", letterPath(id)).into(t, &after)
		if after.State != store.Dropped || !bytes.Equal(after.Raw, before.Raw) || after.Headers["ce_id"] != before.Headers["ce_id"] {
			t.Errorf("it is %+v", after)
		}
	})
	t.Run("the ledger has both persons, reason and hash", func(t *testing.T) {
		found := false
		if err := f.store.View(t.Context(), func(tx *store.Tx) error {
			entries, err := tx.Entries(0, 1000)
			for i := range entries {
				e := &entries[i]
				found = found || e.Principal == "alice, bob" && e.Reason == "never made" && bytes.Contains([]byte(e.Now), []byte(d.RawSHA256)) && bytes.Contains([]byte(e.Now), []byte("Bob Stein"))
			}
			return err
		}); err != nil || !found {
			t.Errorf("not found, %v", err)
		}
	})
	t.Run("the release goes on once nothing waits", func(t *testing.T) {
		if f.waits(lotE) == 0 {
			t.Error("the lot waits for nothing, though another record of it is parked")
		}
		f.post("quality", letterPath(behind)+"/drop", nil, signed("never made", "alice", "bob")).into(t, &d)
		f.answer("p1")
		f.timers("the lot is granted", func() bool { return f.release(lotE) == quality.Releasing })
	})
	t.Run("another copy of it does not come up again", func(t *testing.T) {
		if r := f.apply("bad", "p1", passed(lotE, "42")); r.Outcome != workflow.Duplicate {
			t.Errorf("it is %s: %v", r.Outcome, r.Cause)
		}
	})
	f.silent()
}

// waits returns for how many records of a lot its release waits.
func (f *fixture) waits(lot event.LotKey) (n int) {
	f.t.Helper()
	if err := f.store.View(f.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.DeadlettersOf(lot)
		n = len(rows)
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	return n
}

package qms_test

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/qms"
)

const lot = "lot:p5:MAT%20100:L1"

func TestSimulator_Dispositions(t *testing.T) {
	s, call := start(t, qms.Config{Token: "T"})
	made := call("POST", "/dispositions", `{"lot":"`+lot+`","quantity":"500","unit":"kg"}`)
	if made.status != 201 || made.body["outcome"] != nil || made.body["signature"] != nil || made.body["material"] != "MAT 100" || made.body["scope"] != "p5" {
		t.Fatalf("opened: %s", made.raw)
	}
	for name, body := range map[string]string{
		"no reason":   `{"decision":"accepted","name":"Eve"}`,
		"no name":     `{"decision":"accepted","reason":"fine"}`,
		"no decision": `{"decision":"perhaps","name":"Eve","reason":"fine"}`,
	} {
		if got := call("POST", "/dispositions/DSP-00001/sign", body); got.status != 422 {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if _, err := s.Revise("DSP-00001", qms.Signature{Decision: qms.Rejected, Name: "Eve", Reason: "late fail"}); err == nil {
		t.Error("what nobody signed was revised")
	}
	signed := call("POST", "/dispositions/DSP-00001/sign", `{"decision":"accepted","name":"Eve","reason":"fine"}`)
	if signed.status != 200 || signed.body["revision"] != 1.0 || signed.body["signature"].(map[string]any)["name"] != "Eve" {
		t.Errorf("signed: %s", signed.raw)
	}
	if err := s.Sign("DSP-00001", qms.Signature{Decision: qms.Rejected, Name: "Eve", Reason: "again"}); err == nil {
		t.Error("a decision was signed twice")
	}
	revised := call("POST", "/dispositions/DSP-00001/revise", `{"decision":"rejected","name":"Eve","reason":"late fail"}`)
	if revised.status != 201 || revised.body["supersedes"] != "DSP-00001" {
		t.Errorf("revised: %s", revised.raw)
	}
	if in, ok := s.InForce(lot); !ok || in.ID != "DSP-00002" || in.Decision != qms.Rejected || len(s.Dispositions(lot)) != 2 {
		t.Errorf("in force: %+v", in)
	}
	if err := s.Amend("DSP-00002", qms.Signature{Decision: qms.Scrapped, Name: "Eve", Reason: "worse"}); err != nil || s.Dispositions(lot)[1].Revision != 2 {
		t.Errorf("amended: %v, %+v", err, s.Dispositions(lot))
	}
	var kinds []string
	for _, e := range s.Of(lot) {
		kinds = append(kinds, e.Kind)
	}
	if want := 4; len(kinds) != want || kinds[1] != "disposition_signed" || kinds[2] != "disposition_revised" {
		t.Errorf("book %v", kinds)
	}
}

func TestSimulator_Engage(t *testing.T) {
	s, err := qms.New(qms.Config{})
	if err != nil {
		t.Fatal(err)
	}
	good, bad, told := s.AwaitDisposition("lot::M:good", "1", "kg"), s.AwaitDisposition("lot::M:bad", "1", "kg"), s.AwaitDisposition("lot::M:told", "1", "kg")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s.Engage(ctx, qms.Engineer{Name: "Eve", Decide: func(d qms.Disposition) (qms.Signature, time.Duration, bool) {
		_, isGood := s.InForce("lot::M:good")
		_, isBad := s.InForce("lot::M:bad")
		if isGood && isBad {
			cancel() // all that is to be decided by rule is
		}
		switch d.ID {
		case good:
			return qms.Signature{Decision: qms.Accepted, Reason: "within limits"}, 30 * time.Millisecond, true
		case bad:
			return qms.Signature{Decision: qms.Rejected, Reason: "torque", Name: "Ann"}, 0, true
		}
		return qms.Signature{}, 0, false
	}})
	for id, want := range map[string]string{good: "Eve", bad: "Ann", told: ""} {
		for _, l := range []string{"lot::M:good", "lot::M:bad", "lot::M:told"} {
			if d := s.Dispositions(l)[0]; d.ID == id && d.Name != want {
				t.Errorf("%s is signed by %q, want %q", l, d.Name, want)
			}
		}
	}
}

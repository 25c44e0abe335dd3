package rest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/connectortest"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/notice"
	"github.com/holdfast-mesh/holdfast/test/sim/service"
)

type bookEntry = book.Entry

func newSink(t *testing.T, references string) *notice.Sink {
	t.Helper()
	sim, err := notice.New(notice.Config{Config: service.Config{Token: token}, References: references})
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

func noticeEffect(n int) quality.Effect {
	object := fmt.Sprintf("notice:%d", n)
	id := quality.CommandID("w9", object, "held", 1)
	return quality.Effect{
		CommandID: id, Ref: quality.Reference(id), Kind: quality.NoticeSend, System: "mail", Object: object + "#held", Lot: "lot::MAT-100:L-1", Generation: 1,
		Notice: &quality.NoticeMessage{
			Step: quality.NoticeHeld, Order: fmt.Sprintf("SO-%d", n), Line: "10", Customer: "ACME", Lot: "lot::MAT-100:L-1", Reason: "torque 61.2 N.m above 50",
			PromisedAt: time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC),
		},
	}
}

func sinkRig(t *testing.T, references string) *connectortest.Rig {
	sim := newSink(t, references)
	rig := serviceRig(t, "testdata/notice.rest.yaml", sim.Service)
	rig.Effect = func(_ *testing.T, _ quality.Kind, n int) quality.Effect { return noticeEffect(n) }
	rig.Count = func(e quality.Effect) int {
		return len(sim.Of(e.Notice.Order + "/" + e.Notice.Line + " " + string(e.Notice.Lot)))
	}
	rig.Forgetful = func(t *testing.T, how string) *connectortest.Rig { return sinkRig(t, how) }
	rig.Snapshot, rig.Restore = sim.Snapshot, sim.Restore
	rig.Exact = func(*testing.T) (all []connectortest.Exact) {
		for i, reason := range []string{"0007", `He said "no" \ <b>&amp;</b> {{.Ref}}`, "尺寸超差 ±0.001\nsecond line"} {
			e := noticeEffect(100 + i)
			e.Notice.Reason = reason
			all = append(all, connectortest.Exact{Name: fmt.Sprint(i), Effect: e, Same: func(connector.View) error {
				if text := sim.About(e.Notice.Order, "10", string(e.Notice.Lot))[0].Text; !strings.Contains(text, reason) {
					return fmt.Errorf("text %q, want it to hold %q", text, reason)
				}
				return nil
			}})
		}
		return all
	}
	return rig
}

func TestSuite_Notice(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) *connectortest.Rig { return sinkRig(t, "") }, &connectortest.Bare{})
}

func TestClient_Write_Notice(t *testing.T) {
	sim := newSink(t, "")
	c := dialSim(t, "testdata/notice.rest.yaml", sim.Service)
	e := noticeEffect(1)
	if r := c.Write(t.Context(), e, nil); r.Outcome != "" || r.Ref.ID != "MSG-00001" {
		t.Fatalf("sent: %v, %+v", r, r.Ref)
	}
	sent := sim.ByID(string(e.Ref))
	if len(sent) != 1 || sent[0].Subject != "Order SO-1 line 10 of ACME: lot L-1 is held" || sent[0].Promised != "2026-11-25T08:00:00Z" ||
		!strings.Contains(sent[0].Text, e.Notice.Reason) {
		t.Errorf("the sink has %+v", sent)
	}
	again := *e.Notice
	again.Reason = connector.PossibleRepeat + again.Reason
	e.Notice = &again
	if r := c.Write(t.Context(), e, nil); r.Outcome != "" {
		t.Fatalf("sent again: %v", r)
	}
	if sent := sim.ByID(string(e.Ref)); len(sent) != 2 || sent[0].Repeat || !sent[1].Repeat || !sent[1].Duplicate {
		t.Errorf("sent again: the sink has %+v", sent)
	}
	e.Notice = nil
	if r := c.Write(t.Context(), e, nil); r.Outcome != event.Rejected {
		t.Errorf("an effect without a message: %v", r)
	}
}

func TestClient_Notice_Blind(t *testing.T) {
	raw, err := os.ReadFile("testdata/notice.rest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	from, to := strings.Index(text, "  find:\n"), strings.Index(text, "  header:")
	file := filepath.Join(t.TempDir(), "blind.yaml")
	if err := os.WriteFile(file, []byte(text[:from]+text[to:]), 0o600); err != nil {
		t.Fatal(err)
	}
	sim := newSink(t, "")
	c := dialSim(t, file, sim.Service)
	e := noticeEffect(1)
	if refs, err := c.Find(t.Context(), e); !c.Caps().Blind || err != nil || len(refs) != 0 {
		t.Errorf("blind %t, found %v, %v", c.Caps().Blind, refs, err)
	}
	if r := c.Write(t.Context(), e, nil); r.Outcome != "" || len(sim.ByID(string(e.Ref))) != 1 {
		t.Errorf("sent: %v, the sink has %+v", r, sim.Messages())
	}
}

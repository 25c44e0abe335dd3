package localapi

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/downlink"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestClient_Lot(t *testing.T) {
	c, _ := serve(t, &fake{})
	l, err := c.Lot(t.Context(), "lot::MAT%20100:L&1")
	if err != nil || l.Lot != "lot::MAT%20100:L&1" || !l.MayMove {
		t.Errorf("lot is %+v, %v", l, err)
	}
	for name, code := range map[string]problem.Code{"": problem.Usage, "both": problem.Usage} {
		if _, err := c.Lot(t.Context(), name); problem.CodeOf(err) != code {
			t.Errorf("name %q gives %v, want %s", name, err, code)
		}
	}
	page, err := c.Lots(t.Context(), "lot::M:L&")
	if err != nil || len(page.Lots) != 1 || page.Lots[0].Lot != "lot::M:L&1" {
		t.Errorf("page is %+v, %v", page, err)
	}
}

// TestNewLot proves that each reason comes in words, and that no answer against moving has an end.
func TestNewLot(t *testing.T) {
	at := event.At(time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC))
	status := &event.LotStatusUpdated{
		Version: 7, Disposition: "release", AsOf: at, OpenHolds: []event.OpenHold{
			{HoldID: "hold:mes1:H-1", HoldKind: event.HoldSafety, Reason: "torque", PlacedAt: at},
			{HoldID: "hold:mes1:H-2", HoldKind: event.HoldDoc, Reason: "no certificate", PlacedAt: at},
		},
		Usage: []event.SystemUsage{{System: "erp1", Usage: event.Blocked, Raw: "07", VerifiedAt: at}},
	}
	local := []LotReason{{ReasonLocal, "a hold of this plant"}}
	for _, c := range []struct {
		name   string
		answer downlink.Answer
		local  []LotReason
		may    bool
		want   []string // a part of each reason's text, in order
	}{
		{"free", downlink.Answer{MayMove: true, Status: status, AgeKnown: true, Age: time.Minute, Expires: time.Hour}, nil, true, nil},
		{"free, but for this plant", downlink.Answer{MayMove: true, Status: status, AgeKnown: true, Expires: time.Hour}, local, false, []string{"a hold of this plant"}},
		{"unknown", downlink.Answer{Why: []downlink.Why{downlink.UnknownLot}}, nil, false, []string{"said nothing of this lot"}},
		{"not understood", downlink.Answer{Why: []downlink.Why{downlink.Unreadable}, Fault: "no time"}, nil, false, []string{"not understood: no time"}},
		{"too old", downlink.Answer{Why: []downlink.Why{downlink.Expired}, AgeKnown: true, Age: 5 * time.Hour}, nil, false, []string{"5h0m0s ago"}},
		{"of unknown age", downlink.Answer{Why: []downlink.Why{downlink.Expired}}, nil, false, []string{"not known how long ago"}},
		{"two holds and one of this plant", downlink.Answer{Why: []downlink.Why{downlink.Why(event.ReasonOpenHold)}, Status: status}, local, false,
			[]string{"a hold of this plant", "2026-11-24T06:30:00Z: torque (safety, hold:mes1:H-1)", "no certificate (doc, hold:mes1:H-2)"}},
		{"a hold that is not named", downlink.Answer{Why: []downlink.Why{downlink.Why(event.ReasonOpenHold)}}, nil, false, []string{"it is held"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := NewLot(c.answer, 4*time.Hour, c.local)
			if l.MayMove != c.may || (l.ExpiresIn > 0) != c.may || len(l.Why) != len(c.want) || l.Why == nil || l.Usage == nil {
				t.Fatalf("lot is %+v", l)
			}
			for i, part := range c.want {
				if !strings.Contains(l.Why[i].Text, part) || l.Why[i].Code == "" {
					t.Errorf("reason %d is %+v, want %q", i, l.Why[i], part)
				}
			}
			if c.answer.Status != nil && (l.Version != 7 || l.Disposition != "release" || l.Usage[0] != (LotUsage{"erp1", "blocked", "07", at.Time})) {
				t.Errorf("facts are %+v", l)
			}
		})
	}
	for _, reason := range []event.MoveReason{
		event.ReasonNoDisposition, event.ReasonGap, event.ReasonParked, event.ReasonQuarantine, event.ReasonBarrier, event.ReasonForeignRestriction,
		event.ReasonUsageNotVerified,
	} {
		if l := NewLot(downlink.Answer{Why: []downlink.Why{downlink.Why(reason)}}, 0, nil); l.Why[0].Code != string(reason) || !strings.Contains(l.Why[0].Text, " ") {
			t.Errorf("%s has no words: %+v", reason, l.Why)
		}
	}
}

func TestNewDownlink(t *testing.T) {
	s := downlink.Status{Up: true, Barrier: 7, Lots: 3, Age: 90 * time.Second, AgeKnown: true, MaxAge: 4 * time.Hour}
	if d := NewDownlink(s, "a second gateway"); d.Age != 90 || d.MaxAge != 14_400 || d.Superseded != "a second gateway" || d.Barrier != 7 || d.Lots != 3 || !d.Up {
		t.Errorf("downlink is %+v", d)
	}
	s.AgeKnown = false
	if d := NewDownlink(s, ""); d.Age != 0 || d.AgeKnown {
		t.Errorf("an age that is not known is shown: %+v", d)
	}
}

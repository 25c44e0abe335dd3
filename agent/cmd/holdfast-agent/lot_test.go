package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func lots() map[string]localapi.Lot {
	base := localapi.Lot{
		Format: localapi.Format, Plant: "halle-1", Agent: "gw1", AsOf: asOf, AgeKnown: true, Age: 34, Version: 7, StatusAsOf: ago(4 * time.Minute),
		Disposition: "release", Why: []localapi.LotReason{},
	}
	free, held, expired, unknown := base, base, base, base
	free.Lot, free.MayMove, free.ExpiresIn = "lot::MAT-100:L-1", true, 14_366
	free.Usage = []localapi.LotUsage{{System: "erp1", Usage: "unrestricted", Raw: "01", VerifiedAt: ago(3 * time.Minute)}, {System: "erp2", Usage: "unrestricted"}}
	held.Lot, held.Disposition = "lot::MAT-100:L-2", ""
	held.Why = []localapi.LotReason{
		{Code: "recorded_here", Text: "this plant recorded quality.hold.placed.v1 at 2026-11-24T14:01:00Z, which the cloud has not taken in yet"},
		{Code: "open_hold", Text: "held since 2026-11-24T06:30:00Z: torque \x1b[2Jabove limit (safety, hold:mes1:H-17)"},
		{Code: "no_disposition", Text: "nobody has decided on it yet"},
	}
	expired.Lot, expired.AgeKnown, expired.Age = "lot::MAT-100:L-3", false, 0
	expired.Why = []localapi.LotReason{{Code: "expired", Text: "nothing stood against it, but it is not known how long ago"}}
	unknown.Lot, unknown.Version, unknown.StatusAsOf, unknown.Disposition = "L-404", 0, time.Time{}, ""
	unknown.Why = []localapi.LotReason{{Code: "unknown_lot", Text: "the cloud has said nothing of this lot to this plant"}}
	return map[string]localapi.Lot{"free": free, "held": held, "expired": expired, "unknown": unknown}
}

func TestLotShow(t *testing.T) {
	for name, l := range lots() {
		code := cli.ExitRefused
		if l.MayMove {
			code = cli.ExitOK
		}
		socket := serve(t, &fake{lots: []localapi.Lot{l}})
		t.Run(name+" as table", func(t *testing.T) {
			r := call(t, "", nil, "lot", "show", l.Lot, "--socket", socket, "--utc")
			if r.code != code || strings.Contains(r.err, "may not move") == l.MayMove {
				t.Errorf("exit %d, want %d: %s", r.code, code, r.err)
			}
			golden(t, "lot-"+name+".txt", r.out)
		})
		t.Run(name+" as json", func(t *testing.T) {
			r := call(t, "", nil, "lot", "show", l.Lot, "--socket", socket, "-o", "json")
			var got localapi.Lot
			if err := json.Unmarshal([]byte(r.out), &got); err != nil || got.MayMove != l.MayMove || len(got.Why) != len(l.Why) || r.code != code {
				t.Errorf("exit %d, %v: %s", r.code, err, r.out)
			}
		})
	}
	t.Run("ErrUnreachable", func(t *testing.T) {
		if r := call(t, "", nil, "lot", "show", "L-1", "--socket", t.TempDir()+"/none"); r.code != cli.ExitUnreachable || r.out != "" {
			t.Errorf("exit %d: %s", r.code, r.out)
		}
	})
	t.Run("ErrArguments", func(t *testing.T) {
		if r := call(t, "", nil, "lot", "show"); r.code != cli.ExitUsage {
			t.Errorf("exit %d: %s", r.code, r.err)
		}
	})
	t.Run("ErrAmbiguous", func(t *testing.T) {
		socket := serve(t, &fake{fails: problem.New(problem.Usage, "several lots have the number")})
		if r := call(t, "", nil, "lot", "show", "L-1", "--socket", socket); r.code != cli.ExitUsage || !strings.Contains(r.err, "several lots") {
			t.Errorf("exit %d: %s", r.code, r.err)
		}
	})
}

func TestLotList(t *testing.T) {
	all := lots()
	socket := serve(t, &fake{lots: []localapi.Lot{all["free"], all["held"], all["expired"]}})
	t.Run("as table", func(t *testing.T) {
		r := call(t, "", nil, "lot", "list", "--socket", socket, "--utc")
		if r.code != cli.ExitOK || r.err != "" {
			t.Fatalf("exit %d: %s", r.code, r.err)
		}
		golden(t, "lot-list.txt", r.out)
	})
	for state, want := range map[string]int{"all": 3, "free": 1, "held": 2} {
		t.Run(state+" as json", func(t *testing.T) {
			r := call(t, "", nil, "lot", "list", "--socket", socket, "--state", state, "-o", "json")
			var got localapi.Lots
			if err := json.Unmarshal([]byte(r.out), &got); err != nil || len(got.Lots) != want || got.Plant != "halle-1" {
				t.Errorf("%v: %s", err, r.out)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		r := call(t, "", nil, "lot", "list", "--socket", serve(t, &fake{}))
		if r.code != cli.ExitOK || !strings.Contains(r.out, "0 lots") {
			t.Errorf("exit %d: %s", r.code, r.out)
		}
	})
	t.Run("ErrState", func(t *testing.T) {
		if r := call(t, "", nil, "lot", "list", "--socket", socket, "--state", "blue"); r.code != cli.ExitUsage {
			t.Errorf("exit %d: %s", r.code, r.err)
		}
	})
}

package reconcile

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/rest"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
)

// TestFollower_QMS follows the simulated QMS by its connector and guard, while it fails in every way.
func TestFollower_QMS(t *testing.T) {
	const lots = 40
	b := newBench(t)
	sim, err := qms.New(qms.Config{Token: "T"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler)
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("T"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := rest.DefaultConfig()
	cfg.URL, cfg.Mapping, cfg.TokenFile = server.URL, "../connector/rest/testdata/qms.rest.yaml", config.SecretFile(token)
	client, err := rest.New(cfg, rest.Deps{System: "sys", Log: zerolog.Nop(), Random: func() float64 { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	feed := Feed{ID: "sys", System: connector.NewGuard(client, connector.GuardConfig{Open: time.Millisecond, Now: func() time.Time { return b.clock }}), Config: Config{Page: 7}.WithDefaults()}
	b.follower = newFollower(feed, b.deps, newMetrics(nil))

	lot := func(i int) event.LotKey { return event.LotKey(fmt.Sprintf("lot::M:q%02d", i)) }
	var ids []string
	for i := range lots {
		b.lotCreated(lot(i))
		ids = append(ids, sim.AwaitDisposition(string(lot(i)), "500", "kg"))
	}
	for _, f := range []fault.Fault{
		{Kind: fault.Status, On: "read", Every: 5}, {Kind: fault.ErrorBody, On: "read", Every: 7}, {Kind: fault.Garbage, On: "read", Every: 11},
		{Kind: fault.LoginPage, On: "read", Every: 13}, {Kind: fault.Throttle, On: "read", Times: 1, RetryAfter: "1"}, {Kind: fault.LostBefore, On: "read", Every: 17},
	} {
		sim.Faults.Add(f)
	}
	failed, last := 0, error(nil)
	turn := func() {
		b.clock = b.clock.Add(time.Second)
		if _, err := b.step(t.Context()); err != nil {
			failed++
			last = err
		}
	}
	for i, id := range ids {
		if err := sim.Sign(id, qms.Signature{Decision: qms.Accepted, Name: "Eve Q", Reason: "within limits"}); err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 {
			if _, err := sim.Revise(id, qms.Signature{Decision: qms.Rejected, Name: "Eve Q", Reason: "late fail"}); err != nil {
				t.Fatal(err)
			}
		}
		turn()
	}
	for range 2000 {
		if failed > 0 && b.complete(lots, lot) {
			break
		}
		turn()
	}
	if failed == 0 {
		t.Error("no fault acted")
	}
	for i := range lots {
		got, want := b.events(lot(i)), 1
		if i%4 == 0 {
			want = 2
		}
		if len(got) != want || got[0].Type() != event.TypeDispositionDecided || got[want-1].Type() != []event.Type{event.TypeDispositionDecided, event.TypeDispositionRevised}[want-1] {
			t.Fatalf("lot %d: events %+v, want %d; the last failure of %d is %v", i, got, want, failed, last)
		}
	}
	if got := b.unreadObjects(); len(got) != 0 {
		t.Errorf("unread %+v", got)
	}
}

// complete tells whether each lot's newest decision has come.
func (b *bench) complete(lots int, lot func(int) event.LotKey) bool {
	for i := range lots {
		want := 1
		if i%4 == 0 {
			want = 2
		}
		if len(b.events(lot(i))) < want {
			return false
		}
	}
	return true
}

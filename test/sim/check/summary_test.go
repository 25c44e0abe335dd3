package check

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// tell writes the history of three lots of two plants: one is freed 2 s after its decision; one waits 3 s for a hold, 5 s
// for a gap of its machine that overlaps 1 s of that, and 4 s for an answer; one waits for an answer still.
func tell() *Run {
	a := &tale{seqs: map[event.Epoch]int64{}}
	a.run.ERPs = []string{"s4"}
	const lotC = event.LotKey("lot::M:C")
	made := func(plant string, lot event.LotKey) {
		a.applies(history.Fact{Type: event.TypeLotCreated, Plant: plant, Lot: lot, Equipment: "press1", At: at(0)})
		a.applies(history.Fact{Type: event.TypeRunStarted, Plant: plant, Lot: lot, Equipment: "press1", At: at(0), Time: at(0)})
	}
	made("p1", lotA)
	made("p1", lotB)
	made("p2", lotC)
	decided := func(second int, lot event.LotKey, id string) {
		a.add(history.Fact{Kind: history.Offered, Object: id, Detail: "release", At: at(second - 1)})
		a.applies(history.Fact{Type: event.TypeDispositionDecided, Lot: lot, Object: id, Detail: "release", At: at(second)})
	}
	granted := func(second int, lot event.LotKey) {
		a.pos++
		a.add(history.Fact{Kind: history.Release, Lot: lot, Pos: a.pos, At: at(second)})
	}
	decided(10, lotA, "D-1")
	granted(11, lotA)
	a.add(history.Fact{Kind: history.EffectSeen, System: "s4", Lot: lotA, Effect: "flag_cleared", Free: true, At: at(12)})
	decided(20, lotB, "D-2")
	a.add(history.Fact{Kind: history.Put, Event: "n-hold", At: at(19)})
	a.add(history.Fact{Kind: history.Hold, Lot: lotB, Hold: "H", Event: "n-hold", State: history.Placed, At: at(20), Pos: a.pos})
	a.add(history.Fact{Kind: history.EffectSeen, System: "s4", Lot: lotB, Effect: "flag_set", At: at(21)})
	a.add(history.Fact{Kind: history.Hold, Lot: lotB, Hold: "H", State: history.Lifted, At: at(23), Pos: a.pos + 1})
	a.add(history.Fact{Kind: history.Gap, Plant: "p1", Gap: "G", Equipment: "press1", State: history.Open, At: at(22), From: at(1), To: at(2), Pos: a.pos})
	a.add(history.Fact{Kind: history.Gap, Gap: "G", State: history.Accepted, Lot: lotB, At: at(27), Pos: a.pos})
	a.pos++
	granted(31, lotB)
	a.add(history.Fact{Kind: history.EffectSeen, System: "s4", Lot: lotB, Effect: "flag_cleared", Free: true, At: at(32)})
	decided(40, lotC, "D-3")
	return &a.run
}

func TestSummarise(t *testing.T) {
	table := Summarise(tell(), at(50))
	if len(table) != 2 || table[0].Plant != "p1" || table[1].Plant != "p2" {
		t.Fatalf("table %+v", table)
	}
	p1, p2 := table[0], table[1]
	if p1.Lots != 2 || p1.Released != 2 || p2.Lots != 1 || p2.Released != 0 {
		t.Errorf("lots and releases: %+v, %+v", p1, p2)
	}
	for reason, want := range map[string]time.Duration{
		WaitHold: 3 * time.Second, WaitGap: 5 * time.Second, WaitAnswer: 1*time.Second + 4*time.Second, WaitParked: 0, WaitQuarantine: 0,
	} {
		if p1.Waited[reason] != want {
			t.Errorf("plant p1 waited %s for %s, want %s", p1.Waited[reason], reason, want)
		}
	}
	if p2.Waited[WaitAnswer] != 10*time.Second || p2.Waiting[WaitAnswer] != 1 {
		t.Errorf("plant p2 waited %s for answers, %d still, want 10s and 1", p2.Waited[WaitAnswer], p2.Waiting[WaitAnswer])
	}
	if len(p1.Holds) != 1 || p1.Holds[0] != 2*time.Second {
		t.Errorf("holds took %v, want 2s from the gateway's disk to the ERP", p1.Holds)
	}
	if len(p1.Releases) != 2 || p1.Releases[0] != 3*time.Second || p1.Releases[1] != 13*time.Second {
		t.Errorf("releases took %v, want 3s and 13s from the signature to the ERP", p1.Releases)
	}
	waits, took, _ := strings.Cut(table.String(), "\n\n")
	for _, text := range []string{waits, took} {
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		for _, l := range lines {
			if len(l) != len(lines[0]) || len(l) > 100 || len(lines) != 3 {
				t.Errorf("lines are not aligned, or too long:\n%s", table)
				break
			}
		}
	}
	if !strings.Contains(waits, "5.0 s") || !strings.Contains(waits, "10 s, 1 still") || !strings.Contains(took, "2000 ms") {
		t.Errorf("text:\n%s", table)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		of        []time.Duration
		inHundred int
		want      time.Duration
	}{{nil, 99, 0}, {hundred[:1], 50, 1}, {hundred, 50, 50}, {hundred, 99, 99}, {hundred[:3], 99, 3}, {hundred, 100, 100}} {
		if got := Percentile(c.of, c.inHundred); got != c.want {
			t.Errorf("%d%% of %d values is %d, want %d", c.inHundred, len(c.of), got, c.want)
		}
	}
}

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/check"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/gen"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// TestF50_ExactlyOneEffectThroughAnOutage plays 400 lots with all that goes wrong in a plant, while the ERP is down for
// 20 s and one answer in 50 of ERP and QMS is lost after its effect. In the end each lot stands in the ERP as its facts
// ask for, and no effect took place twice.
func TestF50_ExactlyOneEffectThroughAnOutage(t *testing.T) {
	t.Parallel()
	const seed, outage = 50, 20 * time.Second
	s := start(t, stack.Config{})
	for _, system := range []*fault.Set{s.SAP.Faults, s.QMS.Faults} {
		system.Add(fault.Fault{Kind: fault.LostAfter, Every: 50})
	}
	plan := gen.Plan{
		Start: time.Now(), Lots: 400, Parts: 8, Every: 12 * time.Millisecond, Drifting: 80, Unsafe: 150, Failing: 150, Corrected: 60,
		WrongUnit: 30, UnknownCode: 30, Garbled: 30, Held: 200, Lifted: 500, Duplicated: 30, Late: 20, Swapped: 30,
	}
	stream, err := gen.Generate(seed, plan)
	if err != nil {
		t.Fatal(err)
	}
	cut := time.AfterFunc(5*time.Second, s.ERP.Cut)
	heal := time.AfterFunc(5*time.Second+outage, s.ERP.Heal)
	defer cut.Stop()
	defer heal.Stop()
	play(t, s, plan.Start, stream)
	played := time.Now()
	settle(t, 90*time.Second, func() []string { return states(s, stream.Lots) })
	blocked := time.Since(played)
	// A nonconformance whose own measurement waits for a person is recorded after a minute without it.
	settle(t, 2*time.Minute, func() []string { return records(s, stream.Lots) })
	recorded := time.Since(played)
	wrong, doubled := states(s, stream.Lots), check.Doubled(append(s.SAP.Book(), s.QMS.Book()...), limits(stream.Lots))
	for _, w := range wrong {
		t.Errorf("no longer as before: %s", w)
	}
	for _, w := range doubled {
		t.Error(w)
	}
	figures(t, "seed=%d messages=%d lots=%d lost=%d duplicates=%d recovery=%s",
		seed, len(stream.Messages), len(stream.Lots), len(wrong), len(doubled), blocked.Round(time.Millisecond))
	count := map[gen.State]int{}
	for i := range stream.Lots {
		count[stream.Lots[i].Want]++
	}
	t.Logf("seed %d: %d messages of %d lots in %s; ERP right %s later, QMS %s later: lots %v; effects: ERP %d, QMS %d; answers lost: ERP %d, QMS %d",
		seed, len(stream.Messages), len(stream.Lots), played.Sub(plan.Start).Round(time.Millisecond), blocked.Round(time.Millisecond),
		recorded.Round(time.Millisecond), count,
		len(s.SAP.Book()), len(s.QMS.Book()), s.SAP.Faults.Acted(), s.QMS.Faults.Acted())
	if s.SAP.Faults.Acted() == 0 || s.QMS.Faults.Acted() == 0 {
		t.Error("no answer was lost: the test proves nothing")
	}
}

// play publishes a stream at its own pace.
func play(t *testing.T, s *stack.Stack, start time.Time, stream gen.Stream) {
	t.Helper()
	p := publisher(t, s, "plant")
	for _, m := range stream.Messages {
		if wait := time.Until(start.Add(m.Offset)); wait > 0 {
			<-time.After(wait)
		}
		if err := p.SendRaw(m.Topic, m.Payload); err != nil {
			t.Fatal(err)
		}
	}
}

// settle waits until nothing is wrong any more, and fails the test with what is after limit.
func settle(t *testing.T, limit time.Duration, look func() []string) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for wrong := look(); len(wrong) > 0; wrong = look() {
		select {
		case <-deadline:
			t.Fatalf("after %s still wrong:\n%s", limit, strings.Join(wrong, "\n"))
		case <-tick.C:
		}
	}
}

// states compares the lots in the ERP's own book and stock with what the plant's facts ask for.
func states(s *stack.Stack, lots []gen.Lot) []string {
	held := map[string]bool{} // by the last line of the book
	for _, e := range s.SAP.Book() {
		held[e.Batch] = !e.FreeAfter
	}
	want := map[string]bool{}
	var wrong []string
	for i := range lots {
		l := &lots[i]
		want[l.Number] = l.Want != gen.Free
		if l.Want == gen.Blocked && s.SAP.Stock(l.Material, l.Number, "07") == "0" {
			wrong = append(wrong, "lot "+l.Number+" failed for safety and none of it is in blocked stock")
		}
	}
	return append(wrong, check.EndState(want, func(lot string) bool { return !held[lot] })...)
}

// records compares the nonconformances in the QMS with the inspections that failed.
func records(s *stack.Stack, lots []gen.Lot) []string {
	var wrong []string
	missing := map[string]string{} // by inspection, its lot
	for i := range lots {
		for _, inspection := range lots[i].Failed {
			missing[inspection] = lots[i].Number
		}
	}
	for _, e := range s.QMS.Book() {
		if e.Kind != "record_created" {
			continue
		}
		inspection := e.Key[strings.LastIndexByte(e.Key, ':')+1:]
		if missing[inspection] == "" {
			wrong = append(wrong, "nonconformance "+e.Key+" is recorded twice, or nothing asked for it")
		}
		delete(missing, inspection)
	}
	for inspection, lot := range missing {
		wrong = append(wrong, "no nonconformance of inspection "+inspection+" of lot "+lot)
	}
	return wrong
}

// limits says how often each effect may take place: a lot becomes blocked once per hold and free once per hold, and a
// nonconformance has one record.
func limits(lots []gen.Lot) func(book.Entry) int {
	holds := map[string]int{}
	for i := range lots {
		holds[lots[i].Number] = max(lots[i].Holds, 1)
	}
	return func(e book.Entry) int {
		if e.Batch != "" {
			return holds[e.Batch]
		}
		return 1
	}
}

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// booked counts what ERP and QMS have been made to do.
func booked(s *stack.Stack, lots ...string) (n int) {
	for _, name := range lots {
		n += len(s.SAP.Batch("MAT-100", name))
	}
	return n + len(s.QMS.Book())
}

// TestI14_RestoredDatabase: the cloud's database is put back to an older copy. Nothing is written anywhere until a person says
// so; then nothing is done twice, and what was held in the life that is lost is held again or stays so.
func TestI14_RestoredDatabase(t *testing.T) {
	t.Parallel()
	s := startManned(t)
	p := publisher(t, s, "press")
	for _, name := range []string{"L-KEEP", "L-EARLY", "L-LATE"} {
		send(t, p, plant.TopicLot, lot(name, "kg"))
	}
	send(t, p, plant.TopicResult, result("L-EARLY", 1, "61.2", true))
	blocked(t, s, "L-EARLY", 20*time.Second)
	eventually(t, 20*time.Second, "the others are released", func() bool { return released(t, s, "L-KEEP") && released(t, s, "L-LATE") })
	stop := func() {
		t.Helper()
		if _, err := s.Cloud.Stop(15 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	restore := backUp(t, s)

	// The life that will be lost: a part fails, and a person holds a lot.
	begin(t, s.StartCloud)
	send(t, p, plant.TopicResult, result("L-LATE", 2, "61.2", true))
	blocked(t, s, "L-LATE", 20*time.Second)
	if _, _, code := cloudCLI(t, s, "lots", "hold", "L-KEEP", "--reason", "said by telephone"); code != 0 {
		t.Fatalf("hold exits %d", code)
	}
	eventually(t, 20*time.Second, "the person's hold is enforced", func() bool { return heldInERP(s, "L-KEEP") })
	eventually(t, 20*time.Second, "nothing is left to be done", func() bool { return waiting(t, s) == 0 })
	stop()
	restore()
	before := booked(s, "L-KEEP", "L-EARLY", "L-LATE")

	begin(t, s.StartCloud)
	off := func() bool {
		d := statusOf(t, s)
		return len(d.Systems.Off) == 1 && d.Systems.Off[0].Restored && d.Systems.Off[0].System == "" && d.Systems.Off[0].Until.IsZero()
	}
	if !off() || !alerted(t, s, "dispatch_off", "all systems") {
		t.Fatal("dispatch is on after a restore, or nobody is told that it is off")
	}
	if m, err := stack.Metrics(t.Context(), s.Cloud); err != nil || len(m["holdfast_cloud_dispatch_on"]) != 2 || stack.Sum(m, "holdfast_cloud_dispatch_on") != 0 {
		t.Errorf("dispatch on: %v, %v", m["holdfast_cloud_dispatch_on"], err)
	}
	t.Run("what came from the plants is there again", func(t *testing.T) {
		eventually(t, 20*time.Second, "the failed part holds its lot", func() bool {
			return held(t, s, "L-LATE")
		})
	})
	// What fails now waits, too: the price that the alert names.
	send(t, p, plant.TopicLot, lot("L-NOW", "kg"))
	send(t, p, plant.TopicResult, result("L-NOW", 3, "61.2", true))
	eventually(t, 20*time.Second, "its hold waits", func() bool {
		return held(t, s, "L-NOW") && waiting(t, s) > 0
	})
	<-time.After(time.Second) // a write that should not be gets its chance
	if now := booked(s, "L-KEEP", "L-EARLY", "L-LATE", "L-NOW"); now != before {
		t.Fatalf("the books have %d entries, had %d: something was written while dispatch was off", now, before)
	}
	stop()
	begin(t, s.StartCloud)
	if !off() {
		t.Fatal("a restart turns dispatch on")
	}

	on := []string{"systems", "dispatch", "on", "--reason", "compared with the ERP by hand"}
	const refused = 4
	if _, _, code := cloudCLI(t, s, on...); code != refused {
		t.Errorf("who may not turn it on exits %d, want %d", code, refused)
	}
	if _, plan, code := rootCLI(t, s, on...); code != 0 || !strings.Contains(plan, "to compare") {
		t.Fatalf("dispatch on exits %d", code)
	}
	blocked(t, s, "L-NOW", 20*time.Second)
	eventually(t, 20*time.Second, "nothing is left to be done", func() bool { return waiting(t, s) == 0 })
	if off() || alerted(t, s, "dispatch_off", "all systems") {
		t.Error("dispatch is still off, or said to be")
	}
	for _, name := range []string{"L-EARLY", "L-LATE", "L-NOW", "L-KEEP"} {
		if !heldInERP(s, name) {
			t.Errorf("%s is free in the ERP: a hold was lost", name)
		}
	}
	t.Run("nothing is done twice", func(t *testing.T) {
		records := map[string]int{} // by our reference
		for _, e := range s.QMS.Book() {
			if e.Kind == "record_created" {
				records[e.Reference]++
			}
		}
		for reference, n := range records {
			if n != 1 {
				t.Errorf("%d records under %s in the QMS, want 1", n, reference)
			}
		}
		if len(records) != 3 {
			t.Errorf("records in the QMS of %v, want those of three lots", records)
		}
	})
	t.Run("what an agent said before answers no question of now", func(t *testing.T) {
		send(t, p, plant.TopicLot, lot("L-NEXT", "kg"))
		waitsFor(t, s, "L-NEXT")
		<-time.After(time.Second) // its old statements, which are read again, get their chance
		if released(t, s, "L-NEXT") {
			t.Fatal("the batch is free, and its agent is dead")
		}
		begin(t, s.StartAgent)
		eventually(t, 20*time.Second, "the batch is free", func() bool { return released(t, s, "L-NEXT") })
	})
	t.Run("the ledger says what was lost", func(t *testing.T) {
		out, _, code := cloudCLI(t, s, "ledger", "verify")
		if code != 0 || !strings.Contains(out, "The database was restored at") {
			t.Errorf("ledger verify exits %d", code)
		}
		if out, _, _ := cloudCLI(t, s, "ledger", "show", "-o", "jsonl"); !strings.Contains(out, "restored from an older copy") || !strings.Contains(out, "compared with the ERP by hand") {
			t.Error("restore and the turning on are not in the ledger")
		}
	})
	t.Run("the state follows from what was accepted", func(t *testing.T) {
		stop()
		if _, _, code := cli(t, "holdfast-cloud", "rebuild", "--config", s.Path("cloud.yaml"), "--no-color", "-y", "-o", "json"); code != 0 {
			t.Errorf("rebuild exits %d", code)
		}
	})
}

// held tells whether the cloud holds a lot.
func held(t *testing.T, s *stack.Stack, name string) bool {
	t.Helper()
	var page api.LotPage
	ask(t, s, "/lots?number="+name, &page)
	return len(page.Lots) == 1 && page.Lots[0].Holds > 0
}

// waiting counts the effects that are not done.
func waiting(t *testing.T, s *stack.Stack) (n int) {
	t.Helper()
	var list api.SystemList
	ask(t, s, "/systems", &list)
	for _, x := range list.Systems {
		n += x.Waiting
	}
	return n
}

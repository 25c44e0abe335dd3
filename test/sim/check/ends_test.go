package check

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/gen/company"
)

// playedOut makes up a stream, and books in which everything came as it should.
func playedOut(t *testing.T) ([]company.Lot, Books) {
	t.Helper()
	s, err := company.Generate(1, company.Plan{
		Start: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC), Lots: 60, Parts: 4, Every: 20 * time.Millisecond, Pause: 80 * time.Millisecond, Delay: time.Second,
		Unsafe: 200, Failing: 200, Held: 200, Lifted: 200, Ordered: 700,
	})
	if err != nil {
		t.Fatal(err)
	}
	b := Books{Free: func(l *company.Lot) bool { return l.Want.Free() }}
	for i := range s.Lots {
		l := &s.Lots[i]
		for _, of := range l.Want.Cases {
			b.QMS = append(b.QMS, book.Entry{Key: "nonconformance:" + of, Kind: "record_created"})
		}
		for range l.Want.Opened.Least {
			b.Warehouse = append(b.Warehouse, book.Entry{Key: string(l.Key), Kind: "tasks_released"})
		}
		for _, n := range l.Want.Notices {
			for range n.Held.Least {
				b.Notices = append(b.Notices, book.Entry{Key: n.Order + "/" + n.Line + " " + string(l.Key), Kind: "notice_held"})
			}
		}
	}
	return s.Lots, b
}

func TestEnds(t *testing.T) {
	first := func(lots []company.Lot, is func(*company.Lot) bool) *company.Lot {
		for i := range lots {
			if is(&lots[i]) {
				return &lots[i]
			}
		}
		t.Fatal("there is no such lot")
		return nil
	}
	free := func(l *company.Lot) bool { return l.Want.Free() && l.Want.Placed == 0 }
	held := func(l *company.Lot) bool { return !l.Want.Free() && len(l.Want.Cases) > 0 }
	ordered := func(l *company.Lot) bool { return len(l.Orders) > 0 && l.Want.Placed == 0 }
	notice := func(l *company.Lot, step string) book.Entry {
		return book.Entry{Key: l.Orders[0].ID + "/10 " + string(l.Key), Kind: "notice_" + step}
	}
	for name, c := range map[string]struct {
		change func([]company.Lot, *Books)
		says   string
	}{
		"a lot is not freed":    {func(lots []company.Lot, b *Books) { l := first(lots, free); b.Free = but(l, false) }, "it is held and should be free"},
		"a held lot is free":    {func(lots []company.Lot, b *Books) { l := first(lots, held); b.Free = but(l, true) }, "it is free and should be held"},
		"a record is missing":   {func(_ []company.Lot, b *Books) { b.QMS = b.QMS[1:] }, "has 0 records"},
		"a record stands twice": {func(_ []company.Lot, b *Books) { b.QMS = append(b.QMS, b.QMS[0]) }, "has 2 records"},
		"nobody asked for a record": {func(_ []company.Lot, b *Books) {
			b.QMS = append(b.QMS, book.Entry{Key: "nonconformance:x:y", Kind: "record_created"})
		}, "nothing asked for it; at x:y"},
		"tasks are not freed": {func(_ []company.Lot, b *Books) { b.Warehouse = b.Warehouse[1:] }, "freed 0 times"},
		"tasks are freed twice": {func(lots []company.Lot, b *Books) {
			b.Warehouse = append(b.Warehouse, book.Entry{Key: string(first(lots, free).Key), Kind: "tasks_released"})
		}, "freed 2 times, want 1 to 1"},
		"tasks of a held lot are freed": {func(lots []company.Lot, b *Books) {
			b.Warehouse = append(b.Warehouse, book.Entry{Key: string(first(lots, held).Key), Kind: "tasks_released"})
		}, "its tasks are free and should be held"},
		"tasks are held at the end": {func(lots []company.Lot, b *Books) {
			b.Warehouse = append(b.Warehouse, book.Entry{Key: string(first(lots, free).Key), Kind: "tasks_held"})
		}, "its tasks are held and should be free"},
		"a notice is missing":  {func(_ []company.Lot, b *Books) { b.Notices = b.Notices[1:] }, "told held 0 times"},
		"a notice comes twice": {func(_ []company.Lot, b *Books) { b.Notices = append(b.Notices, b.Notices[0]) }, "told held 2 times"},
		"a notice without a hold": {func(lots []company.Lot, b *Books) {
			b.Notices = append(b.Notices, notice(first(lots, ordered), "held"))
		}, "told held 1 times, want 0 to 0"},
		"all clear without a hold": {func(lots []company.Lot, b *Books) {
			b.Notices = append(b.Notices, notice(first(lots, ordered), "clear"))
		}, "told clear 1 times"},
		"a message twice": {func(lots []company.Lot, b *Books) {
			b.Notices = append(b.Notices, notice(first(lots, ordered), "duplicate"))
		}, "nothing asked for it"},
		"an order that nobody placed": {func(lots []company.Lot, b *Books) {
			b.Notices = append(b.Notices, book.Entry{Key: "SO-9/10 " + string(lots[0].Key), Kind: "notice_held"})
		}, "nothing asked for it"},
	} {
		t.Run(name, func(t *testing.T) {
			lots, b := playedOut(t)
			if f := Ends(lots, b); len(f.Violations) > 0 || f.Judged != len(lots) {
				t.Fatalf("what came as it should is refused: %v", f.Violations)
			}
			c.change(lots, &b)
			var says []string
			for _, v := range Ends(lots, b).Violations {
				says = append(says, v.String())
			}
			if !strings.Contains(strings.Join(says, "\n"), c.says) {
				t.Errorf("got %q, want %q", says, c.says)
			}
		})
	}
}

// but says of one lot what it is, and of the others what they should be.
func but(one *company.Lot, free bool) func(*company.Lot) bool {
	return func(l *company.Lot) bool {
		if l.Key == one.Key {
			return free
		}
		return l.Want.Free()
	}
}

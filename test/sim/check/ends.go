package check

import (
	"fmt"
	"strings"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/gen/company"
)

// Books are what the business systems themselves say at the end of a run.
type Books struct {
	Free      func(*company.Lot) bool // whether the lot's ERP lets any of it be used
	QMS       []book.Entry
	Warehouse []book.Entry
	Notices   []book.Entry
}

// Ends compares what every lot has come to with what its facts ask for: in the ERP, in the QMS, in the warehouse, and in
// what customer service was told. Each effect that is not asked for is a violation, too.
func Ends(lots []company.Lot, b Books) Finding {
	e := &ends{finder: finder{invariant: "end"}, records: map[string]int{}, freed: map[string]int{}, gate: map[string]bool{}, told: map[string]int{}}
	e.read(b)
	for i := range lots {
		e.lot(&lots[i], b.Free(&lots[i]))
	}
	e.rest()
	return e.found
}

// ends is the look at all lots.
type ends struct {
	finder
	records map[string]int  // nonconformances in the QMS, by case
	freed   map[string]int  // how often a lot's tasks were freed
	gate    map[string]bool // whether they are
	told    map[string]int  // messages, by order line, lot and step
}

func (e *ends) read(b Books) {
	for i := range b.QMS {
		if x := &b.QMS[i]; x.Kind == "record_created" {
			_, of, _ := strings.Cut(x.Key, ":")
			e.records[of]++
		}
	}
	for i := range b.Warehouse {
		x := &b.Warehouse[i]
		switch x.Kind {
		case "tasks_released":
			e.freed[x.Key]++
			e.gate[x.Key] = true
		case "tasks_held":
			e.gate[x.Key] = false
		}
	}
	for i := range b.Notices {
		x := &b.Notices[i]
		if step, ok := strings.CutPrefix(x.Kind, "notice_"); ok {
			e.told[x.Key+" "+step]++
		}
	}
}

func (e *ends) lot(l *company.Lot, free bool) {
	e.judge()
	w := &l.Want
	wrong := func(place, format string, args ...any) {
		e.found.Violations = append(e.found.Violations, Violation{
			Invariant: e.invariant, Lot: l.Key, Place: place, What: fmt.Sprintf(format, args...) + ": " + l.Story + because(w.Why),
		})
	}
	if free != w.Free() && (free || !w.Maybe) {
		wrong("ERP", "it is %s and should be %s", usable(free), usable(w.Free()))
	}
	for _, of := range w.Cases {
		if n := e.records[of]; n != 1 {
			wrong("QMS", "nonconformance %s has %d records", of, n)
		}
		delete(e.records, of)
	}
	key := string(l.Key)
	if n := e.freed[key]; !w.Opened.Allow(n) {
		wrong("warehouse", "its tasks were freed %d times, want %d to %d", n, w.Opened.Least, w.Opened.Most)
	}
	if open := e.gate[key]; open != (w.Gate == company.Opened) && (open || !w.Maybe) {
		wrong("warehouse", "its tasks are %s and should be %s", usable(open), usable(w.Gate == company.Opened))
	}
	for _, n := range w.Notices {
		of := n.Order + "/" + n.Line + " " + key
		for step, want := range map[string]company.Bounds{"at_risk": n.AtRisk, "held": n.Held, "clear": n.Clear} {
			if got := e.told[of+" "+step]; !want.Allow(got) {
				wrong("notice "+of, "customer service was told %s %d times, want %d to %d", step, got, want.Least, want.Most)
			}
			delete(e.told, of+" "+step)
		}
	}
	delete(e.freed, key)
}

func usable(free bool) string {
	if free {
		return "free"
	}
	return "held"
}

func because(why []string) string {
	if len(why) == 0 {
		return ""
	}
	return " (" + strings.Join(why, ", ") + ")"
}

// rest is what took place and nothing asked for.
func (e *ends) rest() {
	for what, all := range map[string]map[string]int{
		"a nonconformance was recorded": e.records, "tasks of a lot that does not exist were freed": e.freed, "customer service was told": e.told,
	} {
		for name, n := range all {
			if n > 0 {
				e.found.Violations = append(e.found.Violations, Violation{Invariant: e.invariant, Place: name, What: what + " and nothing asked for it"})
			}
		}
	}
}

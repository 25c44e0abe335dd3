package quality

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestGap_Touches(t *testing.T) {
	at := func(h float64) time.Time { return noon.Add(time.Duration(h * float64(time.Hour))) }
	run := func(plant event.PlantID, equipment event.EquipmentID, from, to float64) Run {
		return Run{Plant: plant, Equipment: equipment, From: at(from), To: at(to)}
	}
	unseen := func(r Run) Run { r.From = time.Time{}; return r }
	going := func(r Run) Run { r.To = time.Time{}; return r }
	// Not observed: press4 of p1, or all of p1, from 2 to 3.
	press4 := Gap{Kind: GapObservation, Plant: "p1", Equipment: "press4", From: at(2), To: at(3)}
	away := Gap{Kind: GapObservation, Plant: "p1", Equipment: "press4", From: at(2), To: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
	all := Gap{Kind: GapObservation, Plant: "p1", From: at(2), To: at(3)}
	made := func(h float64) Lot {
		return Lot{Key: "lot::M:1", Plant: "p1", MadeAt: at(h), CreatedAt: at(h), SeenAt: at(h)}
	}
	by := func(l Lot, e event.EquipmentID) Lot { l.Equipment = e; return l }
	for _, c := range []struct {
		name   string
		gap    Gap
		lot    Lot
		plants []event.PlantID
		runs   []Run
		want   bool
	}{
		{"a run in that time", press4, made(0), nil, []Run{run("p1", "press4", 2.5, 4)}, true},
		{"a run that ends as the gap begins", press4, made(0), nil, []Run{run("p1", "press4", 1, 2)}, true},
		{"a run that was over before", press4, made(0), nil, []Run{run("p1", "press4", 0, 1.9)}, false},
		{"a run that was just over, and nothing is seen yet: its last results may wait there", away, made(0), nil, []Run{run("p1", "press4", 0, 1.1)}, true},
		{"a run that was long over, and nothing is seen yet", away, made(0), nil, []Run{run("p1", "press4", 0, 0.9)}, false},
		{"a run that begins after it", press4, made(0), nil, []Run{run("p1", "press4", 3.1, 4)}, false},
		{"a run that goes on", press4, made(0), nil, []Run{going(run("p1", "press4", 1, 0))}, true},
		{"a run of unknown start counts from the end of the one before", press4, made(0), nil, []Run{run("p1", "press4", 3.1, 4)}, false},
		{"a run of unknown start and nothing before it", press4, made(0), nil, []Run{unseen(run("p1", "press4", 0, 4))}, true},
		{"a run on another equipment", press4, made(0), nil, []Run{run("p1", "press5", 2, 3)}, false},
		{"the same equipment's name at another plant", press4, made(0), []event.PlantID{"p2"}, []Run{run("p1", "press5", 2, 3), run("p2", "press4", 2, 3)}, false},
		{"no run is known: the lot's own equipment", press4, by(made(2.5), "press4"), nil, nil, true},
		{"no run is known, and it was made elsewhere", press4, by(made(2.5), "press5"), nil, nil, false},
		{"no run and no equipment is known: closed", press4, made(2.5), nil, nil, true},
		{"no run is known, but it was made later", press4, made(3.5), nil, nil, false},
		{"no run at this plant is known, only at another", press4, made(1), []event.PlantID{"p2"}, []Run{run("p2", "mill2", 2, 3)}, true},
		{"no run at this plant is known, and it was made and ran at another", press4, Lot{Key: "lot::M:1", Plant: "p2", MadeAt: at(1)}, []event.PlantID{"p1"},
			[]Run{run("p2", "press4", 2, 3)}, false},
		{"no run is known, and it was made on another plant's equipment of that name", press4, by(Lot{Key: "lot::M:1", Plant: "p2", MadeAt: at(1)}, "press4"),
			[]event.PlantID{"p1"}, nil, false},
		{"nothing is known of what it ran on, at either plant", press4, Lot{Key: "lot::M:1", Plant: "p2", MadeAt: at(1)}, []event.PlantID{"p1"}, nil, true},
		{"it was made at another plant, but ran here", press4, by(Lot{Key: "lot::M:1", Plant: "p2", MadeAt: at(1)}, "mill2"), []event.PlantID{"p1"},
			[]Run{run("p2", "mill2", 1, 2), run("p1", "press4", 2, 3)}, true},
		{"a plant that it never saw", press4, Lot{Key: "lot::M:1", Plant: "p2"}, nil, nil, false},
		{"a plant that it passed through", all, Lot{Key: "lot::M:1", Plant: "p2", MadeAt: at(1)}, []event.PlantID{"p1"}, nil, true},
		{"all of the plant, while it was there", all, made(1), nil, []Run{run("p1", "press5", 1, 1.5)}, true},
		{"all of the plant, before it was made", all, made(3.5), nil, nil, false},
		{"all of the plant, before it was made by a clock that is ahead", all, Lot{Key: "lot::M:1", Plant: "p1", MadeAt: at(9), CreatedAt: at(9), SeenAt: at(2.5)},
			nil, nil, true},
		{"all of the plant, but its run began before it was made", all, made(3.5), nil, []Run{run("p1", "press5", 2.5, 4)}, true},
		{"all of the plant, and its time is not known", all, Lot{Key: "lot::M:1", Plant: "p1"}, nil, nil, true},
		{"all of the plant, and no run's start was seen", all, made(3.5), nil, []Run{unseen(run("p1", "press5", 0, 4))}, true},
		{"records of its plant are missing", Gap{Kind: GapMissing, Plant: "p1", Lane: event.LaneQuality, To: at(3)}, made(1), nil, nil, true},
		{"they were known to be missing before it appeared", Gap{Kind: GapMissing, Plant: "p1", Lane: event.LaneQuality, To: at(3)}, made(3.5), nil, nil, false},
		{"nobody knows since when they are", Gap{Kind: GapMissing, Plant: "p1", Lane: event.LaneQuality}, made(3.5), nil, nil, true},
		{"records were declared as lost before it appeared", Gap{Kind: GapLoss, Plant: "p1", Lane: event.LaneQuality, To: at(3)}, made(3.5), nil, nil, false},
		{"they were, and its creation lagged", Gap{Kind: GapLoss, Plant: "p1", Lane: event.LaneQuality, To: at(3)},
			Lot{Key: "lot::M:1", Plant: "p1", MadeAt: at(1), CreatedAt: at(1), SeenAt: at(3.5)}, nil, nil, true},
		{"records of another plant are missing", Gap{Kind: GapMissing, Plant: "p2", Lane: event.LaneQuality, To: at(3)}, made(1), nil, nil, false},
		{"a second gateway", Gap{Kind: GapFork, Plant: "p1", Lane: event.LaneQuality, To: at(0)}, made(1), nil, nil, true},
		{"shed telemetry", Gap{Kind: GapLoss, Plant: "p1", Lane: event.LaneTelemetry, To: at(3)}, made(1), nil, nil, false},
		{"a record that names it", Gap{Kind: GapQuarantine, Plant: "p9", Lot: "lot::M:1", To: at(0)}, made(1), nil, nil, true},
		{"a record that names another lot", Gap{Kind: GapQuarantine, Plant: "p1", Lot: "lot::M:2", From: at(2), To: at(2)}, made(1), nil, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Presence{Lot: &c.lot, Plants: append(c.plants, c.lot.Plant), Runs: c.runs}
			if got := c.gap.Touches(&p); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestDecide_Explained(t *testing.T) {
	record := event.ID("n-0123456789abcdef0123456789abcdef")
	plain := Gap{ID: gapOf(record), Kind: GapQuarantine, Plant: "p1"}
	named := plain
	named.Lot = decidedLot
	created := &event.LotCreated{OfLot: event.OfLot{Lot: decidedLot}}
	for _, c := range []struct {
		name  string
		gap   Gap
		plant event.PlantID
		data  event.Data
		want  bool
	}{
		{"its plant corrects it", plain, "p1", created, true},
		{"the cloud's door corrects it", named, "", created, true},
		{"another plant does not", plain, "p2", created, false},
		{"nor does an event of another lot", named, "p1", &event.LotCreated{OfLot: event.OfLot{Lot: "lot::M:2"}}, false},
		{"nor what follows from the record by itself", named, "", &event.TimerFired{MayLot: event.MayLot{Lot: decidedLot}, Timer: "x"}, false},
		{"nor an effect of it", named, "", &event.EffectSettled{MayLot: event.MayLot{Lot: decidedLot}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &event.Event{ID: "e", Plant: c.plant, Causation: record, Time: noon, Data: c.data}
			got, err := Decide(e, Objects{Now: noon, Gap: &c.gap})
			if err != nil || (len(got.Gaps) == 1) != c.want {
				t.Errorf("gaps %+v, %v", got.Gaps, err)
			}
		})
	}
}

func signed(d event.EvidenceAccepted, by ...event.Name) *event.Event {
	d.Lot, d.By = decidedLot, by
	for _, name := range by {
		d.Signatures = append(d.Signatures, event.Signature{By: name})
	}
	return &event.Event{ID: "sign", Time: noon, Data: &d}
}

func TestDecide_EvidenceAccepted(t *testing.T) {
	gap := Gap{ID: "gap:mes:1", Kind: GapObservation, Plant: "p1"}
	named := Gap{ID: "gap:mes:1", Kind: GapQuarantine, Plant: "p1", Lot: decidedLot}
	ofGap, ofAnswer := event.EvidenceAccepted{GapID: "gap:mes:1"}, event.EvidenceAccepted{Plant: "p1", Agent: "gw1", Barrier: 7}
	for _, c := range []struct {
		name    string
		e       *event.Event
		gap     *Gap
		plant   Plant
		refused bool
		waits   bool
	}{
		{"two persons", signed(ofGap, "ann", "bob"), &gap, Plant{}, false, false},
		{"one person", signed(ofGap, "ann"), &gap, Plant{}, true, false},
		{"one person twice", signed(ofGap, "ann", "ann"), &gap, Plant{}, true, false},
		{"one person, written differently", signed(ofGap, "ann", "Ann"), &gap, Plant{}, true, false},
		{"one person where the plant says so", signed(ofGap, "ann"), &gap, Plant{OneSigner: true}, false, false},
		{"a missing answer", signed(ofAnswer, "ann", "bob"), nil, Plant{}, false, false},
		{"a record that names the lot", signed(ofGap, "ann", "bob"), &named, Plant{}, true, false},
		{"a gap that is not known yet", signed(ofGap, "ann", "bob"), nil, Plant{}, false, true},
		{"missing records, which no object stands for", signed(event.EvidenceAccepted{
			GapID: MissingID("p1", "gw1", "11111111111111111111111111111111", 5, 9)}, "ann", "bob"), nil, Plant{}, false, false},
		{"a record that the cloud keeps", signed(event.EvidenceAccepted{GapID: DeadletterID(7)}, "ann", "bob"), nil, Plant{}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Decide(c.e, Objects{Now: noon, Lot: &Lot{Key: decidedLot}, Gap: c.gap, Plant: c.plant})
			var refusal *Refusal
			var wait *Wait
			if errors.As(err, &refusal) != c.refused || errors.As(err, &wait) != c.waits {
				t.Fatalf("got %v", err)
			}
			if accepted := len(got.Acceptances) == 1; accepted == (c.refused || c.waits) {
				t.Errorf("change is %+v", got)
			}
		})
	}
}

func TestAcceptance(t *testing.T) {
	const epoch = "11111111111111111111111111111111"
	missing := func(epoch event.Epoch, from, to int64) *Gap {
		return &Gap{ID: MissingID("p1", "gw1", epoch, from, to), Kind: GapMissing, Plant: "p1", Agent: "gw1", Epoch: epoch, FromSeq: from, ToSeq: to}
	}
	a := Acceptance{Gap: MissingID("p1", "gw1", epoch, 5, 9)}
	for _, c := range []struct {
		name string
		gap  *Gap
		want bool
	}{
		{"what was signed for", missing(epoch, 5, 9), true},
		{"a part of it, the rest came", missing(epoch, 6, 7), true},
		{"more than that", missing(epoch, 5, 10), false},
		{"before it", missing(epoch, 1, 5), false},
		{"another epoch's", missing("22222222222222222222222222222222", 5, 9), false},
		{"another gap", &Gap{ID: "gap:mes:1"}, false},
	} {
		if got := a.Accepts(c.gap); got != c.want {
			t.Errorf("%s: got %t", c.name, got)
		}
	}
	b := Acceptance{Plant: "p1", Agent: "gw1", Barrier: 7}
	if !b.Answers("p1", "gw1", 7) || !b.Answers("p1", "gw1", 6) || b.Answers("p1", "gw1", 8) || b.Answers("p2", "gw1", 7) || b.Answers("p1", "gw2", 7) {
		t.Error("a signature answers up to its barrier, for its agent alone")
	}
	if b.Accepts(&Gap{}) || a.Answers("", "", 0) {
		t.Error("a signature for one thing stands for another")
	}
}

func TestDecide_Gap(t *testing.T) {
	open := &Gap{ID: "gap:mes:1", Kind: GapObservation, Plant: "p1", From: noon, To: noon.Add(time.Hour)}
	closing := func(plant event.PlantID, from, to time.Duration) *event.Event {
		return &event.Event{ID: "close", Plant: plant, Time: noon, Data: &event.GapClosed{GapID: "gap:mes:1", From: event.At(noon.Add(from)), To: event.At(noon.Add(to))}}
	}
	for _, c := range []struct {
		name   string
		e      *event.Event
		gap    *Gap
		closed bool
		fails  bool
	}{
		{"data explains all of it", closing("p1", 0, time.Hour), open, true, false},
		{"data explains more", closing("p1", -time.Hour, 2*time.Hour), open, true, false},
		{"its beginning is not explained", closing("p1", time.Minute, time.Hour), open, false, false},
		{"its end is not explained", closing("p1", 0, time.Minute), open, false, false},
		{"another plant closes it", closing("p2", 0, time.Hour), open, false, true},
		{"it is not known yet", closing("p1", 0, time.Hour), nil, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Decide(c.e, Objects{Now: noon, Gap: c.gap})
			if (err != nil) != c.fails || (len(got.Gaps) == 1 && !got.Gaps[0].Open()) != c.closed {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	t.Run("a correction closes the quarantine of its record", func(t *testing.T) {
		e := failed("e2")
		e.Causation = "e1"
		q := &Gap{ID: gapOf("e1"), Kind: GapQuarantine, Plant: "p1"}
		if got, err := Decide(e, Objects{Now: noon, Gap: q}); err != nil || len(got.Gaps) != 1 || got.Gaps[0].ClosedBy != "e2" {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestDecide_GapOfSampledValues(t *testing.T) {
	for lane, open := range map[event.Lane]bool{"": true, event.LaneQuality: true, event.LaneTelemetry: false} {
		e := &event.Event{ID: "n-1", Plant: "p1", Data: &event.GapRecorded{GapID: "gap:gw1:1", Source: "press4-signals", Reason: event.GapSessionLost, Lane: lane}}
		c, err := Decide(e, Objects{Now: noon})
		if err != nil || len(c.Gaps) != 1 || c.Gaps[0].Open() != open {
			t.Errorf("lane %q: gaps %+v, %v; want one that keeps lots: %t", lane, c.Gaps, err, open)
		}
	}
}

func TestTold(t *testing.T) {
	arrived, own, before := noon, noon.Add(-time.Hour), noon.Add(-2*time.Hour)
	for name, c := range map[string]struct {
		at        time.Time
		quality   event.TimeQuality
		notBefore time.Time
		want      time.Time
	}{
		"its own time":                     {own, event.TimeSynchronised, before, own},
		"no time: what came before it":     {arrived, event.TimeMissing, before, before},
		"a doubtful time":                  {own, event.TimeSuspect, before, before},
		"nothing is known":                 {arrived, event.TimeMissing, time.Time{}, time.Time{}},
		"what came before came after: not": {arrived, event.TimeMissing, noon.Add(time.Hour), time.Time{}},
	} {
		d := &event.RecordQuarantined{}
		d.Provenance.ArrivedAt, d.Provenance.TimeQuality, d.Provenance.NotBefore = event.At(arrived), c.quality, event.At(c.notBefore)
		if from, to := told(&event.Event{Time: c.at, Data: d}); !from.Equal(c.want) || !to.Equal(arrived) {
			t.Errorf("%s: from %s to %s, want %s to %s", name, from, to, c.want, arrived)
		}
	}
}

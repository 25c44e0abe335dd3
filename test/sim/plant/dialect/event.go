package dialect

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
)

// Limits are what a characteristic must lie between, both included.
type Limits struct {
	LSL, USL string // decimals
	Unit     string // UCUM
	Safety   bool
}

// LimitsOf returns the limits of a characteristic; ok is false for one that no plant measures.
func LimitsOf(characteristic string) (l Limits, ok bool) {
	l, ok = map[string]Limits{
		"torque": {"40.00", "50.00", "N.m", true}, "depth": {"11.50", "12.50", "mm", false},
		"flatness": {"0.00", "0.25", "mm", false}, "length": {"99.00", "101.00", "mm", false},
	}[characteristic]
	return l, ok
}

// Outside tells whether a value lies outside of its limits.
func Outside(value, lsl, usl string) bool {
	v, low, high := rat(value), rat(lsl), rat(usl)
	return v.Cmp(low) < 0 || v.Cmp(high) > 0
}

func rat(decimal string) *big.Rat {
	r, ok := new(big.Rat).SetString(decimal)
	if !ok {
		return new(big.Rat)
	}
	return r
}

// Events returns the events that must come of a fact, sealed, in their order. A fact that must end in quarantine has
// none. The Kafka key of an event without a lot is left to the agent.
func (s *Site) Events(f Fact) ([]*event.Event, error) {
	switch f := f.(type) {
	case Garbled:
		return nil, nil
	case Measured:
		if f.WrongUnit {
			return nil, nil
		}
		return s.measured(f)
	case Sampled:
		return s.seal(&event.Event{Time: f.At, Data: &event.ValueSampled{
			Equipment: event.EquipmentID(f.Equipment), Signal: event.Name(f.Tag), Value: f.Value, Unit: event.Unit(f.Unit), Status: event.StatusGood,
		}})
	}
	data, o, key, err := s.data(f)
	if err != nil {
		return nil, err
	}
	return s.seal(&event.Event{ID: s.natural(data.Type(), key, o.Record), Time: o.At, Data: data})
}

// data returns the data of a fact that gives one event, with the first part of its key.
func (s *Site) data(f Fact) (data event.Data, of Of, key string, err error) {
	var lot event.LotKey
	about := func(o Of) (event.OfLot, event.Time) {
		of = o
		lot, err = s.LotKey(o.Material, o.Lot)
		return event.OfLot{Lot: lot}, event.At(o.At)
	}
	switch f := f.(type) {
	case Made:
		ofLot, at := about(f.Of)
		return &event.LotCreated{
			OfLot: ofLot, Material: event.Name(f.Material), Q: event.Quantity{Value: event.Decimal(f.Kilograms), Unit: "kg"},
			Origin: s.Object("work_order", f.Order), MadeAt: at, Equipment: event.EquipmentID(f.Equipment),
		}, of, "lot", err
	case Ran:
		ofLot, at := about(f.Of)
		run := event.Run{OfLot: ofLot, RunID: s.Object("run", f.Run), Equipment: event.EquipmentID(f.Equipment), WorkOrder: s.Object("work_order", f.Order), At: at}
		if f.Ended {
			return &event.RunEnded{Run: run}, of, "run", err
		}
		return &event.RunStarted{Run: run}, of, "run", err
	case Planned:
		ofLot, _ := about(f.Of)
		return &event.InspectionPlanned{
			OfInspection: event.OfInspection{OfLot: ofLot, InspectionID: s.Object("inspection", f.Inspection)}, InspectionType: event.InspectionType(f.Type),
			SpecRev: event.Name(f.SpecRev), Due: event.At(f.Due),
		}, of, "inspection", err
	case Completed:
		ofLot, at := about(f.Of)
		return &event.InspectionCompleted{
			OfInspection: event.OfInspection{OfLot: ofLot, InspectionID: s.Object("inspection", f.Inspection)}, InspectionType: event.InspectionType(f.Type),
			Verdict: event.Verdict(f.Verdict), SpecRev: event.Name(f.SpecRev), CompletedAt: at, ResultCount: int64(f.Results),
		}, of, "inspection", err
	case Superseded:
		ofLot, _ := about(f.Of)
		return &event.InspectionSuperseded{
			OfInspection: event.OfInspection{OfLot: ofLot, InspectionID: s.Object("inspection", f.Inspection)}, SupersededBy: s.Object("inspection", f.By), Reason: f.Reason,
		}, of, "inspection", err
	case Held:
		ofLot, at := about(f.Of)
		return &event.HoldPlaced{
			MayLot: event.MayLot(ofLot), HoldID: s.Object("hold", f.Hold), HoldKind: event.HoldQuality, Reason: f.Reason,
			PlacedBy: event.Name(f.By), PlacedAt: at, Authority: event.AuthorityOperator,
		}, of, "hold", err
	case Lifted:
		ofLot, at := about(f.Of)
		return &event.HoldLifted{
			MayLot: event.MayLot(ofLot), HoldID: s.Object("hold", f.Hold), LiftedBy: event.Name(f.By), LiftedAt: at,
			Authority: event.AuthorityOperator, Reason: f.Reason,
		}, of, "lift", err
	}
	return nil, of, "", fmt.Errorf("plant %s: no event is known for a %T", s.Plant, f)
}

// measured returns the event of a reading and, before nothing else may pass it, that of a failed safety characteristic.
func (s *Site) measured(f Measured) ([]*event.Event, error) {
	key := []string{"result", f.Record, strconv.Itoa(f.Rev)}
	id, safetyID := s.natural(event.TypeCharacteristicRecorded, key...), s.natural(event.TypeSafetyFailed, key...)
	lot, err := s.LotKey(f.Material, f.Lot)
	if err != nil {
		return nil, err
	}
	evaluation := event.Pass
	if Outside(f.Value, f.LSL, f.USL) {
		evaluation = event.Fail
	}
	ofLot, inspection := event.OfLot{Lot: lot}, s.Object("inspection", f.Inspection)
	all, err := s.seal(&event.Event{ID: id, Time: f.At, Data: &event.CharacteristicRecorded{
		OfLot: ofLot, InspectionID: inspection, Characteristic: event.Name(f.Characteristic), SampleNo: int64(f.Sample),
		Kind: event.Variable, Value: event.Name(f.Value), Unit: event.Unit(f.Unit), LSL: event.Decimal(f.LSL), USL: event.Decimal(f.USL),
		Evaluation: evaluation, Equipment: event.EquipmentID(f.Equipment), MeasuredAt: event.At(f.At),
	}})
	if err != nil || !f.Safety || evaluation != event.Fail {
		return all, err
	}
	urgent, err := s.seal(&event.Event{ID: safetyID, Time: f.At, Causation: id, Data: &event.SafetyFailed{
		OfLot: ofLot, InspectionID: inspection, Characteristic: event.Name(f.Characteristic), Evaluation: event.Fail, Value: event.Name(f.Value),
		Unit: event.Unit(f.Unit), LSL: event.Decimal(f.LSL), USL: event.Decimal(f.USL), Equipment: event.EquipmentID(f.Equipment), MeasuredAt: event.At(f.At),
	}})
	return append(all, urgent...), err
}

// PartIDs returns the ids and types of the events that must come of a part that a press line reported: a reading of its
// torque, and the urgent event where that failed. Their content has the time of the controller, which nobody knows
// beforehand.
func (s *Site) PartIDs(line string, p *plant.Part) []*event.Event {
	key := []string{"part", line, p.LotID(), strconv.FormatInt(p.Seq, 10)}
	all := []*event.Event{{ID: s.natural(event.TypeCharacteristicRecorded, key...), Data: &event.CharacteristicRecorded{}}}
	if l, _ := LimitsOf("torque"); Outside(strconv.FormatFloat(p.Values[0], 'f', -1, 64), l.LSL, l.USL) {
		all = append(all, &event.Event{ID: s.natural(event.TypeSafetyFailed, key...), Data: &event.SafetyFailed{}})
	}
	return all
}

// InProcess returns the number of a lot's in-process inspection, which press lines do not send.
func InProcess(lot string) string { return "IP-" + lot }

// natural returns the id of an event with a natural key.
func (s *Site) natural(typ event.Type, key ...string) event.ID {
	return event.NaturalID(s.Plant, s.System, key, typ, 0)
}

// seal fills in the envelope. The agent mints the ids of telemetry, so that these stay empty.
func (s *Site) seal(e *event.Event) ([]*event.Event, error) {
	e.Plant, e.Source = event.PlantID(s.Plant), "/"+s.Plant+"/"+s.System
	e.Data.ReadBy().Source = "test"
	if e.ID == "" {
		return []*event.Event{e}, nil
	}
	if err := e.Seal("gw1"); err != nil {
		return nil, errors.Join(fmt.Errorf("plant %s: an event that nobody could accept", s.Plant), err)
	}
	return []*event.Event{e}, nil
}

package dialect

import "time"

// utc is how the first plant writes times.
const utc = "2006-01-02T15:04:05.000Z"

// sayFlat is the dialect of the first plant: flat messages, English names, UCUM units, times in UTC.
func sayFlat(v *voice, f Fact) (string, any) {
	top := "acme/" + v.plant + "/"
	at := func(t time.Time) string { return t.UTC().Format(utc) }
	about := func(o Of, more message) message {
		more["record"], more["lot"], more["material"], more["at"] = o.Record, o.Lot, o.Material, at(o.At)
		return more
	}
	switch f := f.(type) {
	case Made:
		return top + "mes/lot", about(f.Of, message{"qty": f.Kilograms, "unit": "kg", "order": f.Order, "equipment": f.Equipment})
	case Ran:
		state := map[bool]string{false: "started", true: "ended"}[f.Ended]
		return top + "mes/run", about(f.Of, message{"run": f.Run, "order": f.Order, "equipment": f.Equipment, "event": state})
	case Planned:
		return top + "mes/inspection", about(f.Of, message{"event": "planned", "inspection": f.Inspection, "type": f.Type, "spec_rev": f.SpecRev, "due": at(f.Due)})
	case Completed:
		return top + "mes/inspection", about(f.Of, message{
			"event": "completed", "inspection": f.Inspection, "type": f.Type, "spec_rev": f.SpecRev, "verdict": f.Verdict, "results": f.Results,
		})
	case Superseded:
		return top + "mes/inspection", about(f.Of, message{"event": "superseded", "inspection": f.Inspection, "by": f.By, "reason": f.Reason})
	case Measured:
		unit := f.Unit
		if f.WrongUnit {
			unit = "furlong"
		}
		return top + f.Equipment + "/result", about(f.Of, message{
			"rev": f.Rev, "inspection": f.Inspection, "characteristic": f.Characteristic, "sample": f.Sample, "value": f.Value,
			"unit": unit, "lsl": f.LSL, "usl": f.USL, "safety": f.Safety,
		})
	case Held:
		return top + "mes/hold", about(f.Of, message{"hold": f.Hold, "reason": f.Reason, "by": f.By})
	case Lifted:
		return top + "mes/lift", about(f.Of, message{"hold": f.Hold, "reason": f.Reason, "by": f.By})
	case Sampled:
		return top + f.Equipment + "/signal", message{"tag": f.Tag, "value": f.Value, "unit": f.Unit, "at": at(f.At)}
	}
	return "", nil
}

package dialect

import "time"

// sayCoded is the dialect of the third plant: short names, codes for everything, ids as numbers that have lost their
// leading zeros, local times with their offset.
func sayCoded(v *voice, f Fact) (string, any) {
	top := "plants/" + v.plant + "/"
	at := func(t time.Time) string { return v.local(t, "2006-01-02T15:04:05.000-07:00") }
	about := func(o Of, kind int, more message) message {
		more["k"], more["id"], more["mat"], more["ts"] = kind, digits(o.Record), o.Material, at(o.At)
		if numeric(o.Lot) {
			more["lot"] = digits(o.Lot)
		} else {
			more["ext"] = o.Lot // a lot of another plant keeps its number as text
		}
		return more
	}
	switch f := f.(type) {
	case Made:
		return top + "mes", about(f.Of, 10, message{"q": f.Kilograms, "u": "K", "wo": f.Order, "eq": codes()["machine."+f.Equipment]})
	case Ran:
		kind := map[bool]int{false: 20, true: 21}[f.Ended]
		return top + "mes", about(f.Of, kind, message{"run": f.Run, "wo": f.Order, "eq": codes()["machine."+f.Equipment]})
	case Planned:
		return top + "mes", about(f.Of, 30, message{"insp": f.Inspection, "it": codes()["type."+f.Type], "rev": f.SpecRev, "due": at(f.Due)})
	case Completed:
		return top + "mes", about(f.Of, 31, message{
			"insp": f.Inspection, "it": codes()["type."+f.Type], "rev": f.SpecRev, "v": codes()["verdict."+f.Verdict], "n": f.Results,
		})
	case Superseded:
		return top + "mes", about(f.Of, 32, message{"insp": f.Inspection, "by": f.By, "txt": f.Reason})
	case Measured:
		unit := codes()["unit."+f.Unit]
		if f.WrongUnit {
			unit = "X"
		}
		return top + "qc/" + f.Equipment, about(f.Of, 40, message{
			"r": f.Rev, "insp": f.Inspection, "c": codes()["char."+f.Characteristic], "n": f.Sample, "v": f.Value, "u": unit,
			"lim": []string{f.LSL, f.USL}, "s": map[bool]int{true: 1}[f.Safety],
		})
	case Held:
		return top + "hold", about(f.Of, 50, message{"h": f.Hold, "txt": f.Reason, "who": f.By})
	case Lifted:
		return top + "mes", about(f.Of, 51, message{"h": f.Hold, "txt": f.Reason, "who": f.By})
	case Sampled:
		return top + "tag/" + f.Equipment, message{"t": f.Tag, "v": f.Value, "u": codes()["unit."+f.Unit], "ts": at(f.At)}
	}
	return "", nil
}

// codes are those of the third plant. The other way round they stand in the table that its mapping looks up.
func codes() map[string]string {
	return map[string]string{
		"char.torque": "C01", "char.depth": "C02", "char.flatness": "C03", "char.length": "C04",
		"type.in_process": "T2", "type.final": "T3", "type.reinspection": "T9", "verdict.pass": "V1", "verdict.fail": "V0",
		"machine.press1": "101", "machine.press2": "102", "machine.press3": "103", "machine.press4": "104", "machine.lab1": "201",
		"unit.N.m": "UT", "unit.mm": "UM", "unit.N": "UF",
	}
}

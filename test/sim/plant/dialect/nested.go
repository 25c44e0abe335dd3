package dialect

import "time"

// sayNested is the dialect of the second plant: nested messages, German names, decimal commas, UN/ECE unit codes, local
// times without a zone, material numbers of its own.
func sayNested(v *voice, f Fact) (string, any) {
	top := v.plant + "/fertigung/"
	at := func(t time.Time) string { return v.local(t, "02.01.2006 15:04:05,000") }
	about := func(o Of, name string, body message) message {
		return message{
			"kopf": message{"satz": o.Record, "zeit": at(o.At)},
			"los":  message{"nummer": o.Lot, "artikel": pick(germanMaterials(), o.Material)}, name: body,
		}
	}
	switch f := f.(type) {
	case Made:
		return top + "mes/los", about(f.Of, "anlage", message{
			"menge": message{"wert": comma(f.Kilograms), "einheit": "KGM"}, "auftrag": f.Order, "maschine": f.Equipment,
		})
	case Ran:
		state := map[bool]string{false: "beginn", true: "ende"}[f.Ended]
		return top + "mes/lauf", about(f.Of, "lauf", message{"nr": f.Run, "auftrag": f.Order, "maschine": f.Equipment, "art": state})
	case Planned:
		return top + "mes/pruefung", about(f.Of, "geplant", message{
			"nr": f.Inspection, "art": pick(germanInspections(), f.Type), "stand": f.SpecRev, "faellig": at(f.Due),
		})
	case Completed:
		return top + "mes/pruefung", about(f.Of, "fertig", message{
			"nr": f.Inspection, "art": pick(germanInspections(), f.Type), "stand": f.SpecRev, "urteil": pick(germanVerdicts(), f.Verdict), "anzahl": f.Results,
		})
	case Superseded:
		return top + "mes/pruefung", about(f.Of, "ersetzt", message{"nr": f.Inspection, "durch": f.By, "grund": f.Reason})
	case Measured:
		unit := map[string]string{"N.m": "NU", "mm": "MMT"}[f.Unit]
		if f.WrongUnit {
			unit = "ELLE"
		}
		return top + f.Equipment + "/messwert", about(f.Of, "messung", message{
			"fassung": f.Rev, "pruefung": f.Inspection, "merkmal": f.Characteristic, "stichprobe": f.Sample, "wert": comma(f.Value),
			"einheit": unit, "grenzen": message{"unten": comma(f.LSL), "oben": comma(f.USL)}, "sicherheit": f.Safety,
		})
	case Held:
		return top + "mes/sperre", about(f.Of, "sperre", message{"nr": f.Hold, "grund": f.Reason, "von": f.By})
	case Lifted:
		return top + "mes/freigabe", about(f.Of, "freigabe", message{"sperre": f.Hold, "grund": f.Reason, "von": f.By})
	case Sampled:
		return top + f.Equipment + "/signal", message{"kopf": message{"zeit": at(f.At)}, "groesse": f.Tag, "wert": comma(f.Value), "einheit": "NEW"}
	}
	return "", nil
}

func germanMaterials() map[string]string {
	return map[string]string{"MAT-100": "A-4711", "MAT-200": "A-4712", "000000000000012345": "A-4713", "MAT-999": "A-9999"}
}

func germanInspections() map[string]string {
	return map[string]string{"in_process": "Zwischenprüfung", "final": "Endprüfung", "reinspection": "Nachprüfung"}
}

func germanVerdicts() map[string]string { return map[string]string{"pass": "i.O.", "fail": "n.i.O."} }

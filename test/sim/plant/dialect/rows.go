package dialect

import (
	"strings"
	"time"
)

// sayRows is the dialect of the fourth plant: a header and a list of rows, Unix times, measured values as whole
// numbers of thousandths, records with a letter in front, lots in lower case.
func sayRows(v *voice, f Fact) (string, any) {
	top := "factory/" + v.plant + "/"
	about := func(o Of, kind string, row message) message {
		row["rec"], row["lot"], row["mat"] = "R"+o.Record, strings.ToLower(o.Lot), o.Material
		return message{"hdr": message{"kind": kind, "t": o.At.UnixMilli()}, "rows": []message{row}}
	}
	seconds := func(t time.Time) message { return message{"s": t.Unix(), "ns": t.Nanosecond()} }
	switch f := f.(type) {
	case Made:
		return top + "mes/material", about(f.Of, "made", message{"amount": f.Kilograms, "code": "KGM", "job": f.Order, "machine": f.Equipment})
	case Ran:
		kind := map[bool]string{false: "run+", true: "run-"}[f.Ended]
		return top + "mes/run", about(f.Of, kind, message{"run": f.Run, "job": f.Order, "machine": f.Equipment})
	case Planned:
		return top + "mes/quality", about(f.Of, "plan", message{"insp": f.Inspection, "type": strings.ToUpper(f.Type), "rev": f.SpecRev, "due": seconds(f.Due)})
	case Completed:
		return top + "mes/quality", about(f.Of, "done", message{
			"insp": f.Inspection, "type": strings.ToUpper(f.Type), "rev": f.SpecRev, "ok": f.Verdict == "pass", "count": f.Results,
		})
	case Superseded:
		return top + "mes/quality", about(f.Of, "replace", message{"insp": f.Inspection, "by": f.By, "note": f.Reason})
	case Measured:
		unit := map[string]string{"N.m": "NU", "mm": "MMT"}[f.Unit]
		if f.WrongUnit {
			unit = "SUN"
		}
		return top + "cell/" + f.Equipment, about(f.Of, "value", message{
			"ver": f.Rev, "insp": f.Inspection, "char": f.Characteristic, "no": f.Sample, "milli": thousandths(f.Value), "code": unit,
			"lo": thousandths(f.LSL), "hi": thousandths(f.USL), "critical": f.Safety,
		})
	case Held:
		return top + "stop", about(f.Of, "stop", message{"id": f.Hold, "note": f.Reason, "user": f.By})
	case Lifted:
		return top + "mes/quality", about(f.Of, "go", message{"id": f.Hold, "note": f.Reason, "user": f.By})
	case Sampled:
		return top + "tag/" + f.Equipment, message{"hdr": message{"kind": "tag", "t": f.At.UnixMilli()}, "rows": []message{{"tag": f.Tag, "milli": thousandths(f.Value)}}}
	}
	return "", nil
}

package mapping

import "github.com/holdfast-mesh/holdfast/pkg/event"

// rec20 has the UCUM units of the common codes of UN/ECE Recommendation 20 that quality data carries.
var rec20 = map[string]event.Unit{
	"C62": "{each}", "H87": "{each}", "EA": "{each}",
	"P1":  "%",
	"KGM": "kg", "GRM": "g", "MGM": "mg", "TNE": "t",
	"MTR": "m", "CMT": "cm", "MMT": "mm", "4H": "um",
	"MTK": "m2", "MTQ": "m3", "LTR": "L", "MLT": "mL",
	"NEW": "N", "B47": "kN", "NU": "N.m",
	"PAL": "Pa", "KPA": "kPa", "MPA": "MPa", "BAR": "bar",
	"CEL": "Cel", "KEL": "K", "DD": "deg",
	"SEC": "s", "C26": "ms", "MIN": "min", "HUR": "h",
	"MTS": "m/s", "HTZ": "Hz",
	"VLT": "V", "AMP": "A", "4K": "mA", "WTT": "W", "KWT": "kW", "KWH": "kW.h",
}

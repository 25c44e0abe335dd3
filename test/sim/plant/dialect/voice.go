package dialect

import (
	"encoding/json"
	"strings"
	"time"
)

// voice is what all dialects need to put a fact into words. Members of a message stand in the order of their names,
// as json.Marshal writes a map: the same fact gives the same bytes.
type voice struct {
	plant string
	zone  *time.Location
}

type message = map[string]any

// local writes a time as the clock on the plant's wall shows it.
func (v *voice) local(t time.Time, layout string) string { return t.In(v.zone).Format(layout) }

// comma writes a decimal with a decimal comma.
func comma(decimal string) string { return strings.Replace(decimal, ".", ",", 1) }

// digits returns a text of digits as a JSON number, which has no leading zeros.
func digits(text string) json.Number {
	if t := strings.TrimLeft(text, "0"); t != "" {
		return json.Number(t)
	}
	return "0"
}

// thousandths writes a decimal with two digits after the point as a whole number of thousandths.
func thousandths(decimal string) json.Number {
	return digits(strings.Replace(decimal, ".", "", 1) + "0")
}

// numeric tells whether a lot number is one of ten digits.
func numeric(lot string) bool {
	return len(lot) == 10 && strings.Trim(lot, "0123456789") == ""
}

// pick returns what a table has for a key, or the key itself.
func pick(table map[string]string, key string) string {
	if code, ok := table[key]; ok {
		return code
	}
	return key
}

package mapping

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// maxExponent bounds what a number's exponent may be, so that writing it out costs little.
const maxExponent = 400

// maxDigits bounds the text of a number.
const maxDigits = 100

// Number is an exact decimal number that keeps its text. It is a struct, so that no operator of the expression
// language takes it for a text.
type Number struct{ text string }

// String returns the number as it was written.
func (n Number) String() string { return n.text }

// plain returns the number without an exponent.
func (n Number) plain() string {
	mantissa, exponent, found := cutExponent(n.text)
	if !found {
		return n.text
	}
	return shift(mantissa, exponent)
}

// cutExponent splits 1.5e3 into 1.5 and 3. The exponent has been checked when the number was made.
func cutExponent(text string) (mantissa string, exponent int, found bool) {
	i := strings.IndexAny(text, "eE")
	if i < 0 {
		return text, 0, false
	}
	exponent, _ = strconv.Atoi(strings.TrimPrefix(text[i+1:], "+"))
	return text[:i], exponent, true
}

// shift moves the point of a decimal number by exponent digits to the right.
func shift(mantissa string, exponent int) string {
	sign := ""
	if strings.HasPrefix(mantissa, "-") {
		sign, mantissa = "-", mantissa[1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits, point := whole+fraction, len(whole)+exponent
	if point <= 0 {
		digits, point = strings.Repeat("0", 1-point)+digits, 1
	}
	if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	whole, fraction = strings.TrimLeft(digits[:point-1], "0")+digits[point-1:point], digits[point:]
	if fraction == "" {
		return sign + trimZeros(whole)
	}
	return sign + trimZeros(whole) + "." + fraction
}

// trimZeros drops leading zeros but for the last digit.
func trimZeros(whole string) string {
	if t := strings.TrimLeft(whole, "0"); t != "" {
		return t
	}
	return "0"
}

// fromJSON returns a JSON number as an int where it is an integer that fits, else as a Number.
func fromJSON(n json.Number) (any, error) {
	text := string(n)
	if i, err := strconv.Atoi(text); err == nil && text != "-0" {
		return i, nil
	}
	return newNumber(text)
}

// newNumber checks length and exponent of a text that JSON takes for a number.
func newNumber(text string) (Number, error) {
	if len(text) > maxDigits {
		return Number{}, fmt.Errorf("number %.20s... has %d characters: want at most %d", text, len(text), maxDigits)
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		e, err := strconv.Atoi(strings.TrimPrefix(text[i+1:], "+"))
		if err != nil || e > maxExponent || e < -maxExponent {
			return Number{}, fmt.Errorf("number %.40s has too large an exponent", text)
		}
	}
	return Number{text}, nil
}

// parseNumber reads a decimal number as JSON writes it; anything else, a sign plus or outer blanks too, is refused.
func parseNumber(text string) (Number, error) {
	if !isNumber(text) {
		return Number{}, fmt.Errorf("%.60q is no number", text)
	}
	return newNumber(text)
}

// isNumber tells whether text follows JSON's grammar of numbers.
func isNumber(text string) bool {
	rest := strings.TrimPrefix(text, "-")
	whole := digitsOf(rest)
	if whole == 0 || (whole > 1 && rest[0] == '0') {
		return false
	}
	rest = rest[whole:]
	if strings.HasPrefix(rest, ".") {
		n := digitsOf(rest[1:])
		if n == 0 {
			return false
		}
		rest = rest[1+n:]
	}
	if rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		rest = rest[1:]
		if rest != "" && (rest[0] == '+' || rest[0] == '-') {
			rest = rest[1:]
		}
		n := digitsOf(rest)
		if n == 0 {
			return false
		}
		rest = rest[n:]
	}
	return rest == ""
}

// digitsOf counts the digits that s begins with.
func digitsOf(s string) int {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return i
		}
	}
	return len(s)
}

// numeric returns v as a Number if it is one.
func numeric(v any) (Number, bool) {
	switch v := v.(type) {
	case Number:
		return v, true
	case int:
		return Number{strconv.Itoa(v)}, true
	case float64:
		// A literal of an expression: its shortest text is what its author wrote.
		return Number{strconv.FormatFloat(v, 'g', -1, 64)}, v-v == 0
	}
	return Number{}, false
}

// compare compares two numbers exactly.
func (n Number) compare(other Number) int {
	return comparePlain(n.plain(), other.plain())
}

func comparePlain(a, b string) int {
	a, aNegative := sign(a)
	b, bNegative := sign(b)
	switch {
	case aNegative && !bNegative:
		return -1
	case !aNegative && bNegative:
		return 1
	case aNegative:
		return compareSize(b, a)
	}
	return compareSize(a, b)
}

// sign returns the digits of a number and whether it is below zero.
func sign(text string) (digits string, negative bool) {
	digits, negative = strings.CutPrefix(text, "-")
	return digits, negative && strings.Trim(digits, "0.") != ""
}

func compareSize(a, b string) int {
	aWhole, aFraction, _ := strings.Cut(a, ".")
	bWhole, bFraction, _ := strings.Cut(b, ".")
	aWhole, bWhole = strings.TrimLeft(aWhole, "0"), strings.TrimLeft(bWhole, "0")
	if len(aWhole) != len(bWhole) {
		return sgn(len(aWhole) - len(bWhole))
	}
	if c := strings.Compare(aWhole, bWhole); c != 0 {
		return c
	}
	return strings.Compare(strings.TrimRight(aFraction, "0"), strings.TrimRight(bFraction, "0"))
}

func sgn(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// rat returns the number for arithmetic.
func (n Number) rat() *big.Rat {
	r, _ := new(big.Rat).SetString(n.plain())
	return r
}

// scale returns how many digits stand after the point.
func (n Number) scale() int {
	_, fraction, _ := strings.Cut(n.plain(), ".")
	return len(fraction)
}

// rounded writes r with so many digits after the point, half away from zero.
func rounded(r *big.Rat, digits int) (Number, error) {
	return newNumber(r.FloatString(digits))
}

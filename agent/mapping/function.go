package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// builtins are the expression language's own functions that stay: those that are exact, fail on nonsense, and give the
// same result each time. Its arithmetic works in floats, its clock is a clock, and its keys() comes in random order.
func builtins() []string {
	return []string{
		"all", "none", "any", "one", "filter", "map", "find", "findIndex", "findLast", "findLastIndex", "count",
		"len", "trimPrefix", "trimSuffix", "lower", "split", "splitAfter", "replace", "indexOf", "lastIndexOf",
		"hasPrefix", "hasSuffix", "first", "last", "get", "take", "concat", "flatten", "reverse", "toBase64", "fromBase64",
	}
}

// function is one of ours.
type function struct {
	name  string
	call  func(args ...any) (any, error)
	types []any // of what it may be called with, as the language wants them
}

func (f function) option() expr.Option { return expr.Function(f.name, f.call, f.types...) }

// functions are ours. Each fails with an error; none returns "" or 0 for what is missing.
func functions() []function {
	return []function{
		// num(x) and num(x, ",") read a number from a number or a text, with another decimal sign if named.
		{"num", toNum, []any{new(func(any) Number), new(func(any, string) Number)}},
		// round(n, digits) rounds half away from zero.
		{"round", roundTo, []any{new(func(any, int) Number)}},
		// add, sub and mul are exact; with a third argument rounded to so many digits. div always is.
		{"add", arithmetic(addition), []any{new(func(any, any) Number), new(func(any, any, int) Number)}},
		{"sub", arithmetic(subtraction), []any{new(func(any, any) Number), new(func(any, any, int) Number)}},
		{"mul", arithmetic(multiplication), []any{new(func(any, any) Number), new(func(any, any, int) Number)}},
		{"div", arithmetic(division), []any{new(func(any, any, int) Number)}},
		// judge(v, lsl, usl) gives pass, fail, or none where both limits are nil. A limit is part of what passes. What the
		// source itself calls less than good is never judged.
		{"judge", judge, []any{new(func(*scope, any, any, any) string)}},

		// ms(x) and sec(x) read Unix time; sec(x, ns) adds nanoseconds. rfc3339(x) reads a text with its zone,
		// layout(x, layout, zone) one without, the layout written as Go does: 02.01.2006 15:04:05.
		{"ms", fromMillis, []any{new(func(any) time.Time)}},
		{"sec", fromSeconds, []any{new(func(any) time.Time), new(func(any, any) time.Time)}},
		{"rfc3339", fromRFC3339, []any{new(func(any) time.Time)}},
		{"layout", fromLayout, []any{new(func(any, string, any) instant)}},

		// quality(code, "kepware") gives good, uncertain, bad or stale; unit(code, "rec20") a UCUM unit.
		{"quality", quality, []any{new(func(any, string) string)}},
		{"unit", unit, []any{new(func(any, string) string)}},

		// lot(scope, material, lot) and id(kind, native) make keys; native ids are those of the signal's system.
		{"lot", lotKey, []any{new(func(any, any, any) string)}},
		{"id", objectID, []any{new(func(*scope, string, any) string)}},

		{"string", textOf, []any{new(func(any) string)}},
		{"trim", trim, []any{new(func(any) string)}},
		{"upper", upper, []any{new(func(any) string)}},
		// pad(x, width, "0") fills on the left.
		{"pad", pad, []any{new(func(any, int, string) string)}},
		{"sha", sha, []any{new(func(any) string)}},
		// entries(x) lists an object's members by name, as {key, value}.
		{"entries", entries, []any{new(func(any) []any)}},

		// lookup(table, key) reads a table of the configuration; state(tag, max_age) a remembered value.
		{"lookup", lookup, []any{new(func(*scope, string, any) string)}},
		{"state", remembered, []any{new(func(*scope, string, time.Duration) any)}},

		{fnEqual, equal, []any{new(func(any, any) bool)}},
		{fnLess, less, []any{new(func(any, any) bool)}},
		{fnAtMost, atMost, []any{new(func(any, any) bool)}},
		{fnIn, within, []any{new(func(any, any) bool)}},
		{fnJoin, joinTexts, []any{new(func(any, any) string)}},
	}
}

// kind describes a value in an error.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "missing"
	case string:
		return fmt.Sprintf("the text %.60q", v)
	case bool:
		return fmt.Sprintf("%t", v)
	case int, Number:
		return fmt.Sprintf("the number %v", v)
	case time.Time, instant:
		return "a time"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("a %T", v)
}

// number reads a number or a text that holds one.
func number(v any) (Number, error) {
	if n, ok := numeric(v); ok {
		return newNumber(n.text)
	}
	if s, ok := v.(string); ok {
		return parseNumber(s)
	}
	return Number{}, fmt.Errorf("is %s: want a number", kind(v))
}

// text reads a text or a whole number, which is the text of its digits.
func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case Number:
		if digitsOf(strings.TrimPrefix(v.text, "-")) == len(strings.TrimPrefix(v.text, "-")) {
			return v.text, nil
		}
	}
	return "", fmt.Errorf("is %s: want a text", kind(v))
}

func toNum(args ...any) (any, error) {
	s, isText := args[0].(string)
	if !isText || len(args) == 1 {
		n, err := number(args[0])
		if err != nil {
			return nil, fmt.Errorf("num: %w", err)
		}
		return Number{n.plain()}, nil
	}
	sign := args[1].(string)
	if utf8.RuneCountInString(sign) != 1 {
		return nil, fmt.Errorf("num: decimal sign is %q: want one character", sign)
	}
	if sign != "." && strings.Contains(s, ".") {
		return nil, fmt.Errorf("num: %.60q has a point, but its decimal sign is %q", s, sign)
	}
	n, err := number(strings.Replace(s, sign, ".", 1))
	if err != nil {
		return nil, fmt.Errorf("num: %.60q is no number with decimal sign %q", s, sign)
	}
	return Number{n.plain()}, nil
}

// checkDigits bounds what rounding is asked for.
func checkDigits(digits int) error {
	if digits < 0 || digits > 18 {
		return fmt.Errorf("digits is %d: want 0 to 18", digits)
	}
	return nil
}

func roundTo(args ...any) (any, error) {
	n, err := number(args[0])
	if err == nil {
		err = checkDigits(args[1].(int))
	}
	if err != nil {
		return nil, fmt.Errorf("round: %w", err)
	}
	return rounded(n.rat(), args[1].(int))
}

// An operation returns the result and how many digits after the point write it exactly.
type operation func(a, b Number) (r *big.Rat, digits int, err error)

func addition(a, b Number) (*big.Rat, int, error) {
	return new(big.Rat).Add(a.rat(), b.rat()), max(a.scale(), b.scale()), nil
}

func subtraction(a, b Number) (*big.Rat, int, error) {
	return new(big.Rat).Sub(a.rat(), b.rat()), max(a.scale(), b.scale()), nil
}

func multiplication(a, b Number) (*big.Rat, int, error) {
	return new(big.Rat).Mul(a.rat(), b.rat()), a.scale() + b.scale(), nil
}

func division(a, b Number) (*big.Rat, int, error) {
	if b.rat().Sign() == 0 {
		return nil, 0, errors.New("division by zero")
	}
	return new(big.Rat).Quo(a.rat(), b.rat()), 0, nil
}

func arithmetic(op operation) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		a, err := number(args[0])
		if err != nil {
			return nil, fmt.Errorf("first number %w", err)
		}
		b, err := number(args[1])
		if err != nil {
			return nil, fmt.Errorf("second number %w", err)
		}
		r, digits, err := op(a, b)
		if err != nil {
			return nil, err
		}
		if len(args) == 3 {
			digits = args[2].(int)
			if err := checkDigits(digits); err != nil {
				return nil, err
			}
		}
		return rounded(r, digits)
	}
}

func judge(args ...any) (any, error) {
	if sig := args[0].(*scope).sig; doubtful(sig) {
		return nil, fmt.Errorf("judge: its source calls the value %s: such a value is not judged, its evaluation is none", sig.Quality)
	}
	args = args[1:]
	v, err := number(args[0])
	if err != nil {
		return nil, fmt.Errorf("judge: value %w", err)
	}
	verdict := event.NotEvaluated
	for i, outside := range []int{-1, 1} { // below the lower, above the upper limit
		if args[1+i] == nil {
			continue
		}
		limit, err := number(args[1+i])
		if err != nil {
			return nil, fmt.Errorf("judge: limit %w", err)
		}
		if v.compare(limit) == outside {
			return string(event.Fail), nil
		}
		verdict = event.Pass
	}
	return string(verdict), nil
}

func unit(args ...any) (any, error) {
	code, err := text(args[0])
	if err != nil {
		return nil, fmt.Errorf("unit: %w", err)
	}
	if table := args[1].(string); table != "rec20" {
		return nil, fmt.Errorf("unit: there is no table %q: want rec20", table)
	}
	u, ok := rec20[code]
	if !ok {
		return nil, fmt.Errorf("unit: %.60q is no known code of rec20", code)
	}
	return string(u), nil
}

func lotKey(args ...any) (any, error) {
	var parts [3]string
	for i, name := range []string{"scope", "material", "lot"} {
		p, err := text(args[i])
		if err != nil {
			return nil, fmt.Errorf("lot: %s %w", name, err)
		}
		parts[i] = p
	}
	key, err := event.NewLotKey(parts[0], parts[1], parts[2])
	if err != nil {
		return nil, fmt.Errorf("lot: %w", err)
	}
	return string(key), nil
}

func objectID(args ...any) (any, error) {
	native, err := text(args[2])
	if err != nil {
		return nil, fmt.Errorf("id: %w", err)
	}
	id, err := event.NewObjectID(args[1].(string), args[0].(*scope).sig.System, native)
	if err != nil {
		return nil, fmt.Errorf("id: %w", err)
	}
	return string(id), nil
}

func textOf(args ...any) (any, error) {
	switch v := args[0].(type) {
	case string:
		return args[0], nil
	case Number:
		return v.text, nil
	case int, bool:
		return fmt.Sprint(v), nil
	}
	return nil, fmt.Errorf("string: is %s: want a text, a number, true or false", kind(args[0]))
}

func trim(args ...any) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, fmt.Errorf("trim: %w", err)
	}
	return strings.TrimSpace(s), nil
}

func upper(args ...any) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, fmt.Errorf("upper: %w", err)
	}
	return strings.ToUpper(s), nil
}

func pad(args ...any) (any, error) {
	s, err := text(args[0])
	width, fill := args[1].(int), args[2].(string)
	switch {
	case err != nil:
		return nil, fmt.Errorf("pad: %w", err)
	case width < 1 || width > 256 || utf8.RuneCountInString(fill) != 1:
		return nil, fmt.Errorf("pad: width is %d and fill %q: want 1 to 256 and one character", width, fill)
	case utf8.RuneCountInString(s) > width:
		return nil, fmt.Errorf("pad: %.60q is longer than %d characters", s, width)
	}
	return strings.Repeat(fill, width-utf8.RuneCountInString(s)) + s, nil
}

func sha(args ...any) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, fmt.Errorf("sha: %w", err)
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:]), nil
}

func entries(args ...any) (any, error) {
	object, ok := args[0].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("entries: is %s: want an object", kind(args[0]))
	}
	list := make([]any, 0, len(object))
	for key, value := range object {
		list = append(list, map[string]any{"key": key, "value": value})
	}
	slices.SortFunc(list, func(a, b any) int {
		return strings.Compare(a.(map[string]any)["key"].(string), b.(map[string]any)["key"].(string))
	})
	return list, nil
}

func lookup(args ...any) (any, error) {
	name := args[1].(string)
	table, ok := args[0].(*scope).tables[name]
	if !ok {
		return nil, fmt.Errorf("lookup: there is no table %q", name)
	}
	key, err := text(args[2])
	if err != nil {
		return nil, fmt.Errorf("lookup: key %w", err)
	}
	value, ok := table[key]
	if !ok {
		return nil, fmt.Errorf("lookup: table %q has no row %.60q", name, key)
	}
	return value, nil
}

func remembered(args ...any) (any, error) {
	s, tag, maxAge := args[0].(*scope), args[1].(string), args[2].(time.Duration)
	value, age, err := s.recall(tag, maxAge)
	if err != nil {
		return nil, fmt.Errorf("state: tag %q %w", tag, err)
	}
	if s.ages == nil {
		s.ages = map[string]string{}
	}
	s.ages[tag] = age.Round(time.Millisecond).String()
	return value, nil
}

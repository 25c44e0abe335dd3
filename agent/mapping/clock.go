package mapping

import (
	"errors"
	"fmt"
	"math/big"
	"time"
)

// instant is a time that a text without zone stood for. Suspect means that the text stood for another one, too.
type instant struct {
	time.Time
	suspect bool
}

// asTime returns a time that an expression gave.
func asTime(v any) (t time.Time, suspect bool, err error) {
	switch v := v.(type) {
	case time.Time:
		t = v
	case instant:
		t, suspect = v.Time, v.suspect
	default:
		return t, false, fmt.Errorf("is %s: want a time, by ms, sec, rfc3339 or layout", kind(v))
	}
	if t.IsZero() {
		return t, false, errors.New("is missing")
	}
	return t, suspect, nil
}

// unix returns the time so many nanoseconds after 1970 began. RFC 3339 has years of four digits.
func unix(nanos *big.Rat) (time.Time, error) {
	const billion = 1_000_000_000
	n := new(big.Int).Quo(nanos.Num(), nanos.Denom())
	seconds, rest := new(big.Int).QuoRem(n, big.NewInt(billion), new(big.Int))
	if seconds.IsInt64() {
		t := time.Unix(seconds.Int64(), rest.Int64()).UTC()
		if t.Year() >= 1 && t.Year() <= 9999 && !t.IsZero() {
			return t, nil
		}
	}
	return time.Time{}, errors.New("is no time between the years 1 and 9999")
}

func scaled(v any, factor int64) (*big.Rat, error) {
	n, err := number(v)
	if err != nil {
		return nil, err
	}
	return n.rat().Mul(n.rat(), big.NewRat(factor, 1)), nil
}

func fromMillis(args ...any) (any, error) {
	nanos, err := scaled(args[0], int64(time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("ms: %w", err)
	}
	t, err := unix(nanos)
	if err != nil {
		return nil, fmt.Errorf("ms: %v %w", args[0], err)
	}
	return t, nil
}

func fromSeconds(args ...any) (any, error) {
	nanos, err := scaled(args[0], int64(time.Second))
	if err != nil {
		return nil, fmt.Errorf("sec: %w", err)
	}
	if len(args) == 2 {
		more, err := scaled(args[1], 1)
		if err != nil {
			return nil, fmt.Errorf("sec: nanoseconds: %w", err)
		}
		nanos.Add(nanos, more)
	}
	t, err := unix(nanos)
	if err != nil {
		return nil, fmt.Errorf("sec: %v %w", args[0], err)
	}
	return t, nil
}

func fromRFC3339(args ...any) (any, error) {
	s, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("rfc3339: is %s: want a text", kind(args[0]))
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.IsZero() {
		return nil, fmt.Errorf("rfc3339: %.60q is no time such as 2026-11-24T06:30:00.125Z", s)
	}
	return t, nil
}

// fromLayout reads a local time. Its zone has been loaded when the expression was compiled. In the repeated hour of
// autumn the earlier time is taken and marked as suspect; a time in the skipped hour of spring is an error.
func fromLayout(args ...any) (any, error) {
	s, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("layout: is %s: want a text", kind(args[0]))
	}
	layout, zone := args[1].(string), args[2].(*time.Location)
	written, err := time.Parse(layout, s)
	if err != nil {
		return nil, fmt.Errorf("layout: %.60q does not fit %q", s, layout)
	}
	t, err := time.ParseInLocation(layout, s, zone)
	if err != nil || t.IsZero() {
		return nil, fmt.Errorf("layout: %.60q does not fit %q", s, layout)
	}
	if !sameWall(t, written) {
		return nil, fmt.Errorf("layout: %.60q does not exist in %s, where the clocks went forward", s, zone)
	}
	out := instant{Time: t}
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		if other := t.Add(step); sameWall(other, written) && t.Location() == zone {
			out.suspect = true
			if step < 0 {
				out.Time = other
			}
		}
	}
	return out, nil
}

// sameWall tells whether two times show the same on the wall, each in its own zone.
func sameWall(a, b time.Time) bool {
	const wall = "2006-01-02T15:04:05.999999999"
	return a.Format(wall) == b.Format(wall)
}

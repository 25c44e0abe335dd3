package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes, written with a unit: 8GiB, 1MiB, 500kB, 100B.
type ByteSize int64

// Units of a size.
const (
	KiB ByteSize = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

type unit struct {
	name string
	size ByteSize
}

// units stand with the larger binary ones first, as [ByteSize.String] tries them in order.
func units() []unit {
	return []unit{
		{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB},
		{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
	}
}

// UnmarshalText reads a whole number with a unit. The unit is required, so that nobody has to guess it.
func (b *ByteSize) UnmarshalText(text []byte) error {
	for _, u := range units() {
		digits, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
		if err != nil {
			break
		}
		if n > math.MaxInt64/uint64(u.size) {
			return errors.New("size is too large")
		}
		*b = ByteSize(n) * u.size
		return nil
	}
	return errors.New("not a size such as 8GiB, 1MiB, 500kB or 100B")
}

// String returns the size in the largest unit that divides it.
func (b ByteSize) String() string {
	for _, u := range units() {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return "0B"
}

// MarshalText returns what [ByteSize.UnmarshalText] reads.
func (b ByteSize) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// Percent is a whole share from 0% to 100%.
type Percent int

// UnmarshalText reads a number from 0 to 100 with a percent sign.
func (p *Percent) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(string(text), "%")
	n, err := strconv.ParseUint(digits, 10, 8)
	if !ok || err != nil || n > 100 {
		return errors.New("not a share such as 60%, from 0% to 100%")
	}
	*p = Percent(n)
	return nil
}

// Of returns the share of a whole, rounded down.
func (p Percent) Of(whole ByteSize) ByteSize {
	return whole/100*ByteSize(p) + whole%100*ByteSize(p)/100
}

// String returns the number with its sign.
func (p Percent) String() string { return strconv.Itoa(int(p)) + "%" }

// MarshalText returns what [Percent.UnmarshalText] reads.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

package localapi

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// How figures of a status are written for people, on the terminal and on the page.

// Number writes a count with a comma at the thousands.
func Number[N int | int64 | uint64](n N) string {
	digits := strconv.FormatUint(uint64(n), 10) // no count is negative
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Things writes a number of things.
func Things[N int | int64 | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Number(n) + " " + thing + "s"
}

// Size writes a size in bytes with two digits at least.
func Size(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	amount, unit := float64(n)/1024, 0
	for amount >= 1023.5 && unit < len(units)-1 {
		amount, unit = amount/1024, unit+1
	}
	if amount < 9.95 {
		return fmt.Sprintf("%.1f %ciB", amount, units[unit])
	}
	return fmt.Sprintf("%.0f %ciB", amount, units[unit])
}

// Age writes a duration in its two largest units.
func Age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd %dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

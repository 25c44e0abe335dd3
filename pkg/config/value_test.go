package config

import (
	"math"
	"testing"
)

func TestByteSize_UnmarshalText(t *testing.T) {
	for text, want := range map[string]ByteSize{
		"0B": 0, "100B": 100, "500kB": 500_000, "1KiB": 1024, "1MiB": MiB, "8GiB": 8 * GiB, "2TiB": 2 * TiB, "3GB": 3e9, "8 GiB": 8 * GiB,
	} {
		var got ByteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "8", "B", "-1B", "1.5GiB", "8gib", "8G", "9223372036854775807GiB", "99999999999999999999B", "0x10B"} {
		got := ByteSize(7)
		if err := got.UnmarshalText([]byte(text)); err == nil || got != 7 {
			t.Errorf("%q = %d, want an error and no change", text, got)
		}
	}
}

func FuzzByteSize(f *testing.F) {
	f.Add("8GiB")
	f.Add("500kB")
	f.Fuzz(func(t *testing.T, text string) {
		var b, again ByteSize
		if b.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b || b < 0 {
			t.Errorf("%q reads as %d, which reads as %d, %v", text, b, again, err)
		}
	})
}

func TestPercent_UnmarshalText(t *testing.T) {
	for text, want := range map[string]Percent{"0%": 0, "60%": 60, "100%": 100} {
		var got Percent
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want || got.String() != text {
			t.Errorf("%q = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "%", "60", "101%", "-1%", "0.5%"} {
		var got Percent
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q = %v, want an error", text, got)
		}
	}
}

func TestPercent_Of(t *testing.T) {
	if got := Percent(60).Of(8 * GiB); got != 8*GiB*60/100 {
		t.Errorf("60%% of 8GiB = %d", got)
	}
	if got := Percent(100).Of(math.MaxInt64); got != math.MaxInt64 {
		t.Errorf("100%% of the largest size = %d", got)
	}
}

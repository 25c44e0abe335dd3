package opcua

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

func TestTrack_Step(t *testing.T) {
	for name, c := range map[string]struct {
		last    uint64
		modulus uint64
		n       uint64
		want    step
		missing uint64
	}{
		"the next":                        {7, 0, 8, stepNext, 0},
		"the same":                        {7, 0, 7, stepRepeat, 0},
		"three left out":                  {7, 0, 11, stepJump, 3},
		"begun anew":                      {7, 0, 1, stepReset, 0},
		"wrap of 16 bits":                 {65535, 65536, 0, stepNext, 0},
		"wrap with two left out":          {65534, 65536, 1, stepJump, 2},
		"begun anew, far from a wrap":     {500, 65536, 1, stepReset, 0},
		"wrap where none is configured":   {65535, 0, 0, stepReset, 0},
		"number beyond the modulus":       {7, 10, 12, stepJump, 4},
		"the largest number and the next": {1<<64 - 1, 0, 0, stepReset, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := &track{modulus: c.modulus, seq: &c.last}
			if what, missing := x.step(c.n); what != c.want || missing != c.missing {
				t.Errorf("%d after %d: step %d, missing %d, want %d and %d", c.n, c.last, what, missing, c.want, c.missing)
			}
		})
	}
	if what, _ := (&track{}).step(5); what != stepFirst {
		t.Errorf("the first number is step %d", what)
	}
}

func TestTrack_Observe(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	x := &track{name: "n"}
	see := func(n uint64, after time.Duration) verdict {
		return x.observe(&reading{seq: &n, at: at.Add(after), print: fmt.Sprint(n)})
	}
	x.near = true
	if v := see(1, 0); v != (verdict{near: true}) || x.near {
		t.Errorf("first: %+v", v)
	}
	if v := see(2, time.Second); !v.continues {
		t.Errorf("next: %+v", v)
	}
	if v := see(2, time.Second); !v.repeated {
		t.Errorf("again: %+v", v)
	}
	jump := see(6, 2*time.Second)
	if g := jump.gap; g == nil || g.Reason != source.GapSequenceJump || g.FromSeq != 3 || g.ToSeq != 5 || g.Missing != 3 || !g.From.Equal(at.Add(time.Second)) || !g.To.Equal(at.Add(2*time.Second)) {
		t.Errorf("jump: %+v", jump.gap)
	}
	if v := see(6, 3*time.Second); !v.repeated || !x.last.Equal(at.Add(3*time.Second)) {
		t.Errorf("the same record with another time: %+v", v)
	}
	six := uint64(6)
	if g := x.observe(&reading{seq: &six, at: at.Add(4 * time.Second), print: "other"}).gap; g == nil || g.Reason != source.GapSequenceReset {
		t.Errorf("the same number with another record: %+v", g)
	}
	back := see(1, time.Second).gap // its clock was set back, too
	if back == nil || back.Reason != source.GapSequenceReset || back.To.Before(back.From) {
		t.Errorf("reset: %+v", back)
	}
	if again := see(9, time.Second).gap; again == nil || again.From.Equal(back.From) {
		t.Errorf("two gaps begin at one instant: %+v and %+v", back, again)
	}
	ahead := uint64(10)
	x.observe(&reading{seq: &ahead, at: at.Add(24 * time.Hour), ahead: true})
	if x.last.After(at.Add(time.Hour)) {
		t.Errorf("a time in the future moved the newest to %s", x.last)
	}
}

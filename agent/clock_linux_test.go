package agent

import (
	"testing"
	"time"
)

func TestJudgeClock(t *testing.T) {
	for _, c := range []struct {
		name           string
		status, offset int64
		synchronised   bool
		want           time.Duration
		told           bool
	}{
		{"nobody keeps it", clockUnsynchronised | clockLoop, 5, false, 0, false},
		{"kept by a service that tells no offset", 0, 5, true, 0, false},
		{"in microseconds", clockLoop, -1500, true, -1500 * time.Microsecond, true},
		{"in nanoseconds", clockLoop | clockNanoseconds, 1_800_000_000, true, 1800 * time.Millisecond, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := judgeClock(c.status, c.offset)
			if h.synchronised != c.synchronised || (h.offset != nil) != c.told || c.told && *h.offset != c.want {
				t.Errorf("got %+v, offset %v", h, h.offset)
			}
		})
	}
}

package company

import (
	"cmp"
	"slices"
	"time"
)

// disturb sends some messages twice, some late, and lets readings of one machine overtake each other. What they say
// stays. Only what has a sequence of its own is sent out of order: readings, by their records. Only what passes is late:
// a late failure is a story of its own.
func (g *generator) disturb() {
	byOffset := func(a, b Message) int { return cmp.Compare(a.Offset, b.Offset) }
	messages := g.out.Messages
	slices.SortStableFunc(messages, byOffset)
	last := map[string]int{} // reading before, by topic
	for i := range messages {
		m := &messages[i]
		if m.passing && g.chance(g.plan.Late) {
			m.Offset += g.later(30)
		}
		if before, ok := last[m.Topic]; ok && m.passing && g.chance(g.plan.Swapped) {
			m.Offset, messages[before].Offset = messages[before].Offset, m.Offset
			delete(last, m.Topic)
		} else if m.passing {
			last[m.Topic] = i
		}
	}
	var again []Message
	for i := range messages { // each where it is sent at last, so that its twin comes after it
		if !messages[i].Quarantined && g.chance(g.plan.Duplicated) {
			twin := messages[i]
			twin.Again = true
			twin.Offset += g.later(20)
			again = append(again, twin)
		}
	}
	g.out.Messages = append(messages, again...)
	slices.SortStableFunc(g.out.Messages, byOffset)
}

func (g *generator) later(parts int) time.Duration {
	return time.Duration(1+g.random.IntN(parts)) * g.plan.Every
}

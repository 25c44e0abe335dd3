package opcua

import (
	"slices"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/holdfast-mesh/holdfast/agent/source"
)

// track is what is known of an item over all lives.
type track struct {
	name    string
	item    *Item   // nil: it is a notifier
	events  *Events // nil: it is an item
	modulus uint64

	last  time.Time // newest source time; zero = nothing was read yet
	seq   *uint64   // newest sequence number; nil = none was read yet
	print string    // of the value that came with it
	near  bool      // last is that of another item near to it: the cursor had no room for all
	gapTo time.Time // end of its newest gap

	filling  *past     // its history is read while newer values come: the hole between them is known; nil = it is not
	filled   time.Time // by our clock: when its history of this life was read; zero = it was not
	historic []seen    // newest values that history had, oldest first: what the subscription may bring, too
}

// seen tells values of one item apart.
type seen struct {
	at    time.Time
	print string
}

// mostHistoric is more than a server keeps for one item of a subscription.
const mostHistoric = 1000

// remember keeps a value of history in mind.
func (t *track) remember(r *reading) {
	if len(t.historic) >= mostHistoric {
		t.historic = slices.Delete(t.historic, 0, mostHistoric/2)
	}
	t.historic = append(t.historic, seen{r.at, r.print})
}

// waited tells whether a value of the subscription lay at the server or here while history, which had it, was read.
func (t *track) waited(r *reading, arrived time.Time) bool {
	if r.at.IsZero() || r.at.After(t.last) {
		t.historic = nil // the subscription is past it
		return false
	}
	return arrived.Before(t.filled) || slices.Contains(t.historic, seen{r.at, r.print})
}

// known tells whether something was read of it before, so that something can be missing.
func (t *track) known() bool { return !t.last.IsZero() || t.seq != nil }

// plainEvents tells whether it is a notifier without a sequence: what it missed, nothing can tell.
func (t *track) plainEvents() bool { return t.events != nil && t.events.Seq == "" }

// step is what a sequence number says about the one before.
type step int

const (
	stepFirst  step = iota // there was none
	stepNext               // the next one
	stepRepeat             // the same one
	stepJump               // some were left out
	stepReset              // the sequence began anew
)

// step judges a number; missing is how many were left out before it. With a modulus the numbers run from 0 to
// modulus-1, and half of them ahead is still a jump forward.
func (t *track) step(n uint64) (what step, missing uint64) {
	if t.seq == nil {
		return stepFirst, 0
	}
	ahead := n - *t.seq
	switch {
	case t.modulus > 0 && n < t.modulus && *t.seq < t.modulus:
		ahead = (n + t.modulus - *t.seq) % t.modulus
		if ahead > t.modulus/2 {
			return stepReset, 0
		}
	case n < *t.seq:
		return stepReset, 0
	}
	switch ahead {
	case 0:
		return stepRepeat, 0
	case 1:
		return stepNext, 0
	}
	return stepJump, ahead - 1
}

// following returns the number after n.
func (t *track) following(n uint64) uint64 {
	if t.modulus > 0 && n+1 >= t.modulus {
		return 0
	}
	return n + 1
}

// preceding returns the number before n.
func (t *track) preceding(n uint64) uint64 {
	if n == 0 && t.modulus > 0 {
		return t.modulus - 1
	}
	return n - 1
}

// role is what a monitored item is for.
type role int

const (
	roleValue role = iota
	roleCounter
	roleHeartbeat
	roleEvents
)

// watch is a monitored item of one life.
type watch struct {
	role    role
	track   *track // nil: a heartbeat
	sub     int    // place of its subscription
	node    *ua.NodeID
	members []*ua.NodeID // of a counter
	typ     *definition  // of the node's values; nil = not known
	memTyp  []*definition
	seen    ua.TypeID // of the first usable value in this life; 0 = none yet, and of a node whose type is known

	created bool
	id      uint32 // of the server
	revised time.Duration
	trouble error     // why it is not read; nil = it is
	retry   time.Time // when it is tried again
	heard   time.Time // when a value came, or the item was read
}

// verdict is what a reading says about those before it.
type verdict struct {
	gap       *source.Gap // that it proves; nil = none
	repeated  bool        // it is the one read last
	continues bool        // its number is the one after the last
	near      bool        // the time before it is only near to that of the item's own last value
}

// observe takes a reading in. A time that cannot be right moves nothing.
func (t *track) observe(r *reading) verdict {
	v := verdict{repeated: r.seq == nil && !r.at.IsZero() && r.at.Equal(t.last)}
	if r.seq != nil {
		v = t.sequenced(r)
	}
	v.near, t.near = t.near, false
	if r.seq != nil {
		t.seq, t.print = r.seq, r.print
	}
	if r.at.After(t.last) && !r.ahead {
		t.last = r.at
	}
	return v
}

func (t *track) sequenced(r *reading) verdict {
	switch what, missing := t.step(*r.seq); what {
	case stepNext:
		return verdict{continues: true}
	case stepRepeat:
		// A server that was restarted gives its old value a new time. A machine that was reset may come to the same
		// number again, but with another record.
		if r.print == t.print || !r.at.After(t.last) {
			return verdict{repeated: true}
		}
		return verdict{gap: t.gap(source.GapSequenceReset, r.at)}
	case stepJump:
		gap := t.gap(source.GapSequenceJump, r.at)
		gap.FromSeq, gap.ToSeq, gap.Missing = int64(t.following(*t.seq)), int64(t.preceding(*r.seq)), int64(missing)
		return verdict{gap: gap}
	case stepReset:
		return verdict{gap: t.gap(source.GapSequenceReset, r.at)}
	}
	return verdict{}
}

// gap returns a gap of the item from its newest value on. No two begin at the same instant: that is what tells them
// apart.
func (t *track) gap(reason string, to time.Time) *source.Gap {
	from := t.last
	if t.gapTo.After(from) {
		from = t.gapTo
	}
	if to.Before(from) {
		to = from
	}
	t.gapTo = to.Add(time.Microsecond)
	return &source.Gap{Item: t.name, From: from, To: to, Reason: reason}
}

package queue

import (
	"errors"
	"fmt"
)

// ErrNotChecked is wrapped by an error of Config.Check that says nothing about the file: the check itself could not
// run.
var ErrNotChecked = errors.New("segment not checked")

// ErrClosed is returned by every method once [Lane.Close] has begun.
var ErrClosed = errors.New("queue lane is closed")

// Damage is what a lane found wrong with one of its files. The caller records it where a person sees it, then calls
// [Lane.Declared]; until then each Open reports it again.
type Damage struct {
	File  string // name within the lane's directory, as it was when found damaged
	Epoch string // empty if unknown, or for meta.db

	// FromSeq and ToSeq are the first and last missing record. Both 0: no record is missing. ToSeq alone 0: all from
	// FromSeq on, how many is unknown.
	FromSeq, ToSeq uint64

	Sent     bool   // all of the range was acknowledged before: nothing is lost by it
	Salvaged uint64 // records saved from the file
	Reason   string // what the check found
}

// key names a damage over restarts.
func (d Damage) key() string { return fmt.Sprintf("%s %s %d %d", d.File, d.Epoch, d.FromSeq, d.ToSeq) }

// span is a run of seqs, both ends included. An end of 0 is open.
type span struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// allSeqs is beyond every seq.
const allSeqs = ^uint64(0)

// splitSent parts d at sentTo, the last seq of its epoch that was acknowledged.
func splitSent(d Damage, sentTo uint64) []Damage {
	if d.FromSeq == 0 || sentTo < d.FromSeq {
		return []Damage{d}
	}
	if sentTo == allSeqs || d.ToSeq != 0 && d.ToSeq <= sentTo {
		d.Sent = true
		return []Damage{d}
	}
	sent, rest := d, d
	sent.ToSeq, sent.Sent = sentTo, true
	rest.FromSeq = sentTo + 1
	return []Damage{sent, rest}
}

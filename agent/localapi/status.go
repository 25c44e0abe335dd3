package localapi

import (
	"time"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/agent/source"
	"github.com/holdfast-mesh/holdfast/agent/uplink"
)

// Format is the number of the documents' form. Within one number fields are only added.
const Format = 1

// Status is how an agent stands.
type Status struct {
	Format  int       `json:"format"`
	Plant   string    `json:"plant"`
	Agent   string    `json:"agent"`
	Build   string    `json:"build"` // version of the program
	Epoch   string    `json:"epoch"`
	Config  string    `json:"config"` // first 12 hex digits of the SHA-256 of the configuration in force
	UpSince time.Time `json:"up_since"`
	AsOf    time.Time `json:"as_of"`

	ConfigSince   time.Time `json:"config_since"`             // since when the configuration is in force
	ConfigRefused *Refusal  `json:"config_refused,omitempty"` // why the newest reload changed nothing; absent: it was taken, or there was none

	Uplink   Uplink   `json:"uplink"`
	Downlink Downlink `json:"downlink"`
	Lanes    []Lane   `json:"lanes"`
	Sources  []Source `json:"sources"`

	Ending []Certificate `json:"certificates_ending"` // in use, and at an end within 30 days

	Arrival    []string   `json:"key_arrival"`   // mappings whose events a second delivery counts twice
	Mixed      []Mixed    `json:"mixed_sources"` // sources whose urgent events can wait behind others
	Quarantine Quarantine `json:"quarantine"`
}

// Uplink is the link to Kafka.
type Uplink struct {
	Up        bool      `json:"up"`
	Since     time.Time `json:"since"`                // of up
	LastError string    `json:"last_error,omitempty"` // of the newest failure, with its code; stays after it is over
	NextTry   time.Time `json:"next_try,omitzero"`    // zero while up
	Head      time.Time `json:"head,omitzero"`        // when the newest head was confirmed; zero = none yet
	Answered  uint64    `json:"barrier_answered"`     // newest barrier that a head answered; 0 = none
}

// NewUplink shows the uplink's own status.
func NewUplink(s uplink.Status) Uplink { return Uplink(s) }

// Queue is how the lanes of an agent's queue stand.
type Queue struct {
	Format int       `json:"format"`
	Plant  string    `json:"plant"`
	Agent  string    `json:"agent"`
	AsOf   time.Time `json:"as_of"`
	Lanes  []Lane    `json:"lanes"`
}

// Lane is one lane of the queue. Rates are means of the last 15 minutes.
type Lane struct {
	Name    string `json:"lane"`
	Epoch   string `json:"epoch,omitempty"` // of this run
	LastSeq uint64 `json:"last_seq"`        // of this run
	Acked   Acked  `json:"acked"`           // everything up to here is confirmed

	Depth       uint64    `json:"depth"`  // unsent records
	Urgent      int       `json:"urgent"` // unsent urgent ones among them
	Oldest      time.Time `json:"oldest,omitzero"`
	Bytes       int64     `json:"bytes"`
	SentBytes   int64     `json:"sent_bytes"` // part of bytes that goes when room is needed
	Quota       int64     `json:"quota_bytes"`
	Reserve     int64     `json:"reserve_bytes"`
	ReserveUsed int64     `json:"reserve_used_bytes"`
	Segments    int       `json:"segments"`

	Inflow  float64 `json:"in_per_second"`
	Outflow float64 `json:"out_per_second"`
	FullIn  int64   `json:"full_in_seconds"`  // at this inflow; 0 = nothing flows in
	DrainIn int64   `json:"drain_in_seconds"` // at this outflow; 0 = nothing to send, or nothing flows out

	Received uint64 `json:"received"` // since the start of the program, as sent and shed
	Sent     uint64 `json:"sent"`
	Shed     uint64 `json:"shed"`

	Damages []string `json:"damages,omitempty"` // of a stopped agent's files
}

// Acked is the place up to which a lane is confirmed; zero if nothing is.
type Acked struct {
	Epoch string `json:"epoch,omitempty"`
	Seq   uint64 `json:"seq"`
}

// NewLane shows a lane's own status.
func NewLane(s queue.Stat) Lane {
	return Lane{
		Name: s.Lane, Epoch: s.Epoch, LastSeq: s.LastSeq, Acked: Acked(s.Acked), Depth: s.Depth, Urgent: s.Urgent, Oldest: s.Oldest,
		Bytes: s.Bytes, SentBytes: s.SentBytes, Quota: s.Quota, Reserve: s.Reserve, ReserveUsed: s.ReserveUsed, Segments: s.Segments,
		Inflow: s.Inflow, Outflow: s.Outflow, FullIn: int64(s.FullIn.Seconds()), DrainIn: int64(s.DrainIn.Seconds()),
		Received: s.Received, Sent: s.Sent, Shed: s.Shed,
	}
}

// Source is one source.
type Source struct {
	ID        string       `json:"id"`
	Transport string       `json:"transport"`
	Address   string       `json:"address,omitempty"` // without credentials
	State     source.State `json:"state"`
	Since     time.Time    `json:"since"`             // of state
	Problem   string       `json:"problem,omitempty"` // with its code
	Next      string       `json:"next,omitempty"`    // what a person does about it

	LastSignal time.Time `json:"last_signal,omitzero"` // zero = never
	Received   uint64    `json:"received"`
	Discarded  uint64    `json:"discarded"`  // by a configured discard
	Duplicates uint64    `json:"duplicates"` // that the source itself recognised
	Reconnects uint64    `json:"reconnects"`
	AtMostOnce []string  `json:"at_most_once,omitempty"` // topics without a promise, the first ten

	Items    int                    `json:"items,omitempty"`    // configured single items; absent = it has none
	Signals  map[source.Quality]int `json:"signals,omitempty"`  // items by the quality of their newest value
	Troubled []string               `json:"troubled,omitempty"` // items that are not read, with the reason, the first ten
	OpenGaps int                    `json:"open_gaps,omitempty"`
	Facts    []string               `json:"facts,omitempty"` // what was agreed with the other side
}

// NewSource shows a source's own status.
func NewSource(s source.Status) Source {
	return Source{
		ID: s.ID, Transport: s.Transport, Address: s.Address, State: s.State, Since: s.Since, Problem: s.Problem, Next: s.Next,
		LastSignal: s.LastSignal, Received: s.Received, Discarded: s.Discarded, Duplicates: s.Duplicates, Reconnects: s.Reconnects,
		AtMostOnce: s.AtMostOnce, Items: s.Items, Signals: s.Signals, Troubled: s.Troubled, OpenGaps: s.OpenGaps, Facts: s.Facts,
	}
}

// Mixed is a source that yields urgent events and, from other topics, events that are not: the urgent ones can wait
// behind what is not acknowledged yet.
type Mixed struct {
	Source string   `json:"source"`
	Urgent []string `json:"urgent"` // topics of mappings that can yield an urgent event
	Others []string `json:"others"` // topics of those that cannot
}

// Quarantine is what was not understood since the start.
type Quarantine struct {
	Count  uint64        `json:"count"`
	Newest []Quarantined `json:"newest"` // at most 20, oldest first
}

// Quarantined is one record that was not understood.
type Quarantined struct {
	At     time.Time `json:"at"`
	Source string    `json:"source"`
	Item   string    `json:"item"` // topic, node, row
	Code   string    `json:"code"`
	Reason string    `json:"reason"`
}

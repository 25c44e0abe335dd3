// Package history keeps what every participant of a test did and saw, one JSON line per fact: sources, agents, Kafka,
// cloud, business systems, and whoever breaks them. Package check judges it.
//
// A fact is written where it took place, or read afterwards from what the participant itself has kept: the cloud's
// tables, the books of the business systems, the topics. The readers here know those forms by themselves; they ask
// nothing of the code that they help to judge.
package history

import (
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Kind says what took place.
type Kind string

// Kinds of facts. The fields that a kind uses stand behind it; At and By may stand in all of them.
const (
	Offered      Kind = "offered"      // a source, a feed or a person has a fact to tell: Plant, Event, Type, Lot, Hash, Raw, Door
	Acknowledged Kind = "acknowledged" // the source was told that it is kept: Plant, Event or Raw, Lane
	Put          Kind = "put"          // an agent has it on disk: Origin, Event, Type, Lot, Hash, Raw, Bytes, Urgent; Place once in Kafka
	Acked        Kind = "acked"        // Kafka has confirmed an agent's records up to Origin.Seq
	Inbox        Kind = "inbox"        // the cloud has applied it as Pos: Event, Type, Door, Principal, Lot, Key, Hash, Raw, Urgent, Origin, Place, Cause, Time, Equipment
	Intent       Kind = "intent"       // the cloud wants an effect: System, Effect, Object, Lot, Command, Reference, Count times so far
	EffectSeen   Kind = "effect_seen"  // it took place at the target: System, Key, Lot, Effect, Record, Reference, Detail, Free
	Quarantined  Kind = "quarantined"  // a record was not understood: Event, Lot, Key, Hash, Raw, Bytes, State, Until
	Parked       Kind = "parked"       // a record waits or failed: Event, Lot, Key, Hash, Bytes, State, Object, Until, Ord, ReplacedBy, Urgent
	Gap          Kind = "gap"          // something was not seen: Gap, Plant, Agent, Equipment, Lot, From, To, Reason, State, Until; Origin and ToSeq of lost records
	Epoch        Kind = "epoch"        // one run of an agent: Origin, Prev, State, Closing, Covered
	Barrier      Kind = "barrier"      // the cloud asks about a lot: Lot, Barrier, Agents
	Head         Kind = "head"         // an agent states what it has: Plant, Agent, Epoch, Barrier, Heads
	Hold         Kind = "hold"         // Hold, Lot or Scope, State, HoldKind, Event, Pos
	Release      Kind = "release"      // the cloud grants a lot's release: Lot, Barrier, Pos, Agents, Signatures
	Ledger       Kind = "ledger"       // Object, Version, Principal, Place.Offset of the chain, Chain, Prev; State anchored of an anchor
	Clock        Kind = "clock"        // somebody's clock was moved: Plant, Reason
	Fault        Kind = "fault"        // something was broken, or is whole again: Object, State, Reason
	Queue        Kind = "queue"        // an agent's lane on disk: Plant, Agent, Origin.Lane, Size, Quota, State full where it takes nothing more
)

// States of facts that have one.
const (
	Open       = "open"
	Closed     = "closed"
	Accepted   = "accepted"   // of a gap: by signature, for Lot
	Placed     = "placed"     // of a hold
	Lifted     = "lifted"     // of a hold
	Superseded = "superseded" // of an epoch
	Waiting    = "waiting"    // of a record: for Object
	Redriven   = "redriven"
	Replaced   = "replaced"
	Dropped    = "dropped"
	Anchored   = "anchored" // of a ledger entry: as the anchor has it
	Full       = "full"     // of a queue
	Begun      = "begun"    // of a fault
	Ended      = "ended"    // of a fault
)

// Fact is one thing that took place. What a field means, and for which kinds, stands at the kinds.
type Fact struct {
	At   time.Time `json:"at,omitzero"`
	Kind Kind      `json:"kind"`
	By   string    `json:"by,omitempty"` // participant: a source, an agent, cloud, a system, a person

	Plant string       `json:"plant,omitempty"`
	Agent string       `json:"agent,omitempty"`
	Event event.ID     `json:"event,omitempty"`
	Type  event.Type   `json:"type,omitempty"`
	Lot   event.LotKey `json:"lot,omitempty"`
	Key   string       `json:"key,omitempty"`  // Kafka key; business key at a target
	Hash  event.Hash   `json:"hash,omitempty"` // of the content
	Raw   event.Hash   `json:"raw,omitempty"`  // of the payload as its source sent it
	Bytes event.Hash   `json:"bytes,omitempty"`
	Door  string       `json:"door,omitempty"` // P or C
	// Principal is who did it, where a person, a feed or an agent did.
	Principal string    `json:"principal,omitempty"`
	Cause     event.ID  `json:"cause,omitempty"`
	Time      time.Time `json:"time,omitzero"` // at its source
	Urgent    bool      `json:"urgent,omitempty"`

	Origin Origin `json:"origin,omitzero"`
	Place  Place  `json:"place,omitzero"`
	Pos    int64  `json:"pos,omitempty"` // order in which the cloud applied

	System    string `json:"system,omitempty"`
	Effect    string `json:"effect,omitempty"`
	Object    string `json:"object,omitempty"`
	Command   string `json:"command,omitempty"`
	Reference string `json:"reference,omitempty"`
	Record    string `json:"record,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Count     int64  `json:"count,omitempty"`
	Free      bool   `json:"free,omitempty"` // some of the lot may be used afterwards

	State      string    `json:"state,omitempty"`
	Until      time.Time `json:"until,omitzero"` // end of the state; zero = it lasts
	Ord        int64     `json:"ord,omitempty"`  // order within its key
	ReplacedBy event.ID  `json:"replaced_by,omitempty"`

	Gap       string    `json:"gap,omitempty"`
	Equipment string    `json:"equipment,omitempty"`
	From      time.Time `json:"from,omitzero"`
	To        time.Time `json:"to,omitzero"`
	ToSeq     int64     `json:"to_seq,omitempty"`
	Reason    string    `json:"reason,omitempty"`

	Hold     string `json:"hold,omitempty"`
	HoldKind string `json:"hold_kind,omitempty"`
	Scope    string `json:"scope,omitempty"` // kind:value[@plant], instead of a lot

	Barrier    int64       `json:"barrier,omitempty"`
	Agents     []string    `json:"agents,omitempty"` // as plant/agent
	Heads      []Stated    `json:"heads,omitempty"`
	Signatures []Signature `json:"signatures,omitempty"`

	Prev    event.Epoch      `json:"prev,omitempty"`
	Closing map[string]int64 `json:"closing,omitempty"` // last seq by lane
	Covered map[string]Seqs  `json:"covered,omitempty"` // by lane

	Version int64  `json:"version,omitempty"`
	Chain   string `json:"chain,omitempty"` // hash of the entry in its chain
	Before  string `json:"before,omitempty"`

	Size  int64 `json:"size,omitempty"`  // bytes
	Quota int64 `json:"quota,omitempty"` // bytes; 0 = none
}

// Origin is a record's place in an agent's queue.
type Origin struct {
	Epoch event.Epoch `json:"epoch"`
	Lane  event.Lane  `json:"lane,omitempty"`
	Seq   int64       `json:"seq,omitempty"`
}

// Place is where a record stands: in a topic, or in the ledger's chain.
type Place struct {
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition,omitempty"`
	Offset    int64  `json:"offset"`
}

// Stated is what a head says of one epoch.
type Stated struct {
	Epoch     event.Epoch `json:"epoch"`
	Quality   int64       `json:"quality,omitempty"`
	Telemetry int64       `json:"telemetry,omitempty"`
}

// Signature is one person's.
type Signature struct {
	By   string     `json:"by"`
	Hash event.Hash `json:"hash"` // of the record that was signed
}

// AgentID returns plant and agent of a fact.
func (f *Fact) AgentID() string { return f.Plant + "/" + f.Agent }

// History is a list of facts in the order in which they were written.
type History []Fact

// Of returns the facts of some kinds, in order.
func (h History) Of(kinds ...Kind) []*Fact {
	var all []*Fact
	for i := range h {
		for _, k := range kinds {
			if h[i].Kind == k {
				all = append(all, &h[i])
			}
		}
	}
	return all
}

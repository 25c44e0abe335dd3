// Package source is the contract between what a plant speaks and the agent: a [Source] reads, hands over what it read
// as a [Batch], and acknowledges only after [Emit] has returned nil, which means that the batch is on disk.
//
// Everything read ends as an event, a quarantine record, a gap, or a discard that a person configured by name and that
// is counted. No other outcome exists.
package source

import (
	"context"
	"time"
)

// A Source reads one configured source until its context ends.
type Source interface {
	// ID returns the configured id, unique in the agent.
	ID() string
	// Begin records that the source was not observed while the agent did not run; nothing is read yet. It returns when that
	// is on disk, an error if ctx has ended before. It is called once, before Run.
	Begin(ctx context.Context, emit Emit) error
	// Run connects, reads and emits until ctx ends, rebuilding the connection as needed; a fault of the other side never
	// ends it. It stops reading when ctx ends, finishes the batch in hand, and returns nil, or an error that a restart of
	// the agent would meet again.
	Run(ctx context.Context, emit Emit) error
	// Status returns a snapshot; it may be called at any time from any goroutine.
	Status() Status
}

// Emit makes a batch durable. It blocks while the queue is full. A nil error means that the batch is on disk: only then
// may the source acknowledge. After an error nothing of the batch may be acknowledged; the source reads it again. Emit
// may be called from several goroutines, and keeps no reference to the batch after it has returned.
type Emit func(context.Context, Batch) error

// Batch is what commits as one.
type Batch struct {
	Source  string // id of the source
	Signals []Signal
	Gaps    []Gap
	Closed  []Closing // gaps recorded before, that data now explains
	Cursor  []byte    // the source's position after this batch; nil = unchanged
}

// Kind says what a signal is.
type Kind string

// Kinds.
const (
	KindMessage Kind = "message" // a whole message
	KindValue   Kind = "value"   // one variable as it was at its source time
	KindRecord  Kind = "record"  // values that belong together, such as all of one part
	KindEvent   Kind = "event"   // something that happened at an instant
	KindAlarm   Kind = "alarm"   // the state of a condition, which stands until its next one
)

// Quality is the severity of a signal's status.
type Quality string

// Qualities. Uncertain is the default where a source states none.
const (
	Good      Quality = "good"
	Uncertain Quality = "uncertain"
	Bad       Quality = "bad"
	Stale     Quality = "stale"
)

// Signal is one thing read.
type Signal struct {
	Source    string // configured id
	System    string // system of record that the source speaks for; enters the event id
	Equipment string // configured equipment, or ""
	Transport string // mqtt, opcua, file
	Ref       string // topic, node or file
	Item      string // metric, row or line; "" = whole
	Kind      Kind
	Raw       []byte // bytes as received, or their head if Cut is not nil
	Cut       *Cut
	Quality   Quality
	Status    uint32    // the source's own code, unchanged
	Time      time.Time // the source's own time; zero = missing
	Server    time.Time // by the clock of the server that passed it on; zero = missing
	Arrived   time.Time // by the agent's clock
	Seq       *uint64   // the source's own sequence number; nil = it has none
	Clock     ClockState
	Flags     []string // Flag...
}

// Flags of a signal.
const (
	FlagRetained     = "retained"     // a retained message: its fact may be old
	FlagRedelivered  = "redelivered"  // the broker says that it was sent before, which proves nothing
	FlagCut          = "cut"          // only the head of the payload was kept
	FlagAtMostOnce   = "at_most_once" // outside the promise: no broker holds it for us
	FlagUnsubscribed = "unsubscribed" // of a topic that the source did not subscribe to
	FlagBackfilled   = "backfilled"   // read from the source's history, after a time in which it was not observed
	FlagOverflow     = "overflow"     // the source dropped values before this one
	FlagTorn         = "torn"         // its parts could not be read at one instant
	FlagTimeSuspect  = "time_suspect" // the source's own time cannot be right
)

// Cut describes a payload above the source's limit, of which only the head was kept.
type Cut struct {
	Length int64  // of the whole payload, in bytes
	SHA256 string // of the whole payload, lower-case hex
}

// ClockState says how far the agent's own clock could be trusted when a signal arrived.
type ClockState struct {
	Synchronised bool
}

// Gap is a time in which a source was not observed. One that goes on is closed in the end: because nothing is missing, or
// by a batch that records another one, whose end is known.
type Gap struct {
	Equipment string
	Item      string    // node, topic or file; "" = all of the source. With From it identifies the gap
	From, To  time.Time // To zero = it goes on, and touches all that comes until it is closed
	Found     time.Time // of a gap that goes on: when it was found, which identifies it, too
	Reason    string    // Gap...
	FromSeq   int64     // first missing number of the source's own sequence; 0 = unknown
	ToSeq     int64     // last missing; 0 = unknown
	Missing   int64     // 0 = unknown
	Items     []string  // what of the source is concerned, the first hundred; nil = all of Item
}

// Closing says that data explains a gap: one with the Item and From of its Gap, recorded before or in the same batch.
type Closing struct {
	Gap    Gap
	Reason string // what explains it: history, or continuity of sequence and times
	Filled int64  // values read afterwards
}

// Reasons of gaps.
const (
	GapDisconnect      = "disconnect"      // the connection was lost
	GapWatchdog        = "watchdog"        // the connection stood, and nothing came
	GapServerRestart   = "server_restart"  // the server was started anew meanwhile
	GapConnectorCrash  = "connector_crash" // the process that reads the source ended
	GapAgentRestart    = "agent_restart"   // the agent was not running
	GapQueueOverflow   = "queue_overflow"  // the server's queue dropped values
	GapEventOverflow   = "event_overflow"  // the server's queue dropped events
	GapBackpressure    = "backpressure"    // the server's queue dropped values, since our queue was full
	GapSequenceJump    = "sequence_jump"   // the source's sequence left numbers out
	GapSequenceReset   = "sequence_reset"  // the source's sequence began anew
	GapTorn            = "torn"            // the parts of a record did not belong together
	GapStatusChange    = "status_change"   // the server ended the subscription
	GapItemMissing     = "item_missing"    // a node is not there or not readable
	GapTrustRefused    = "trust_refused"   // the other side's certificate was not trusted
	GapSessionLost     = "session_lost"    // the broker no longer knew our session
	GapSequenceMissing = "seq_gap"         // a message of the transport's own sequence did not come
	GapClockStep       = "clock_step"      // this host's clock was set
	GapFileRotated     = "file_rotated"    // a file was replaced before it was read to its end
)

// State is what a source is doing. A library's "connected" counts for nothing: Live needs an accepted subscription.
type State string

// States.
const (
	Refused     State = "refused"     // by configuration, trust or rights; a person must act
	Connecting  State = "connecting"  // first try, or after a loss
	Resolving   State = "resolving"   // connected; looks up what is to be read
	Backfilling State = "backfilling" // reads the history of the time in which it was not there
	Live        State = "live"        // reading
	Silent      State = "stale"       // connected, and nothing comes
	Full        State = "full"        // the queue is full: not acknowledged
	BackingOff  State = "backing_off" // waits before the next try
)

// Status is a snapshot of a source for status page and metrics.
type Status struct {
	ID        string
	Transport string
	State     State
	Since     time.Time // of State
	Problem   string    // why, in plain words with the E-code; "" = none
	Next      string    // what a person does about it; "" = nothing
	Address   string    // of the other side, without credentials

	LastSignal  time.Time // arrival; zero = never
	Received    uint64    // messages or values read
	Discarded   uint64    // by a configured discard
	Duplicates  uint64    // repeats that the source itself recognised
	AtMostOnce  []string  // topics outside the promise (QoS 0), the first ten
	Reconnects  uint64
	Quarantined uint64 // set by the agent

	Items    int      // configured single items; 0 = the source has none
	Troubled []string // items that are not read, each with the reason; the first ten
	OpenGaps int      // recorded and not explained yet

	// Signals counts the single items by the quality of their newest value; nil = the source does not tell.
	Signals map[Quality]int
	Facts   []string // what was agreed with the other side, in words; nil = nothing to say
}

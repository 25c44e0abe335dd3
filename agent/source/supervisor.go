package source

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// Supervisor runs one life of a source's connection after the other, and has what all kinds of sources share: state and
// counters, back-off, the storing of batches, and the rule by which a gap says that the source is not observed (see
// [Supervisor.Begin]). What a life does, its kind of source says by [Rules].
//
// Status, Set, Update and WasFull may be called from any goroutine, all else from that of Run only.
type Supervisor struct {
	deps   Deps
	rules  Rules
	Pace   Pace            // set before Run
	quiet  telemetry.Quiet // about the connection
	unkept telemetry.Quiet // about batches that the queue does not take

	fails   int         // lives that ended in a row
	crashes []time.Time // of the newest lives that panicked
	logged  problem.Code
	lapse   lapse

	mu        sync.Mutex // guards what follows; held over no I/O
	status    Status
	before    State     // while full: the state before
	fullUntil time.Time // when the queue last began to take batches again
	standing  trouble   // what is wrong while the source is live, if anything
}

// trouble is why a source is as it is, and what a person does about it.
type trouble struct{ problem, next string }

// Pace is how long things take that all sources do. Tests shorten it.
type Pace struct {
	First, Longest time.Duration // back-off after a loss, doubling
	Crashed        time.Duration // between lives of a source that panics again and again
	Full           time.Duration // an emit that takes longer means that the queue is full
	Finish         time.Duration // for the batch in hand when the source is to end
}

// DefaultPace: half a second lets a connection that was reset stand again before anyone misses it, and 5 s is the longest
// that a source stays away from one that is back. A batch takes milliseconds to store: after 2 s the queue is full.
func DefaultPace() Pace {
	return Pace{First: 500 * time.Millisecond, Longest: 5 * time.Second, Crashed: time.Minute, Full: 2 * time.Second, Finish: 5 * time.Second}
}

// Many panics within a while are no accident: a person is told, and the source is tried seldom.
const (
	manyCrashes = 5
	crashWhile  = 10 * time.Minute
)

// Rules are what a kind of source adds to its supervision.
type Rules struct {
	Transport string
	Address   string // of the other side, without credentials
	Waits     string // what waits where while the queue is full, as a sentence

	// Grace is how long a connection that was lost may take to come back before a gap says so; 0 = not at all.
	Grace time.Duration
	// From returns since when the source is not observed; false = it never was, so that nothing is missing. It is called
	// right before a gap is recorded, and may change the cursor.
	From func(reason string) (from time.Time, known bool)
	// Cursor returns the source's position after a batch that has none of its own.
	Cursor func(*Batch) []byte
	// Stored is called when a batch is on disk.
	Stored func(*Batch)
	// Restore takes the source back to its newest position on disk, after a panic.
	Restore func()
}

// Ending is how a life ended.
type Ending struct {
	Err     error         // why; nil = its context ended
	Reason  string        // Gap..., of the gap that it leaves; "" = GapDisconnect
	Steady  bool          // it stood long enough for the back-off to begin anew
	Refused bool          // a person must act before there can be another one
	Wait    time.Duration // before the next one; 0 = the back-off
}

// ErrPanicked is in the error of a life that panicked.
var ErrPanicked = errors.New("panicked")

// NewSupervisor returns the supervisor of a source whose deps are filled.
func NewSupervisor(deps Deps, rules Rules) *Supervisor {
	v := &Supervisor{deps: deps, rules: rules, Pace: DefaultPace(), quiet: telemetry.Quiet{Log: deps.Log}, unkept: telemetry.Quiet{Log: deps.Log}}
	v.status = Status{ID: deps.ID, Transport: rules.Transport, State: Connecting, Since: deps.Now(), Address: rules.Address}
	if deps.Open != nil {
		v.status.OpenGaps = 1
		v.lapse.open, v.lapse.stored = deps.Open, deps.Open
	}
	return v
}

// Run runs lives until ctx ends. A life that panics ends, and no other source notices.
func (v *Supervisor) Run(ctx context.Context, emit Emit, live func(context.Context) Ending) {
	defer v.lapse.stop()
	for ctx.Err() == nil {
		var e Ending
		if err := v.Guard(func() error { e = live(ctx); return nil }); err != nil {
			e = Ending{Err: err, Reason: GapConnectorCrash}
		}
		if ctx.Err() != nil || e.Err == nil {
			continue
		}
		wait := v.judge(&e)
		if v.lost(ctx, emit, e.Reason) == nil {
			v.pause(ctx, emit, wait)
		}
	}
}

// Guard catches what a fault of a library or our own does to a goroutine of ours; those of a library end the process.
// What was read and not stored is read again: the source goes back to where its cursor on disk is.
func (v *Supervisor) Guard(do func() error) (err error) {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		err = problem.New(problem.Internal, "reading %s %w: %v", v.rules.Address, ErrPanicked, fault)
		v.deps.Log.Error().Str("stack", string(debug.Stack())).AnErr(telemetry.KeyError, err).Msg("source panicked")
		v.lapse.open = v.lapse.stored
		if v.rules.Restore != nil {
			v.rules.Restore()
		}
	}()
	return do()
}

// judge takes in how a life ended and returns how long to wait before the next.
func (v *Supervisor) judge(e *Ending) time.Duration {
	if e.Steady {
		v.fails = 0
	}
	v.fails++
	state, wait := BackingOff, v.backoff()
	if e.Refused {
		state = Refused
	}
	if e.Wait > 0 {
		wait = e.Wait
	}
	if errors.Is(e.Err, ErrPanicked) && v.crashed() {
		wait = v.Pace.Crashed
	}
	v.Set(state, e.Err)
	v.Report(e.Err, "source connection lost")
	return wait
}

// crashed notes a panic, and tells whether there were many lately.
func (v *Supervisor) crashed() bool {
	now := v.deps.Now()
	v.crashes = slices.DeleteFunc(append(v.crashes, now), func(at time.Time) bool { return now.Sub(at) > crashWhile })
	return len(v.crashes) >= manyCrashes
}

// backoff doubles from the first wait to the longest, less up to half at random, so that the sources of a plant do not
// come back as one.
func (v *Supervisor) backoff() time.Duration {
	d := min(v.Pace.First<<min(v.fails-1, 16), v.Pace.Longest)
	return d - time.Duration(v.deps.Rand()*float64(d)/2)
}

// pause waits unless ctx ends. A gap that becomes due meanwhile is recorded.
func (v *Supervisor) pause(ctx context.Context, emit Emit, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return
		case <-ctx.Done():
			return
		case <-v.Due():
			if v.Record(ctx, emit) != nil {
				return // ctx has ended
			}
		}
	}
}

// Reach does what may take long and touches nothing of the source but what it hands over: making a connection. A gap
// that becomes due meanwhile is recorded. It returns when do has returned, an error if ctx has ended.
func (v *Supervisor) Reach(ctx context.Context, emit Emit, do func()) error {
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		do()
	}()
	for {
		select {
		case <-done:
			return err
		case <-v.Due():
			err = v.Record(ctx, emit)
		}
	}
}

// Emit stores a batch with the source's position. It tries the same batch again until it is stored or ctx ends; then the
// attempt under way has some time more. An error means that ctx has ended; nothing of the batch may be acknowledged.
func (v *Supervisor) Emit(ctx context.Context, emit Emit, b Batch) error {
	b.Source = v.deps.ID
	if b.Cursor == nil {
		b.Cursor = v.rules.Cursor(&b)
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the batch in hand is finished when ctx ends
	defer cancel()
	defer context.AfterFunc(ctx, func() { wait(work, v.Pace.Finish); cancel() })()
	full := time.AfterFunc(v.Pace.Full, v.isFull)
	defer full.Stop()
	for again := v.Pace.First / 5; ; again = min(2*again, v.Pace.Longest) {
		err := emit(work, b)
		if err == nil {
			v.stored(&b)
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("store what was read: %w", err)
		}
		v.unkept.Failed(err, "what was read is not stored")
		wait(work, again)
	}
}

// stored takes note of a batch that is on disk.
func (v *Supervisor) stored(b *Batch) {
	v.notFull()
	v.unkept.Recovered("what is read is stored again")
	v.lapse.stored = v.lapse.open
	if n := len(b.Gaps) - len(b.Closed); n != 0 {
		v.Update(func(st *Status) { st.OpenGaps = max(0, st.OpenGaps+n) })
	}
	if v.rules.Stored != nil {
		v.rules.Stored(b)
	}
}

// wait waits unless ctx ends.
func wait(ctx context.Context, d time.Duration) {
	if ctx.Err() != nil || d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Report logs a failure quietly, but another kind of failure than the last at once.
func (v *Supervisor) Report(err error, message string) {
	code := problem.CodeOf(err)
	if !v.quiet.Failed(err, message) && code != v.logged {
		v.deps.Log.Warn().AnErr(telemetry.KeyError, err).Str(telemetry.KeyErrorCode, string(code)).Msg(message)
	}
	v.logged = code
}

// Live says that the source reads. Standing is what is wrong all the same; nil = nothing.
func (v *Supervisor) Live(standing error) {
	v.quiet.Recovered("source is live")
	v.Set(Live, standing)
}

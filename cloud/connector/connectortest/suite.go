// Package connectortest is the suite that every connector passes: cases K1 to K20, each against a fresh target.
//
// Effects are counted at the target, never in what the connector says. A case that the connector's kinds or abilities
// rule out is skipped with the reason, never passed in silence.
package connectortest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Fault is a way in which a target fails.
type Fault string

// Faults. All but [Expired] act on writes; those marked act on reads, too.
const (
	LostAfter  Fault = "lost_after"  // the effect takes place, the connection is cut
	LostBefore Fault = "lost_before" // the connection is cut, nothing takes place
	Nothing    Fault = "nothing"     // 2xx, nothing takes place
	LoginPage  Fault = "login_page"  // 200 with a page in HTML, nothing takes place; also on reads
	ErrorBody  Fault = "error_body"  // 200 with an error in the body, nothing takes place; also on reads
	Garbage    Fault = "garbage"     // 200 with a body that is cut off, nothing takes place; also on reads
	Echo       Fault = "echo"        // 400 with the request's header, credentials included, in its error; also on reads
	Throttle   Fault = "throttle"    // 429 with the Retry-After of the argument; also on reads
	Expired    Fault = "expired"     // sessions and tokens end
)

// Rig is a target with one client of it. A nil field rules out the cases that need it.
type Rig struct {
	System connector.System
	// Client returns one more client of the same target, with a session of its own.
	Client func(t *testing.T) connector.System
	// Stranger returns a client whose secret is wrong; Refusals counts the log-ins that the target refused.
	Stranger func(t *testing.T) connector.System
	Refusals func() int

	// Effect returns the n-th effect of a kind, counted from 1, each on an object of its own that is made ready at the
	// target. An effect that holds wants what needs the most steps.
	Effect func(t *testing.T, kind quality.Kind, n int) quality.Effect
	// Count returns how often the effect took place at the target.
	Count func(e quality.Effect) int
	// Touch changes the effect's object as someone else would.
	Touch func(t *testing.T, e quality.Effect)

	// Break puts a fault in force for the next n calls it acts on; 0 = until Heal.
	Break func(f Fault, n int, argument string)
	Heal  func()
	// Refreshes counts the sessions or tokens handed out; nil = the target has none.
	Refreshes func() int
	// Unknown returns an object whose state has a code that no connector knows.
	Unknown func(t *testing.T) connector.Object
	// UnknownWord is that code: a view shows it unchanged, for people. Empty = not compared.
	UnknownWord string
	// Forgetful returns a rig whose target has no field for the reference (missing), or takes and loses it (dropped).
	Forgetful func(t *testing.T, how string) *Rig
	// Exact returns effects with texts and numbers that careless code changes, and tells whether a view shows them
	// unchanged.
	Exact func(t *testing.T) []Exact
	// Freeze holds the target's clock, so that all that changes from then on carries one stamp; nil = it can't be held.
	Freeze func()
	// Snapshot and Restore play a restored backup.
	Snapshot, Restore func()

	Secrets []string
	Logs    func() string // all that the clients have logged so far
}

// Clock is a target's clock that can be held.
type Clock struct{ at atomic.Pointer[time.Time] }

// Now returns the time.
func (c *Clock) Now() time.Time {
	if at := c.at.Load(); at != nil {
		return *at
	}
	return time.Now()
}

// Freeze holds the clock.
func (c *Clock) Freeze() {
	now := time.Now()
	c.at.Store(&now)
}

// Exact is an effect, or without a kind only an object to read, and what a view of it must show.
type Exact struct {
	Name   string
	Effect quality.Effect
	Object connector.Object
	Same   func(v connector.View) error
}

// Settler takes an effect through the write protocol: find, read, decide again, write, read back. A real dispatcher
// may stand in for [Bare].
type Settler interface {
	// Settle returns applied, already_applied, rejected, conflict (five in a row), or retry_later. Decide is asked for
	// the effect again right before each write.
	Settle(ctx context.Context, s connector.System, e quality.Effect, decide func(quality.Effect) quality.Effect) event.Outcome
}

// Run runs the suite. Each case gets a rig of its own, and where it runs for each kind, each of them.
func Run(t *testing.T, fresh func(t *testing.T) *Rig, settler Settler) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			if c.each == nil {
				c.once(t, &run{Rig: fresh(t), settler: settler})
				return
			}
			for _, kind := range fresh(t).System.Kinds() {
				t.Run(string(kind), func(t *testing.T) { c.each(t, &run{Rig: fresh(t), settler: settler}, kind) })
			}
		})
	}
}

type run struct {
	*Rig
	settler Settler
}

// testCase runs once, or for each kind.
type testCase struct {
	name string
	once func(t *testing.T, r *run)
	each func(t *testing.T, r *run, kind quality.Kind)
}

func cases() []testCase {
	return []testCase{
		{name: "K01_OneCommandOftenIsOneEffect", each: k01},
		{name: "K02_TimeoutAfterCommit", each: k02},
		{name: "K03_TimeoutBeforeCommit", each: k03},
		{name: "K04_StaleVersionIsAConflict", each: k04},
		{name: "K05_AcknowledgedAndNotDone", each: k05},
		{name: "K06_NoAnswerIsNoAcknowledgement", each: k06},
		{name: "K07_RetryAfter", each: k07},
		{name: "K08_OneRefreshForAll", once: k08},
		{name: "K09_WrongSecretLocksNobodyOut", once: k09},
		{name: "K10_UnknownCodeIsKept", once: k10},
		{name: "K11_CrashBetweenWriteAndVerify", each: k11},
		{name: "K12_HoldAgainstRelease", each: k12},
		{name: "K13_TwoDispatchers", each: k13},
		{name: "K14_ReferenceField", once: k14},
		{name: "K15_HalfDone", once: k15},
		{name: "K16_ReversalTwice", once: k16},
		{name: "K17_ChangesMissNothing", once: k17},
		{name: "K17_ChangesOfOneMomentMissNothing", once: k17OneMoment},
		{name: "K18_TextAndNumbersUnchanged", once: k18},
		{name: "K19_NoSecretLeaves", each: k19},
		{name: "K20_RestoredTarget", each: k20},
	}
}

// notApplicable ends a case that the connector rules out.
func notApplicable(t *testing.T, reason string) {
	t.Helper()
	t.Skip("not applicable: " + reason)
}

func (r *run) has(kind quality.Kind) bool { return slices.Contains(r.System.Kinds(), kind) }

// settle takes an effect through the protocol as it stands.
func (r *run) settle(t *testing.T, s connector.System, e quality.Effect) event.Outcome {
	t.Helper()
	return r.settler.Settle(t.Context(), s, e, func(e quality.Effect) quality.Effect { return e })
}

// ready returns the object that an effect acts on and its version, as far as it has one before the first write.
func (r *run) ready(t *testing.T, e quality.Effect) (connector.View, connector.Version) {
	t.Helper()
	o, err := target(t.Context(), r.System, e)
	if err != nil {
		t.Fatalf("find what the effect acts on: %v", err)
	}
	if o == nil {
		return connector.View{}, nil
	}
	v, version, err := r.System.Read(t.Context(), *o)
	if err != nil {
		t.Fatalf("read %+v: %v", *o, err)
	}
	return v, version
}

// applied fails unless the target shows what the effect wants, after exactly one effect.
func (r *run) applied(t *testing.T, e quality.Effect) {
	t.Helper()
	if v, _ := r.ready(t, e); !v.Shows(&e) {
		t.Errorf("the target shows %+v, not what was wanted", v)
	}
	if n := r.Count(e); n != 1 {
		t.Errorf("the effect took place %d times at the target, want once", n)
	}
}

// within fails if f takes longer than a caller may be kept.
func within(t *testing.T, limit time.Duration, f func()) {
	t.Helper()
	begin := time.Now()
	f()
	if took := time.Since(begin); took > limit {
		t.Errorf("took %s, want at most %s: long waits are no business of the caller's goroutine", took, limit)
	}
}

func seen(r connector.Result) string {
	return fmt.Sprintf("outcome %q, code %q, message %q, retry after %s", r.Outcome, r.Code, r.Message, r.RetryAfter)
}

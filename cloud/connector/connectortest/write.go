package connectortest

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// k01 sends one command twenty times.
func k01(t *testing.T, r *run, kind quality.Kind) {
	e := r.Effect(t, kind, 1)
	for i := range 20 {
		want := event.AlreadyApplied
		if i == 0 {
			want = event.Applied
		}
		if got := r.settle(t, r.System, e); got != want {
			t.Fatalf("time %d: %s, want %s", i+1, got, want)
		}
	}
	r.applied(t, e)
}

// k02 loses the answer after the effect: what is not known is looked up.
func k02(t *testing.T, r *run, kind quality.Kind) {
	e := r.Effect(t, kind, 1)
	_, version := r.ready(t, e)
	r.Break(LostAfter, 1, "")
	if got := r.System.Write(t.Context(), e, version); got.Outcome != event.Unknown {
		t.Fatalf("write whose answer was lost: %s; want unknown", seen(got))
	}
	if _, byReference := connector.ObjectOf(kind); byReference && kind.Document() {
		if refs, err := r.System.Find(t.Context(), e); err != nil || len(refs) != 1 {
			t.Errorf("found %v, %v; want the one record", refs, err)
		}
	}
	if got := r.settle(t, r.System, e); got != event.AlreadyApplied && got != event.Applied {
		t.Errorf("settled afterwards as %s", got)
	}
	r.applied(t, e)
}

// k03 cuts the connection before the effect: absent afterwards, written once.
func k03(t *testing.T, r *run, kind quality.Kind) {
	e := r.Effect(t, kind, 1)
	_, version := r.ready(t, e)
	r.Break(LostBefore, 1, "")
	if got := r.System.Write(t.Context(), e, version); got.Outcome != event.Unknown {
		t.Fatalf("write whose connection was cut: %s; want unknown", seen(got))
	}
	if n := r.Count(e); n != 0 {
		t.Fatalf("the effect took place %d times, want none yet", n)
	}
	if got := r.settle(t, r.System, e); got != event.Applied {
		t.Errorf("settled afterwards as %s, want applied", got)
	}
	r.applied(t, e)
}

// k04 writes on a version that someone else has replaced.
func k04(t *testing.T, r *run, kind quality.Kind) {
	if kind.Document() {
		notApplicable(t, "a document is made, not changed: it has no version")
	}
	if r.System.Caps().Lock == connector.LockNone {
		notApplicable(t, "the system has no lock")
	}
	e := r.Effect(t, kind, 1)
	_, version := r.ready(t, e)
	r.Touch(t, e)
	before := r.Count(e)
	if got := r.System.Write(t.Context(), e, version); got.Outcome != event.Conflict {
		t.Errorf("write on a stale version: %s; want conflict", seen(got))
	}
	if n := r.Count(e); n != before {
		t.Errorf("the effect took place %d times all the same", n-before)
	}
}

// k05 gets 2xx for what was not done.
func k05(t *testing.T, r *run, kind quality.Kind) {
	e := r.Effect(t, kind, 1)
	r.Break(Nothing, 0, "")
	if got := r.settle(t, r.System, e); got != event.Rejected {
		t.Errorf("acknowledged and not done: settled as %s, want rejected", got)
	}
	if n := r.Count(e); n != 0 {
		t.Errorf("the effect took place %d times", n)
	}
}

// k06 gets an answer that is none.
func k06(t *testing.T, r *run, kind quality.Kind) {
	for i, f := range []Fault{LoginPage, ErrorBody, Garbage} {
		e := r.Effect(t, kind, i+1)
		_, version := r.ready(t, e)
		r.Break(f, 0, "")
		if got := r.System.Write(t.Context(), e, version); got.Outcome == "" {
			t.Errorf("%s counts as acknowledged: %s", f, seen(got))
		}
		if _, _, err := look(t.Context(), r.System, e); err == nil {
			t.Errorf("%s counts as an answer to a read", f)
		} else if got := outcomeOf(err); got != event.RetryLater {
			t.Errorf("read that gets %s: %v; want retry_later", f, err)
		}
		if r.System.Caps().Feed {
			if views, _, err := r.System.Changes(t.Context(), "", 10); err == nil || outcomeOf(err) != event.RetryLater {
				t.Errorf("feed that gets %s: %d changes, %v; want retry_later", f, len(views), err)
			}
		}
		if findings, err := r.System.Check(t.Context()); err == nil && !slices.ContainsFunc(findings, func(x connector.Finding) bool { return x.Fatal }) {
			t.Errorf("preflight that gets %s finds nothing: %+v", f, findings)
		}
		r.Heal()
		if n := r.Count(e); n != 0 {
			t.Errorf("%s: the effect took place %d times", f, n)
		}
	}
}

// k07 is asked to come back later, in all the ways that are used.
func k07(t *testing.T, r *run, kind quality.Kind) {
	e := r.Effect(t, kind, 1)
	_, version := r.ready(t, e)
	for _, c := range []struct {
		after    string
		from, to time.Duration
	}{
		{"5", 5 * time.Second, 5 * time.Second},
		{time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), 50 * time.Second, 61 * time.Second},
		{time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat), 0, 0},
		{"86400", connector.MaxRetryAfter, connector.MaxRetryAfter},
		{"99999999999999999999", 0, connector.MaxRetryAfter},
		{"abc", 0, 0},
		{"-1", 0, 0},
	} {
		r.Break(Throttle, 0, c.after)
		within(t, 2*time.Second, func() {
			got := r.System.Write(t.Context(), e, version)
			if got.Outcome != event.RetryLater || got.RetryAfter < c.from || got.RetryAfter > c.to {
				t.Errorf("Retry-After %q: %s; want retry_later after %s to %s", c.after, seen(got), c.from, c.to)
			}
		})
		k07Shown(t, r, e, version, c.after, c.from > 0)
		r.Heal()
	}
	if n := r.Count(e); n != 0 {
		t.Errorf("the effect took place %d times", n)
	}
}

// k07Shown asks a throttled system behind its guard: people see that it asked to be left alone and until when, no longer than
// is followed, and the next call comes back at once without another one to the target, which would answer it by now.
func k07Shown(t *testing.T, r *run, e quality.Effect, version connector.Version, after string, told bool) {
	t.Helper()
	g := connector.NewGuard(r.System, connector.GuardConfig{})
	if got := g.Write(t.Context(), e, version); got.Outcome != event.RetryLater {
		t.Errorf("Retry-After %q behind the guard: %s", after, seen(got))
	}
	h, most := g.Health(), time.Now().Add(connector.MaxRetryAfter)
	if !told {
		if after == "abc" && h.Link != connector.LinkUp {
			t.Errorf("Retry-After %q: the link is shown as %+v; one answer that says no time proves nothing", after, h)
		}
		return
	}
	if h.Link != connector.LinkThrottled || h.Until.Before(time.Now()) || h.Until.After(most) {
		t.Errorf("Retry-After %q: the link is shown as %+v; want throttled, until %s at the latest", after, h, most)
	}
	r.Heal()
	within(t, time.Second, func() {
		if got := g.Write(t.Context(), e, version); got.Outcome != event.RetryLater || got.RetryAfter <= 0 || got.RetryAfter > connector.MaxRetryAfter {
			t.Errorf("Retry-After %q: the next call behind the guard got %s", after, seen(got))
		}
	})
}

// k11 dies between write and verify; another process takes over.
func k11(t *testing.T, r *run, kind quality.Kind) {
	e := r.Effect(t, kind, 1)
	if kind == quality.LotUsageSet {
		e.Usage = event.Restricted // one step: the write is whole
	}
	_, version := r.ready(t, e)
	if got := r.System.Write(t.Context(), e, version); got.Outcome != "" {
		t.Fatalf("write: %s", seen(got))
	}
	if got := r.settle(t, r.Client(t), e); got != event.AlreadyApplied {
		t.Errorf("settled by the next process as %s, want already_applied", got)
	}
	r.applied(t, e)
}

// k12 lets a hold and a release meet: before the first write, between two steps, after the last.
func k12(t *testing.T, r *run, kind quality.Kind) {
	loosen := looser(kind)
	if loosen == nil {
		notApplicable(t, "effects of this kind release nothing")
	}
	e := r.Effect(t, kind, 1)
	release := loosen(e)
	for asks := 1; asks <= mostAsks; asks++ {
		if got := r.settle(t, r.System, e); got != event.Applied && got != event.AlreadyApplied {
			t.Fatalf("hold: %s", got)
		}
		asked := 0
		got := r.settler.Settle(t.Context(), r.System, release, func(quality.Effect) quality.Effect {
			if asked++; asked > asks {
				return e // a new hold has come since the last look
			}
			return release
		})
		v, _ := r.ready(t, e)
		if asked <= asks { // the release was whole before the hold came
			if asks == 1 || got != event.Applied || !v.Shows(&release) {
				t.Fatalf("release: settled as %s, the target shows %+v", got, v)
			}
			break
		}
		if !v.Shows(&e) || got != event.Applied && got != event.AlreadyApplied {
			t.Errorf("a hold that came after %d looks: settled as %s, the target shows %+v", asks, got, v)
		}
	}
	if got := r.settle(t, r.System, e); got != event.Applied {
		t.Errorf("a hold after the release: %s", got)
	}
	if v, _ := r.ready(t, e); !v.Shows(&e) {
		t.Errorf("a hold after the release: the target shows %+v", v)
	}
}

// mostAsks is more often than any release looks.
const mostAsks = 10

// looser returns what makes a release of a hold of the kind; nil = the kind holds nothing.
func looser(kind quality.Kind) func(quality.Effect) quality.Effect {
	switch kind {
	case quality.LotUsageSet:
		return func(e quality.Effect) quality.Effect { e.Usage = event.Unrestricted; return e }
	case quality.TasksGate:
		return func(e quality.Effect) quality.Effect { e.Gate = quality.GateOpen; return e }
	}
	return nil
}

// k13 lets two processes settle one effect.
func k13(t *testing.T, r *run, kind quality.Kind) {
	e := r.Effect(t, kind, 1)
	clients := []connector.System{r.System, r.Client(t)}
	var done sync.WaitGroup
	for _, s := range clients {
		done.Go(func() { _ = r.settle(t, s, e) })
	}
	done.Wait()
	r.applied(t, e)
}

// k14 meets a target that has no field for the reference, or drops it.
func k14(t *testing.T, r *run) {
	if r.Forgetful == nil {
		notApplicable(t, "the target cannot be made to lose references")
	}
	missing := r.Forgetful(t, "missing")
	findings, err := missing.System.Check(t.Context())
	fatal := false
	for _, f := range findings {
		fatal = fatal || f.Fatal
	}
	if err != nil || !fatal {
		t.Errorf("Check of a target without the field: %+v, %v; want a fatal finding", findings, err)
	}
	for _, kind := range r.System.Kinds() {
		if !kind.Document() {
			continue
		}
		dropped := &run{Rig: r.Forgetful(t, "dropped"), settler: r.settler}
		e := dropped.Effect(t, kind, 1)
		if got := dropped.settle(t, dropped.System, e); got != event.Rejected {
			t.Errorf("%s whose reference was dropped: settled as %s, want rejected", kind, got)
		}
		if n := dropped.Count(e); n > 1 {
			t.Errorf("%s whose reference was dropped was made %d times", kind, n)
		}
	}
}

// k15 fails in the middle of an effect of several steps.
func k15(t *testing.T, r *run) {
	if !r.has(quality.LotUsageSet) {
		notApplicable(t, "no effect here has several steps")
	}
	e := r.Effect(t, quality.LotUsageSet, 1)
	_, version := r.ready(t, e)
	if got := r.System.Write(t.Context(), e, version); got.Outcome != "" {
		t.Fatalf("first step: %s", seen(got))
	}
	view, version := r.ready(t, e)
	if view.Is(e.Usage) {
		notApplicable(t, "the effect is whole after its first step")
	}
	r.Break(ErrorBody, 0, "")
	if got := r.System.Write(t.Context(), e, version); got.Outcome == "" {
		t.Errorf("second step that failed: %s", seen(got))
	}
	r.Heal()
	if v, _ := r.ready(t, e); v.Is(e.Usage) || v.Usage == event.Unrestricted {
		t.Errorf("half-way the lot shows %s; want it held, and not yet as wanted", v.UsageRaw)
	}
	if got := r.settle(t, r.System, e); got != event.Applied {
		t.Errorf("taken up again: %s, want applied", got)
	}
	r.applied(t, e)
}

// k16 takes an effect back twice.
func k16(t *testing.T, r *run) {
	if !r.System.Caps().Reversal || !r.has(quality.LotUsageSet) {
		notApplicable(t, "nothing here is reversed: records are moved on, never unmade")
	}
	e := r.Effect(t, quality.LotUsageSet, 1)
	if got := r.settle(t, r.System, e); got != event.Applied {
		t.Fatalf("hold: %s", got)
	}
	back := e
	back.Usage = event.Unrestricted
	for range 2 {
		_ = r.settle(t, r.System, back)
	}
	r.applied(t, back)
}

// k19 makes calls fail in every way and searches all that they left behind.
func k19(t *testing.T, r *run, kind quality.Kind) {
	var left []string
	note := func(got connector.Result) { left = append(left, seen(got), string(got.Evidence), got.Error()) }
	for i, f := range []Fault{LostAfter, LostBefore, Nothing, LoginPage, ErrorBody, Garbage, Throttle, Echo} {
		e := r.Effect(t, kind, i+1)
		_, version := r.ready(t, e)
		r.Break(f, 0, "5")
		note(r.System.Write(t.Context(), e, version))
		if _, _, err := look(t.Context(), r.System, e); err != nil {
			left = append(left, err.Error())
		}
		r.Heal()
	}
	if r.Stranger != nil {
		if _, _, err := look(t.Context(), r.Stranger(t), r.Effect(t, kind, 20)); err != nil {
			left = append(left, err.Error())
		}
	}
	if r.Logs != nil {
		left = append(left, r.Logs())
	}
	for _, secret := range r.Secrets {
		for _, form := range forms(secret) {
			for _, text := range left {
				if strings.Contains(text, form) {
					t.Errorf("a secret stands in %q", text)
				}
			}
		}
	}
}

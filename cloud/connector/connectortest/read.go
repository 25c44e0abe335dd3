package connectortest

import (
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// parallel is how many calls meet an expired session together.
const parallel = 10

// k08 lets sessions expire under parallel writes.
func k08(t *testing.T, r *run) {
	if r.Refreshes == nil {
		notApplicable(t, "the system has no sessions")
	}
	kind := r.System.Kinds()[0]
	effects := make([]quality.Effect, parallel)
	versions := make([]connector.Version, parallel)
	for i := range effects {
		effects[i] = r.Effect(t, kind, i+1)
		_, versions[i] = r.ready(t, effects[i])
	}
	warm := r.Effect(t, kind, parallel+1)
	if got := r.settle(t, r.System, warm); got != event.Applied {
		t.Fatalf("first effect: %s", got)
	}
	before := r.Refreshes()
	r.Break(Expired, 1, "")
	var done sync.WaitGroup
	for i := range effects {
		done.Go(func() {
			if got := r.System.Write(t.Context(), effects[i], versions[i]); got.Outcome != "" {
				t.Errorf("write %d: %s; want acknowledged after the refresh", i, seen(got))
			}
		})
	}
	done.Wait()
	if n := r.Refreshes() - before; n != 1 {
		t.Errorf("%d refreshes for %d calls, want one", n, parallel)
	}
}

// k09 uses a wrong secret, from many callers at once and behind the guard.
func k09(t *testing.T, r *run) {
	if r.Stranger == nil {
		notApplicable(t, "the system needs no log-in")
	}
	g := connector.NewGuard(r.Stranger(t), connector.GuardConfig{})
	e := r.Effect(t, r.System.Kinds()[0], 1)
	before := r.Refusals()
	for range 2 {
		var done sync.WaitGroup
		for range parallel {
			done.Go(func() {
				_, _, err := look(t.Context(), g, e)
				var got connector.Result
				if !errors.As(err, &got) || got.Outcome != event.RetryLater || !got.Refused {
					t.Errorf("look with a wrong secret: %v; want refused", err)
				}
			})
		}
		done.Wait()
	}
	if n := r.Refusals() - before; n > 2 {
		t.Errorf("%d log-ins, want at most 2", n)
	}
	if !g.Open() {
		t.Error("the breaker is not open")
	}
}

// k10 reads a code that nobody knows.
func k10(t *testing.T, r *run) {
	if r.Unknown == nil {
		notApplicable(t, "the target cannot be made to show unknown codes")
	}
	v, _, err := r.System.Read(t.Context(), r.Unknown(t))
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	known := v.Usage != event.OtherUsage || v.UsageRaw == ""
	switch v.Kind {
	case connector.ObjectRecord:
		known = v.Reached != "" || v.State == ""
	case connector.ObjectTasks:
		known = !slices.ContainsFunc(v.Tasks, func(t connector.Task) bool { return t.State == "" && t.Raw != "" })
	}
	if known {
		t.Errorf("an unknown code was guessed or lost: %+v", v)
	}
	shown := []string{v.UsageRaw, v.State}
	for _, task := range v.Tasks {
		shown = append(shown, task.Raw)
	}
	if r.UnknownWord != "" && !slices.Contains(shown, r.UnknownWord) {
		t.Errorf("the view shows %q, not the system's own word %q: nobody could tell what it means", shown, r.UnknownWord)
	}
	// What the code may stand for is nothing that an effect wanted.
	for _, e := range []quality.Effect{
		{Kind: quality.NonconformanceAdvance, Record: &quality.Record{State: quality.NCContained}},
		{Kind: quality.LotUsageSet, Usage: event.Unrestricted}, {Kind: quality.LotUsageSet, Usage: event.Blocked},
		{Kind: quality.TasksGate, Gate: quality.GateHeld},
	} {
		if o, _ := connector.ObjectOf(e.Kind); o == v.Kind && v.Shows(&e) {
			t.Errorf("an unknown code counts as what is wanted by %+v: %+v", e, v)
		}
	}
}

// k17OneMoment is k17 where all that changes carries one stamp.
func k17OneMoment(t *testing.T, r *run) {
	if r.Freeze == nil {
		notApplicable(t, "the target's clock can't be held")
	}
	r.Freeze()
	k17(t, r)
}

// k17 follows the feed of changes while the target changes.
func k17(t *testing.T, r *run) {
	if !r.System.Caps().Feed {
		notApplicable(t, "the system has no feed of changes")
	}
	const objects = 7
	kind := r.System.Kinds()[len(r.System.Kinds())-1]
	for _, changes := range []quality.Kind{quality.NonconformanceAdvance, quality.LotUsageSet} {
		if r.has(changes) {
			kind = changes // what a document makes does not change
		}
	}
	id := func(e quality.Effect) string {
		o, err := target(t.Context(), r.System, e)
		if err != nil || o == nil {
			t.Fatalf("object of the effect: %v, %v", o, err)
		}
		return string(o.Lot) + o.ID
	}
	effects, want := make([]quality.Effect, objects), map[string]int{}
	for i := range effects {
		effects[i] = r.Effect(t, kind, i+1)
		want[id(effects[i])] = 0
	}
	cursor, touched := connector.Cursor(""), map[string]bool{}
	sweep := func(between func(page int)) map[string]time.Time {
		found := map[string]time.Time{}
		for page := range 3 * objects {
			views, next, err := r.System.Changes(t.Context(), cursor, 2)
			if err != nil {
				t.Fatalf("changes: %v", err)
			}
			for _, v := range views {
				found[string(v.Lot)+v.ID] = v.ChangedAt
			}
			cursor = next
			if len(views) < 2 {
				return found
			}
			between(page)
		}
		t.Fatal("the sweep does not end")
		return nil
	}
	first := sweep(func(page int) {
		e := effects[(page*5)%objects] // behind the sweep and before it
		r.Touch(t, e)
		touched[id(e)] = true
	})
	for key := range want {
		if at, ok := first[key]; !ok || at.IsZero() {
			t.Errorf("the first sweep missed %s, or its time", key)
		}
	}
	second := sweep(func(int) {})
	for key := range touched {
		if _, ok := second[key]; !ok {
			t.Errorf("the second sweep missed %s, which changed during the first", key)
		}
	}
}

// k18 sends and reads what careless code changes.
func k18(t *testing.T, r *run) {
	if r.Exact == nil {
		notApplicable(t, "the rig has no such objects")
	}
	for _, x := range r.Exact(t) {
		t.Run(x.Name, func(t *testing.T) {
			o := x.Object
			if x.Effect.Kind != "" {
				if got := r.settle(t, r.System, x.Effect); got != event.Applied {
					t.Fatalf("settled as %s, want applied", got)
				}
				found, err := target(t.Context(), r.System, x.Effect)
				if err != nil || found == nil {
					t.Fatalf("found %v, %v", found, err)
				}
				o = *found
			}
			v, _, err := r.System.Read(t.Context(), o)
			if err != nil {
				t.Fatalf("read: %v", err)
			}
			if err := x.Same(v); err != nil {
				t.Error(err)
			}
		})
	}
}

// k20 restores the target from a backup: what vanished is seen, and seeing it repeats nothing.
func k20(t *testing.T, r *run, kind quality.Kind) {
	if r.Restore == nil {
		notApplicable(t, "the target has no backup")
	}
	e := r.Effect(t, kind, 1)
	r.Snapshot()
	if got := r.settle(t, r.System, e); got != event.Applied {
		t.Fatalf("settled as %s", got)
	}
	r.Restore()
	if v, _ := r.ready(t, e); v.Shows(&e) {
		t.Error("the restored target still shows the effect")
	}
	if _, _, err := r.System.Changes(t.Context(), "", 10); err != nil && r.System.Caps().Feed {
		t.Errorf("changes: %v", err)
	}
	if n := r.Count(e); n != 1 {
		t.Errorf("the effect took place %d times, want once: looking repeats nothing", n)
	}
}

// forms returns a secret in the encodings in which it could leave.
func forms(secret string) []string {
	return []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)),
	}
}

package localapi

import (
	"errors"
	"os/user"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestClient_Reload(t *testing.T) {
	t.Run("OK", func(t *testing.T) {
		want := Reloaded{Format: Format, Applied: true, Before: "a", Config: "b", Changes: []config.Change{{Path: "sources[x].mqtt.broker", Kind: config.Changed, Old: "1", New: "2"}}, Renewed: []string{"x"}}
		var got Reload
		f := &fake{reload: func(order Reload) (Reloaded, error) { got = order; return want, nil }}
		c, _ := serve(t, f)
		r, err := c.Reload(t.Context(), Reload{Reason: "a new press"})
		if diff := cmp.Diff(want, r); diff != "" || err != nil || got.Reason != "a new press" || got.DryRun {
			t.Errorf("order %+v, error %v\n%s", got, err, diff)
		}
		if me, err := user.Current(); err != nil || f.principal != me.Username {
			t.Errorf("principal is %q, %v", f.principal, err)
		}
	})
	t.Run("ErrFindings come with their places", func(t *testing.T) {
		want := config.Errors{
			{Place: config.Place{File: "agent.yaml", Line: 4, Column: 9}, Path: "queue.disk", Problem: problem.New(problem.ConfigFixed, "queue.disk cannot change")},
			{Place: config.Place{File: "HOLDFAST_LISTEN"}, Path: "listen", Problem: problem.New(problem.ConfigValue, "no host:port")},
		}
		c, _ := serve(t, &fake{reload: func(Reload) (Reloaded, error) { return Reloaded{}, want }})
		_, err := c.Reload(t.Context(), Reload{})
		got, ok := errors.AsType[config.Errors](err)
		if !ok || got.Error() != want.Error() || got[0].Path != "queue.disk" || got[1].Problem.Next != want[1].Problem.Next {
			t.Errorf("error is %v: want %v", err, want)
		}
	})
	t.Run("ErrNotNow", func(t *testing.T) {
		c, _ := serve(t, &fake{reload: func(Reload) (Reloaded, error) { return Reloaded{}, problem.New(problem.RuleRefused, "still starting") }})
		if _, err := c.Reload(t.Context(), Reload{}); problem.CodeOf(err) != problem.RuleRefused {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("ErrReason", func(t *testing.T) {
		c, _ := serve(t, &fake{})
		if _, err := c.Reload(t.Context(), Reload{Reason: strings.Repeat("x", maxReason+1)}); problem.CodeOf(err) != problem.Usage {
			t.Errorf("error is %v", err)
		}
	})
}

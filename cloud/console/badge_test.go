package console

import (
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
)

// TestVisit_WaitsFor: a person reads who has not answered, never the number that was asked, and is told where nobody is known
// who could.
func TestVisit_WaitsFor(t *testing.T) {
	w, err := readWords("en")
	if err != nil {
		t.Fatal(err)
	}
	v := &visit{c: &Console{words: w}}
	for _, c := range []struct {
		wait quality.ReleaseWait
		want string
	}{
		{quality.ReleaseWait{Kind: quality.WaitAnswer, Plant: "p2", Agent: "gw1", Object: "1795547292395322"}, "Agent p2/gw1 has not answered"},
		{quality.ReleaseWait{Kind: quality.WaitAnswer, Plant: "p2", Object: "1795547292395322"}, "No agent of plant p2 was ever heard of"},
		{quality.ReleaseWait{Kind: quality.WaitHold, Words: "hold of kind quality"}, "hold of kind quality"},
	} {
		if got, err := v.WaitsFor(c.wait); got != c.want || err != nil {
			t.Errorf("%+v: %q, %v, want %q", c.wait, got, err, c.want)
		}
	}
}

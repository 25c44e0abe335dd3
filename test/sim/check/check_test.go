package check

import (
	"testing"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

// TestBooks_RejectABadOne proves that what looks at books alone can fail, too.
func TestBooks_RejectABadOne(t *testing.T) {
	once := func(book.Entry) int { return 1 }
	free := func(is bool) func(string) bool { return func(string) bool { return is } }
	for name, c := range map[string]struct{ good, bad []string }{
		"Doubled": {
			Doubled([]book.Entry{{Key: "a", Kind: "x"}, {Key: "b", Kind: "x"}}, once), Doubled([]book.Entry{{Key: "a", Kind: "x"}, {Key: "a", Kind: "x"}}, once),
		},
		"EndState": {EndState(map[string]bool{"L": false}, free(true)), EndState(map[string]bool{"L": true}, free(true))},
		"Blocked":  {EndState(map[string]bool{"L": true}, free(false)), EndState(map[string]bool{"L": false}, free(false))},
	} {
		if len(c.good) > 0 || len(c.bad) == 0 {
			t.Errorf("%s: the good book gives %v, the bad one %v", name, c.good, c.bad)
		}
	}
}

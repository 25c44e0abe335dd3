package arch

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// features is how many capabilities the product has to show, F-01 to F-71.
const features = 71

// TestFeatures_Proven lists the capabilities that no test proves yet. It informs: a row is proven by a test whose name
// carries its id, and such a test stands under test.
func TestFeatures_Proven(t *testing.T) {
	form := regexp.MustCompile(`^TestF([0-9]{2})_`)
	proven := map[string][]string{}
	for _, s := range sources(t) {
		for _, decl := range s.ast.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !s.test {
				continue
			}
			m := form.FindStringSubmatch(f.Name.Name)
			if m == nil {
				continue
			}
			if !strings.HasPrefix(s.dir, "test/") {
				t.Errorf("%s: %s carries the id of a capability, so it belongs under test", s.at(f), f.Name.Name)
			}
			proven["F-"+m[1]] = append(proven["F-"+m[1]], f.Name.Name)
		}
	}
	var open []string
	for n := 1; n <= features; n++ {
		if id := fmt.Sprintf("F-%02d", n); proven[id] == nil {
			open = append(open, id)
		} else {
			t.Logf("%s: %s", id, strings.Join(slices.Sorted(slices.Values(proven[id])), ", "))
			delete(proven, id)
		}
	}
	for id, tests := range proven {
		t.Errorf("%s is no capability, but %v prove it", id, tests)
	}
	t.Logf("%d of %d capabilities have no test yet: %s", len(open), features, strings.Join(open, " "))
}

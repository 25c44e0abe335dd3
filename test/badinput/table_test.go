package badinput

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// lines is how many bad inputs the list has, B1 to B100.
const lines = 100

// elsewhere are lines that the path meets and whose test is one of a package: it needs what no process shows.
func elsewhere() map[int]string {
	return map[int]string{
		50: "agent/queue TestOpen_Truncated",
		51: "agent/queue TestOpen_BitFlips, TestLane_DamageWhileRunning",
		52: "agent/queue TestOpen_Leftovers, TestCrash",
		53: "cloud/workflow TestEngine_Epochs/SecondSuccessorWins, TestEngine_Fork",
		54: "cloud/workflow TestEngine_Epochs/SecondSuccessorWins, TestEngine_Fork",
		85: "cloud/api TestAPI_OtherPlant",
		87: "cloud/api TestAPI_IfMatch, TestAPI_IfMatchInTransaction, TestAPI_Evidence/ErrStale",
	}
}

// unmet are lines that the path does not meet, with the reason.
func unmet() map[int]string {
	all := map[int]string{
		47: "needs a volume of its own; agent/queue TestLane_Quota/DiskFull holds the queue against a full one",
		48: "needs a volume of its own; agent/queue TestLane_Fails holds the queue against a failing one",
		49: "needs a failing disk; agent/queue TestLane_Fails",
		56: "the agent has no keys yet: no identity",
		59: "the clock is not judged yet: no clock monitor",
		89: "no CSV export yet",
		92: "the configuration is not read again while running yet",
		93: "no enrolment yet",
		94: "no certificates of our own yet",
	}
	for from, reason := range map[[2]int]string{
		{22, 23}:  "needs the OPC UA source in a process of its own: its library cannot be caught",
		{36, 46}:  "no file source yet",
		{96, 100}: "no Sparkplug B host yet",
	} {
		for n := from[0]; n <= from[1]; n++ {
			all[n] = reason
		}
	}
	return all
}

// TestTable says of each line where it is tested, or why it is not. No line is forgotten, and none is excused that has a
// test.
func TestTable(t *testing.T) {
	tests := numbered(t)
	excused, others := unmet(), elsewhere()
	var table strings.Builder
	for n := 1; n <= lines; n++ {
		where := tests[n]
		if other, ok := others[n]; ok {
			where = append(where, other)
		}
		reason, unmet := excused[n]
		switch {
		case len(where) > 0 && unmet:
			t.Errorf("B%d has a test (%s) and a reason for none", n, where)
		case len(where) == 0 && !unmet:
			t.Errorf("B%d has neither a test nor a reason for none", n)
		case unmet:
			where = []string{"not met: " + reason}
		}
		fmt.Fprintf(&table, "\n  B%-3d %s", n, strings.Join(where, ", "))
		delete(tests, n)
	}
	for n, names := range tests {
		t.Errorf("B%d is no line of the list: %v", n, names)
	}
	t.Log(table.String())
}

// numbered returns the tests under test whose names carry the number of a line.
func numbered(t *testing.T) map[int][]string {
	t.Helper()
	form := regexp.MustCompile(`^TestB([0-9]{3})_`)
	all := map[int][]string{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if m := form.FindStringSubmatch(f.Name.Name); m != nil {
				n, err := strconv.Atoi(m[1])
				if err != nil {
					return err
				}
				all[n] = append(all[n], filepath.ToSlash(filepath.Join("test", filepath.Dir(path[3:])))+" "+f.Name.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range all {
		slices.Sort(all[n])
	}
	return all
}

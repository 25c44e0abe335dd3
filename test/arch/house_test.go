package arch

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestHouse_NoInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, decl := range s.ast.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: what a package does at start is not seen by its caller; make a constructor of init", s.at(f))
			}
		}
	}
}

func TestHouse_NoSleepInTests(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if selects(n, "time", "Sleep") {
				t.Errorf("%s: a sleep is too short on a slow host and too long on a fast one; use synctest, a channel, or a poll with a deadline", s.at(n))
			}
			return true
		})
	}
}

// selects tells whether n is pkg.name, for one of the names.
func selects(n ast.Node, pkg string, names ...string) bool {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && slices.Contains(names, sel.Sel.Name)
}

func TestHouse_NoPlaceOfWork(t *testing.T) {
	place := regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])/(home|root|work|Users|mnt|workspace)/[A-Za-z0-9._-]`)
	top := root(t)
	names, err := list(top, ".go", ".md", ".yml", ".yaml", ".sh", ".sql", ".json", ".toml", "Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(raw), "\n") {
			if place.MatchString(line) {
				t.Errorf("%s:%d names a folder of one developer's machine: %s", name, i+1, strings.TrimSpace(line))
			}
		}
	}
}

func TestHouse_Names(t *testing.T) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "types", "base", "manager", "processor", "interfaces", "misc"}
	for _, s := range sources(t) {
		file := strings.TrimSuffix(strings.TrimSuffix(path.Base(s.name), ".go"), "_test")
		for _, name := range []string{path.Base(s.dir), file, s.ast.Name.Name} {
			if slices.Contains(empty, name) {
				t.Errorf("%s: %q says nothing about what is inside", s.name, name)
			}
		}
	}
}

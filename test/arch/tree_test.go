// Package arch keeps what the compiler does not: who may import whom, that the documents cite code that exists, that
// versions are the ones whose traps are known, and that release binaries hold no failpoint.
package arch

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// module is the path of our module.
const module = "github.com/holdfast-mesh/holdfast"

// source is one Go file of the tree.
type source struct {
	name string // path from the root, with slashes
	dir  string // its folder, which is its package
	test bool
	ast  *ast.File
	fset *token.FileSet
}

// imports returns the paths of what the file imports.
func (s source) imports() []string {
	out := make([]string, len(s.ast.Imports))
	for i, spec := range s.ast.Imports {
		out[i] = strings.Trim(spec.Path.Value, `"`)
	}
	return out
}

// at returns file and line of a node, for messages.
func (s source) at(n ast.Node) string { return s.fset.Position(n.Pos()).String() }

// findRoot returns the module's folder: the nearest above this test that holds a go.mod.
func findRoot() (string, error) {
	dir, err := filepath.Abs(".")
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above this test")
		}
		dir = filepath.Dir(dir)
	}
}

func root(t testing.TB) string {
	t.Helper()
	dir, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// list returns the names of the files below top that end in one of the endings, seen from there, with slashes. Folders
// of fixtures, of built programs and of tools are left out.
func list(top string, endings ...string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if name != top && (strings.HasPrefix(base, ".") || slices.Contains([]string{"testdata", "bin", "vendor"}, base)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !slices.ContainsFunc(endings, func(ending string) bool { return strings.HasSuffix(base, ending) }) {
			return nil
		}
		rel, err := filepath.Rel(top, name)
		out = append(out, filepath.ToSlash(rel))
		return err
	})
	return out, err
}

// parsed is the tree, parsed once. Build tags are not asked: a wall holds on every system.
var parsed = sync.OnceValues(func() ([]source, error) {
	top, err := findRoot()
	if err != nil {
		return nil, err
	}
	names, err := list(top, ".go")
	if err != nil {
		return nil, err
	}
	out := make([]source, 0, len(names))
	for _, name := range names {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, filepath.Join(top, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		out = append(out, source{name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), ast: file, fset: fset})
	}
	return out, nil
})

func sources(t testing.TB) []source {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

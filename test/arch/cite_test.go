package arch

import (
	"errors"
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// cited finds file.go:Function and file.go:Type.Method.
func cited() *regexp.Regexp {
	return regexp.MustCompile(`([A-Za-z0-9_./-]+\.go):([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?)`)
}

// TestArchitecture_CitesWhatExists keeps the document true: a reader follows it with the code open.
func TestArchitecture_CitesWhatExists(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root(t), "ARCHITECTURE.md"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("ARCHITECTURE.md is not written yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	all := sources(t)
	found := cited().FindAllStringSubmatch(string(raw), -1)
	if len(found) == 0 {
		t.Error("ARCHITECTURE.md cites no file.go:Function")
	}
	for _, m := range found {
		if !declared(all, m[1], m[2]) {
			t.Errorf("ARCHITECTURE.md cites %s, which does not exist", m[0])
		}
	}
}

// declared tells whether a file of that name, or of that path, declares name.
func declared(all []source, file, name string) bool {
	for _, s := range all {
		if s.name != file && !strings.HasSuffix(s.name, "/"+file) {
			continue
		}
		for _, decl := range s.ast.Decls {
			if declares(decl, name) {
				return true
			}
		}
	}
	return false
}

func declares(decl ast.Decl, name string) bool {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		return name == funcName(d)
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if s, ok := spec.(*ast.TypeSpec); ok && s.Name.Name == name {
				return true
			}
		}
	}
	return false
}

// funcName returns Function, or Type.Method with neither star nor type parameters.
func funcName(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	switch generic := typ.(type) {
	case *ast.IndexExpr:
		typ = generic.X
	case *ast.IndexListExpr:
		typ = generic.X
	}
	if receiver, ok := typ.(*ast.Ident); ok {
		return receiver.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

func TestDeclared(t *testing.T) {
	all := sources(t)
	for cite, want := range map[string]bool{
		"pkg/config/document.go:Load":          true,
		"document.go:Document.At":              true,
		"config/secret.go:Secret.Reveal":       true,
		"pkg/config/secret.go:Secret":          true,
		"pkg/config/document.go:At":            false,
		"pkg/config/document.go:Document.Gone": false,
		"none.go:Load":                         false,
	} {
		m := cited().FindStringSubmatch(cite)
		if m == nil || declared(all, m[1], m[2]) != want {
			t.Errorf("%s found %t, want %t", cite, !want, want)
		}
	}
}

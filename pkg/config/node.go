package config

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// pair is one key of a mapping with its value.
type pair struct {
	key   string
	path  string
	value ast.Node
	at    Place // of the key
}

// pairs returns the keys of a mapping in order, places noted, each key once.
func (d *decoder) pairs(node ast.Node, path string) []pair {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	}
	seen := map[string]Place{}
	out := make([]pair, 0, len(values))
	for _, value := range values {
		p, ok := d.pair(value, path)
		if !ok {
			continue
		}
		if first, twice := seen[p.key]; twice {
			d.failAt(p, problem.ConfigSyntax, "key %q stands here a second time, first in line %d", p.key, first.Line)
			continue
		}
		seen[p.key] = p.at
		d.placePair(p)
		out = append(out, p)
	}
	return out
}

func (d *decoder) pair(value *ast.MappingValueNode, path string) (pair, bool) {
	line, column := position(value.Key)
	p := pair{value: value.Value, at: Place{d.file, line, column}}
	var ok bool
	if p.key, ok = textOf(value.Key); !ok {
		p.path = path
		d.failAt(p, problem.ConfigSyntax, "a key must be a plain text")
		return p, false
	}
	p.path = Key(path, p.key)
	return p, true
}

// placePair notes where a key's value stands: a scalar's own place, else that of the key.
func (d *decoder) placePair(p pair) {
	d.doc.places[p.path] = p.at
	if _, scalar := textOf(p.value); scalar {
		d.place(p.path, p.value)
	}
}

func (d *decoder) place(path string, node ast.Node) {
	line, column := position(node)
	d.doc.places[path] = Place{d.file, line, column}
}

// position returns where a node starts. A mapping starts at its first key, a list where its own token stands.
func position(node ast.Node) (line, column int) {
	switch n := node.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return position(n.Values[0].Key)
		}
		if n.Start != nil && n.Start.Position != nil {
			return n.Start.Position.Line, n.Start.Position.Column
		}
	case *ast.MappingValueNode:
		return position(n.Key)
	case *ast.LiteralNode:
		return n.Start.Position.Line, n.Start.Position.Column
	case nil:
		return 1, 1
	}
	if tk := node.GetToken(); tk != nil && tk.Position != nil {
		return tk.Position.Line, tk.Position.Column
	}
	return 1, 1
}

// textOf returns the text of a scalar as it stands in the file, which keeps every digit of a number.
func textOf(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode:
		return n.Token.Value, true
	case *ast.FloatNode:
		return n.Token.Value, true
	}
	return "", false
}

func isMapping(node ast.Node) bool {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func readLimited(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", path, info.Size(), maxFile)
	}
	return os.ReadFile(path)
}

// parse returns the root mapping of a file; nil where there is none, which is a finding unless the file is empty.
func (d *decoder) parse(raw []byte) ast.Node {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	if at := invalidUTF8(raw); at >= 0 {
		line := 1 + bytes.Count(raw[:at], []byte("\n"))
		column := at - bytes.LastIndexByte(raw[:at], '\n')
		d.syntax(line, column, "the file is not UTF-8 from here on")
		return nil
	}
	if line, column, deep := tooDeep(raw); deep {
		d.syntax(line, column, fmt.Sprintf("nested deeper than %d", maxDepth))
		return nil
	}
	file, err := parseYAML(raw)
	if err != nil {
		line, column, message := 1, 1, err.Error()
		if at, ok := errors.AsType[yaml.Error](err); ok {
			message = at.GetMessage()
			if tk := at.GetToken(); tk != nil && tk.Position != nil {
				line, column = tk.Position.Line, tk.Position.Column
			}
		}
		d.syntax(line, column, message)
		return nil
	}
	return d.root(file)
}

func (d *decoder) root(file *ast.File) ast.Node {
	var root ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType:
		case root != nil:
			line, column := position(doc.Body)
			d.syntax(line, column, "a second document starts here; a file holds one")
			return root
		default:
			root = doc.Body
		}
	}
	return root
}

func (d *decoder) syntax(line, column int, message string) {
	d.doc.unreadable(Place{d.file, line, column}, problem.New(problem.ConfigSyntax, "%s", message))
}

// parseYAML is the one place that catches a panic of the YAML library, which has had some on malformed input.
func parseYAML(raw []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("not YAML: %v", r)
		}
	}()
	return parser.ParseBytes(raw, 0, parser.AllowDuplicateMapKey())
}

func invalidUTF8(raw []byte) int {
	for i := 0; i < len(raw); {
		r, size := utf8.DecodeRune(raw[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// tooDeep finds where nesting passes the limit, by counting what opens a level within a line: brackets of the flow
// style, and block entries in a row ("- - - -"). Brackets in quotes and comments count as well; no configuration has
// so many of them unclosed. Nesting by indentation is bounded by the size of the file.
func tooDeep(raw []byte) (line, column int, deep bool) {
	flow, entries := 0, 0
	line = 1
	for _, c := range raw {
		column++
		switch c {
		case '\n':
			line, column, entries = line+1, 0, 0
		case '[', '{':
			flow++
		case ']', '}':
			flow = max(0, flow-1)
		case '-', '?':
			entries++
		case ' ', '\t':
		default:
			entries = 0
		}
		if flow > maxDepth || entries > maxDepth {
			return line, column, true
		}
	}
	return 0, 0, false
}

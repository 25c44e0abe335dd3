package config

import (
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Limits of a file. A configuration of a large plant has some 10,000 lines of 60 bytes; nesting stays below 20, and the
// YAML library recurses, so a bound keeps a hostile file from ending the process.
const (
	maxFile  = 4 << 20
	maxDepth = 500
)

// Options say what may stand around a file.
type Options struct {
	// Include names the lists that further files may extend, such as sources and mappings. The files are named by
	// the key include (globs, relative to the file; each glob's matches in order of name). Empty: no such key.
	Include []string
	// LookupEnv finds a variable of the environment, in a program [os.LookupEnv]. HOLDFAST_ and the path in capitals,
	// joined by _, replaces a scalar outside of lists. Nil: nothing is replaced.
	LookupEnv func(string) (string, bool)
}

// Document is a loaded configuration: where each value stands, and what was found wrong. It is not safe for
// concurrent use.
type Document struct {
	name   string
	dir    string
	opts   Options
	places map[string]Place
	errs   Errors
	unread bool // a file could not be read or is not YAML, so that nothing can be said about what is missing
}

// Load reads the file at path into the struct that into points to. The document is never nil, and an error is always
// of type [Errors]; the values that could be read are in place all the same, so that the caller can add what else it
// finds and return [Document.Err] as the whole.
func Load(path string, into any, opts Options) (*Document, error) {
	d := &Document{name: path, opts: opts, places: map[string]Place{}}
	var err error
	if d.dir, err = filepath.Abs(filepath.Dir(path)); err != nil {
		d.unreadable(Place{File: path}, problem.New(problem.ConfigFile, "configuration: %w", err))
		return d, d.Err()
	}
	raw, err := readLimited(path)
	if err != nil {
		d.unreadable(Place{File: path}, problem.New(problem.ConfigFile, "read configuration: %w", err))
		return d, d.Err()
	}
	d.load(raw, into)
	return d, d.Err()
}

// load decodes the main file's bytes, then what it includes, then the environment.
func (d *Document) load(raw []byte, into any) {
	target := reflect.ValueOf(into).Elem()
	main := &decoder{doc: d, file: d.name, dir: d.dir}
	if root := main.parse(raw); root != nil {
		main.structure(root, target, "")
		d.include(target)
	}
	d.override(target)
	main.resolve(target)
}

// At returns where the value of a YAML path stands, such as sources[0].mqtt.broker. A path that the file does not
// name gets the place of its nearest parent, at last the top of the file.
func (d *Document) At(path string) Place {
	for p := path; p != ""; p = parent(p) {
		if place, ok := d.places[p]; ok {
			return place
		}
	}
	return Place{File: d.name, Line: 1, Column: 1}
}

// Has tells whether the file or the environment names the path.
func (d *Document) Has(path string) bool {
	_, ok := d.places[path]
	return ok
}

// Errorf adds a finding at a YAML path. A finding at a path that already has one, or below it, is left out: a value
// that could not be read needs no second complaint about what it is not. For the same reason all are left out once a
// file could not be read as a whole.
func (d *Document) Errorf(code problem.Code, path, format string, args ...any) {
	d.Add(path, problem.New(code, format, args...))
}

// Add is like [Document.Errorf] for an error at hand. One that is no problem gets the code [problem.ConfigValue].
func (d *Document) Add(path string, err error) {
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok {
		p = problem.New(problem.ConfigValue, "%w", err)
	}
	known := slices.ContainsFunc(d.errs, func(e *Error) bool { return e.Path != "" && within(path, e.Path) })
	if known || d.unread {
		return
	}
	d.errs = append(d.errs, &Error{Place: d.At(path), Path: path, Problem: p})
}

// unreadable adds a finding about a file as a whole.
func (d *Document) unreadable(at Place, p *problem.Problem) {
	d.unread = true
	d.errs = append(d.errs, &Error{Place: at, Problem: p})
}

// Err returns all findings, sorted by place, or nil.
func (d *Document) Err() error {
	if len(d.errs) == 0 {
		return nil
	}
	return d.errs.sorted(d.name)
}

// Rel resolves a file name that stands at a YAML path: relative to the folder of the file that names it. An absolute
// or empty name stays. Fields of type [Path] are resolved by [Load] already.
func (d *Document) Rel(path, name string) string {
	dir := d.dir
	if place := d.At(path); place.Line > 0 && place.File != d.name {
		dir = d.dirOf(place.File)
	}
	return join(dir, name)
}

func (d *Document) dirOf(file string) string {
	if dir, err := filepath.Abs(filepath.Dir(file)); err == nil {
		return dir
	}
	return d.dir
}

func join(dir, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// Key returns the YAML path of key below path. A key that is not made of letters, digits, _ and - is quoted in
// brackets.
func Key(path, key string) string {
	if plain(key) {
		if path == "" {
			return key
		}
		return path + "." + key
	}
	return path + "[" + strconv.Quote(key) + "]"
}

// Index returns the YAML path of entry i, counted from 0, of the list at path.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func plain(key string) bool {
	for _, r := range key {
		if r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return key != ""
}

// parent cuts the last step of a path. A quoted key may itself hold dots and brackets, so it is cut at its opening.
func parent(path string) string {
	if strings.HasSuffix(path, `"]`) {
		for i := strings.LastIndex(path, `["`); i >= 0; i = strings.LastIndex(path[:i], `["`) {
			if _, err := strconv.Unquote(path[i+1 : len(path)-1]); err == nil {
				return path[:i]
			}
		}
	}
	if i := strings.LastIndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return ""
}

// within tells whether path is outer or lies below it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

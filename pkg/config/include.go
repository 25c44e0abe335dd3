package config

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// include appends the lists of the files that the key include names, each file once.
func (d *Document) include(target reflect.Value) {
	f, ok := find(fieldsOf(target.Type()), "include")
	if !ok || len(d.opts.Include) == 0 {
		return
	}
	patterns, _ := target.FieldByIndex(f.index).Interface().([]string)
	done := map[string]bool{}
	for i, pattern := range patterns {
		at := Index("include", i)
		files, err := filepath.Glob(join(d.dir, pattern))
		if err != nil {
			d.Errorf(problem.ConfigValue, at, "%s: %q is no pattern of file names", at, pattern)
			continue
		}
		if len(files) == 0 && !strings.ContainsAny(pattern, "*?[") {
			d.Errorf(problem.ConfigFile, at, "%s: file %q does not exist", at, pattern)
		}
		slices.Sort(files)
		for _, file := range files {
			if !done[file] {
				done[file] = true
				d.includeFile(file, at, target)
			}
		}
	}
}

func (d *Document) includeFile(file, at string, target reflect.Value) {
	name := file
	if rel, err := filepath.Rel(d.dir, file); err == nil && !filepath.IsAbs(d.name) {
		name = filepath.Join(filepath.Dir(d.name), rel)
	}
	raw, err := readLimited(file)
	if err != nil {
		d.unreadable(d.At(at), problem.New(problem.ConfigFile, "read included file: %w", err))
		return
	}
	part := &decoder{doc: d, file: name, dir: filepath.Dir(file), only: d.opts.Include}
	if root := part.parse(raw); root != nil {
		part.structure(root, target, "")
	}
}

// Package config reads the YAML files of the two programs: strictly, with file, line and column in every finding, and
// all findings at once.
//
// [Load] decodes a file into a struct whose fields carry yaml tags. What the file does not name keeps the value that
// the struct had before, so a caller passes its defaults. Unknown keys, wrong types, repeated keys and secrets in
// plain text are findings; the caller adds its own through [Document.Errorf], which places them by YAML path.
//
// A field may be a string, bool, integer, float, [time.Duration], [ByteSize], [Percent], [Path], [SecretFile], any type
// with UnmarshalText, a struct, a pointer, a slice, a map with string keys, or any. A number in a field of type any is
// a [encoding/json.Number], so that no digit of it is lost.
//
// Anchors, aliases, tags and merge keys are refused: a reader of one place must see the whole value there.
package config

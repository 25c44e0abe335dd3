package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Decoding says how a payload is read.
type Decoding string

// Decodings.
const (
	DecodeJSON Decoding = "json" // one JSON value; the default
	DecodeText Decoding = "text" // UTF-8 text as it is
)

// decode reads a payload into what expressions see: maps, lists, texts, bools, ints, Numbers and nil.
func (d Decoding) decode(payload []byte) (any, error) {
	if len(payload) == 0 {
		return nil, errors.New("payload is empty")
	}
	if d == DecodeText {
		if !utf8.Valid(payload) {
			return nil, errors.New("payload is not UTF-8")
		}
		return string(payload), nil
	}
	tree, err := event.ParseJSON(payload)
	if err != nil {
		return nil, fmt.Errorf("payload %w", err)
	}
	return exact(tree)
}

// exact replaces the numbers of a JSON tree, in place where they stand in an object or a list.
func exact(tree any) (any, error) {
	switch v := tree.(type) {
	case json.Number:
		return fromJSON(v)
	case map[string]any:
		for name, member := range v {
			if !holdsNumbers(member) {
				continue
			}
			m, err := exact(member)
			if err != nil {
				return nil, err
			}
			v[name] = m
		}
	case []any:
		for i, entry := range v {
			e, err := exact(entry)
			if err != nil {
				return nil, err
			}
			v[i] = e
		}
	}
	return tree, nil
}

func holdsNumbers(v any) bool {
	switch v.(type) {
	case json.Number, map[string]any, []any:
		return true
	}
	return false
}

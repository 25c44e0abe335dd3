package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// MaxDepth is the deepest nesting of JSON that [ParseJSON] reads.
const MaxDepth = 64

// ParseJSON reads one JSON value into map[string]any, []any, string, bool, json.Number or nil. It is stricter than
// encoding/json: it refuses invalid UTF-8, a name used twice in one object, nesting beyond [MaxDepth], numbers beyond
// float64's range, and anything after the value. Numbers keep their text.
func ParseJSON(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("has more than one JSON value: at byte %d", d.InputOffset())
	}
	return v, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	tok, err := d.Token()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("is not JSON: byte %d: %w", d.InputOffset(), err)
	}
	switch tok := tok.(type) {
	case json.Delim:
		if depth == MaxDepth {
			return nil, fmt.Errorf("is nested deeper than %d: at byte %d", MaxDepth, d.InputOffset())
		}
		if tok == '{' {
			return parseObject(d, depth+1)
		}
		return parseArray(d, depth+1)
	case json.Number:
		if _, err := strconv.ParseFloat(string(tok), 64); err != nil {
			return nil, fmt.Errorf("number %.40s is out of range: at byte %d", tok, d.InputOffset())
		}
	}
	return tok, nil
}

func parseObject(d *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("is not JSON: byte %d: %w", d.InputOffset(), err)
		}
		name := tok.(string)
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("has the name %.60q twice in one object: at byte %d", name, d.InputOffset())
		}
		if object[name], err = parseValue(d, depth); err != nil {
			return nil, err
		}
	}
	return object, closeDelim(d)
}

func parseArray(d *json.Decoder, depth int) (any, error) {
	array := []any{}
	for d.More() {
		v, err := parseValue(d, depth)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
	}
	return array, closeDelim(d)
}

func closeDelim(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("is not JSON: byte %d: %w", d.InputOffset(), err)
	}
	return nil
}

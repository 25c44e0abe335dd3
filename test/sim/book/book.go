// Package book is what a simulated business system remembers of the effects on it: an append-only list by business
// key, in memory and, if asked for, in a file of JSON lines that another process can read while it grows.
//
// A test counts effects here, at the target, never in the log of the side it judges.
package book

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

// Entry is one effect that took place.
type Entry struct {
	At   time.Time `json:"at"`
	Key  string    `json:"key"`  // business key: lot as material/batch, or nonconformance id
	Kind string    `json:"kind"` // flag_set, transfer_344, record_created ...

	Material  string `json:"material,omitempty"`
	Batch     string `json:"batch,omitempty"`
	Record    string `json:"record,omitempty"`    // the system's own id of what was made or changed
	Reference string `json:"reference,omitempty"` // as the caller gave it
	Quantity  string `json:"quantity,omitempty"`
	Detail    string `json:"detail,omitempty"` // state reached, or other words

	// FreeAfter tells whether any of the batch is free to use after the effect.
	FreeAfter bool `json:"free_after"`
}

// Book is safe for concurrent use.
type Book struct {
	mu      sync.Mutex // guards entries and file
	entries []Entry
	file    *os.File
}

// Open returns an empty book that is also appended to the file at path; with an empty path it lives in memory alone.
func Open(path string) (*Book, error) {
	b := &Book{}
	if path == "" {
		return b, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open book: %w", err)
	}
	b.file = f
	return b, nil
}

// Add appends an entry. A book that cannot be written is of no use to a test, so that ends the program.
func (b *Book) Add(e Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.At = e.At.UTC()
	b.entries = append(b.entries, e)
	if b.file == nil {
		return
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = b.file.Write(append(line, '\n'))
	}
	if err != nil {
		panic(fmt.Sprintf("write book: %v", err))
	}
}

// Entries returns a copy of all entries, oldest first.
func (b *Book) Entries() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.entries)
}

// Of returns the entries of one business key, oldest first.
func (b *Book) Of(key string) []Entry {
	return slices.DeleteFunc(b.Entries(), func(e Entry) bool { return e.Key != key })
}

// Close closes the file.
func (b *Book) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == nil {
		return nil
	}
	f := b.file
	b.file = nil
	return f.Close()
}

// ReadFile returns the entries that a file holds so far; a file that is not there yet holds none. A last line that is
// still being written is left out.
func ReadFile(path string) ([]Entry, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var out []Entry
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("book line %d: %w", len(out)+1, err)
		}
		out = append(out, e)
	}
}

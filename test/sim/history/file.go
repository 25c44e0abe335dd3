package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Writer appends facts to a file of JSON lines. It is safe for concurrent use, also by several processes: a line is
// written as one.
type Writer struct {
	now  func() time.Time
	mu   sync.Mutex // guards file
	file *os.File
}

// Create opens the file at path for appending, and makes it where it is missing. Now is the clock of facts that have no
// time of their own; nil = time.Now.
func Create(path string, now func() time.Time) (*Writer, error) {
	if now == nil {
		now = time.Now
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	return &Writer{now: now, file: f}, nil
}

// Add appends facts, all or none.
func (w *Writer) Add(facts ...Fact) error {
	var lines bytes.Buffer
	for i := range facts {
		f := facts[i]
		if f.At.IsZero() {
			f.At = w.now()
		}
		f.At = f.At.UTC()
		line, err := json.Marshal(f)
		if err != nil {
			return fmt.Errorf("write history: %w", err)
		}
		lines.Write(line)
		lines.WriteByte('\n')
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.file.Write(lines.Bytes()); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// Close closes the file.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.file.Close()
}

// ReadFile returns the facts that a file holds so far; a file that is not there yet holds none.
func ReadFile(path string) (History, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return Read(f)
}

// Read returns the facts of JSON lines. A last line that is still being written is left out. A kind or a member that is
// not known is an error: a checker that passes over what it does not understand proves nothing.
func Read(r io.Reader) (History, error) {
	var h History
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return h, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read history: %w", err)
		}
		var f Fact
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&f); err != nil {
			return nil, fmt.Errorf("history line %d: %w", len(h)+1, err)
		}
		if !f.Kind.known() {
			return nil, fmt.Errorf("history line %d: kind %q is not known", len(h)+1, f.Kind)
		}
		h = append(h, f)
	}
}

func (k Kind) known() bool {
	switch k {
	case Offered, Acknowledged, Put, Acked, Inbox, Intent, EffectSeen, Quarantined, Parked, Gap, Epoch, Barrier, Head, Hold, Release, Ledger,
		Clock, Fault, Queue:
		return true
	}
	return false
}

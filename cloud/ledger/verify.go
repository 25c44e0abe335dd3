package ledger

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Line is one entry as `ledger show -o jsonl` exports it.
type Line struct {
	Place     int64  `json:"place"` // 0 = not sealed yet
	At        string `json:"at"`
	Principal string `json:"principal"`
	Act       string `json:"act"`
	Object    string `json:"object"`
	Version   int64  `json:"version"`
	EventID   string `json:"event_id,omitempty"`
	Lot       string `json:"lot,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Was       string `json:"was,omitempty"`
	Now       string `json:"now,omitempty"`
	Prev      string `json:"prev,omitempty"`
	Hash      string `json:"hash,omitempty"`
}

// LineOf returns the export of an entry.
func LineOf(s *store.Sealed) Line {
	return Line{
		s.Place, event.At(s.At).String(), s.Principal, s.Act, s.Object, s.Version, string(s.EventID), string(s.Lot), s.Reason, s.Was, s.Now, s.Prev, s.Hash,
	}
}

func (l *Line) entry() (*store.Entry, error) {
	at, err := event.ParseTime(l.At)
	if err != nil {
		return nil, err
	}
	return &store.Entry{
		At: at.Time, Principal: l.Principal, Act: l.Act, Object: l.Object, Version: l.Version, EventID: event.ID(l.EventID),
		Lot: event.LotKey(l.Lot), Reason: l.Reason, Was: l.Was, Now: l.Now,
	}, nil
}

// Report says what was proven.
type Report struct {
	Entries    int64  `json:"entries"`              // sealed entries, all of them verified
	Head       string `json:"head"`                 // hash of the last
	Anchors    int64  `json:"anchors"`              // anchors, all of them verified
	Anchored   int64  `json:"anchored"`             // entries up to here are proven by an anchor outside the database
	Unanchored int64  `json:"unanchored"`           // entries behind that, which the database alone proves
	TailSince  string `json:"tail_since,omitempty"` // time of the first of them
	Unsealed   int64  `json:"unsealed"`             // entries without a place yet
	// Restores tell where the database was restored, and which entries were lost with it. Each is signed.
	Restores []Restore `json:"restores,omitempty"`
}

// Restore is a restore of the database: its chain went on behind From, and entries up to To are gone.
type Restore struct {
	From int64  `json:"from"`
	To   int64  `json:"to"`
	At   string `json:"at"`
}

// Verify reads an export, an entry a line in the order of the chain, and an anchor file, and checks every hash, every
// place, every signature and that the anchors belong to this chain. The error names the first place that is wrong.
func Verify(export, anchors io.Reader, key ed25519.PublicKey) (Report, error) {
	list, restores, err := readAnchors(anchors, key)
	if err != nil {
		return Report{}, err
	}
	v := &verifier{anchors: list, restores: restores}
	for _, a := range restores {
		v.report.Restores = append(v.report.Restores, Restore{From: a.Count, To: a.Lost, At: a.At})
	}
	if err := eachLine(export, v.line); err != nil {
		return v.report, err
	}
	return v.finish()
}

// readAnchors returns the anchors that this chain has to fit, and the statements of restores: those of what a restore took
// away are no longer of it.
func readAnchors(r io.Reader, key ed25519.PublicKey) (all, restores []Anchor, err error) {
	err = eachLine(r, func(n int, b []byte) error {
		var a Anchor
		if err := json.Unmarshal(b, &a); err != nil {
			return problem.New(problem.LedgerBroken, "anchor line %d: %w", n, err)
		}
		if !a.signed(key) {
			return problem.New(problem.LedgerBroken, "anchor line %d: signature does not belong to key %s", n, KeyID(key))
		}
		if a.Lost > 0 {
			gone := func(x Anchor) bool { return x.Count > a.Count }
			all, restores = slices.DeleteFunc(all, gone), append(slices.DeleteFunc(restores, gone), a)
			return nil
		}
		if len(all) > 0 && a.Count < all[len(all)-1].Count {
			return problem.New(problem.LedgerBroken, "anchor line %d: count %d is below the one before", n, a.Count)
		}
		all = append(all, a)
		return nil
	})
	return all, restores, err
}

type verifier struct {
	report   Report
	anchors  []Anchor
	restores []Anchor
	next     int      // anchor to be met
	since    []string // hashes behind the place from which the newest anchor's root counts
	start    int      // where in since those behind that anchor begin
	tail     string
}

func (v *verifier) line(n int, b []byte) error {
	var l Line
	if err := json.Unmarshal(b, &l); err != nil {
		return problem.New(problem.LedgerBroken, "export line %d: %w", n, err)
	}
	if l.Place == 0 {
		v.report.Unsealed++
		return nil
	}
	e, err := l.entry()
	if err != nil {
		return problem.New(problem.LedgerBroken, "export line %d: %w", n, err)
	}
	switch place := v.report.Entries + 1; {
	case l.Place != place:
		return problem.New(problem.LedgerBroken, "place %d is missing: the next entry has place %d", place, l.Place)
	case l.Prev != v.report.Head:
		return problem.New(problem.LedgerBroken, "place %d does not follow from the entry before", place)
	case l.Hash != EntryHash(l.Place, l.Prev, e):
		return problem.New(problem.LedgerBroken, "place %d was changed: its hash does not cover what it says", place)
	}
	v.report.Entries, v.report.Head = l.Place, l.Hash
	v.since = append(v.since, l.Hash)
	if v.tail == "" {
		v.tail = l.At
	}
	for i := range v.restores {
		if a := &v.restores[i]; a.Count == l.Place && a.Head != l.Hash {
			return problem.New(problem.LedgerBroken, "place %d is not what the restore of %s went on from", l.Place, a.At)
		}
	}
	return v.meet(&l)
}

// meet compares with the anchors that state this place.
func (v *verifier) meet(l *Line) error {
	for v.next < len(v.anchors) && v.anchors[v.next].Count == l.Place {
		a := &v.anchors[v.next]
		if a.Head != l.Hash {
			return problem.New(problem.LedgerBroken, "place %d is not what was anchored at %s", l.Place, a.At)
		}
		if !v.root(a.Root) {
			return problem.New(problem.LedgerBroken, "the entries up to place %d are not those anchored at %s", l.Place, a.At)
		}
		v.next++
		v.report.Anchors++
		v.report.Anchored, v.start, v.tail = l.Place, len(v.since), ""
	}
	return nil
}

// root tells whether a root is that of the entries behind the anchor before. A crash between anchor file and database
// leaves an anchor that the sealer does not know of: the root after it counts from the same place as its own.
func (v *verifier) root(want string) bool {
	if behind := v.since[v.start:]; len(behind) > 0 && want == merkle(behind) {
		v.since = slices.Clone(behind)
		return true
	}
	return len(v.since) > 0 && want == merkle(v.since)
}

func (v *verifier) finish() (Report, error) {
	if v.next < len(v.anchors) {
		a := &v.anchors[v.next]
		return v.report, problem.New(problem.LedgerBroken, "the chain ends at place %d, but %d entries were anchored at %s: it was cut",
			v.report.Entries, a.Count, a.At)
	}
	v.report.Unanchored, v.report.TailSince = v.report.Entries-v.report.Anchored, v.tail
	return v.report, nil
}

// maxLine bounds one line: an entry holds the evidence of a call, at most 1 MiB, twice, and a JSON text within JSON may
// take six bytes for one.
const maxLine = 16 << 20

func eachLine(r io.Reader, f func(n int, b []byte) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for n := 1; s.Scan(); n++ {
		if len(s.Bytes()) == 0 {
			continue
		}
		if err := f(n, s.Bytes()); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return problem.New(problem.LedgerBroken, "read: %w", err)
	}
	return nil
}

// Tail tells whether the unanchored tail is older than what a working sealer leaves.
func (r *Report) Tail(now time.Time) error {
	if r.TailSince == "" {
		return nil
	}
	since, err := event.ParseTime(r.TailSince)
	if err != nil {
		return err
	}
	if age := now.Sub(since.Time); age > 2*checkpointEvery {
		return problem.New(problem.LedgerUnanchored, "%d entries since %s are not anchored", r.Unanchored, r.TailSince)
	}
	return nil
}

// ParseKey reads a public key in base64.
func ParseKey(text string) (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, errors.Join(fmt.Errorf("public key %.60q: want 44 characters of base64", text), err)
	}
	return b, nil
}

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/ledger"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// AuditEntry is an entry of the ledger, for people.
type AuditEntry struct {
	ledger.Line
	ID    int64         `json:"id" doc:"in the order in which entries were made"`
	Plant event.PlantID `json:"plant,omitempty" doc:"of its lot"`
	Zone  string        `json:"zone" doc:"time zone of the plant"`
	Did   string        `json:"did" doc:"what was done: of an act of a person its name, else the event's type"`
	About string        `json:"about" doc:"what it was done to"`
	Words string        `json:"words,omitempty" doc:"what changed, in a few words"`
	// Changes tell from what to what, of an object that was there before.
	Changes []FieldChange `json:"changes,omitempty" doc:"of an object that was there before: the members that differ, the first ones"`
	Fits    bool          `json:"fits" doc:"its hash is that of what it says and of the entry before; true where it is not sealed yet"`
	Sealed  bool          `json:"sealed"`
}

// AuditPage is a page of entries that were looked for.
type AuditPage struct {
	Entries []AuditEntry `json:"entries"`
	Next    int64        `json:"next,omitempty" doc:"from of the next page; absent = all were looked at"`
	Looked  int64        `json:"looked" doc:"entries that were looked at"`
}

type auditInput struct {
	Principal string    `query:"principal" maxLength:"256" doc:"who"`
	Act       string    `query:"act" maxLength:"128" doc:"event type, or what a person did"`
	Object    string    `query:"object" maxLength:"1024"`
	Lot       string    `query:"lot" maxLength:"1024"`
	Since     time.Time `query:"since" doc:"not before"`
	Before    time.Time `query:"before" doc:"before"`
	Text      string    `query:"text" maxLength:"200" doc:"in reason, object or act"`
	Order     string    `query:"order" enum:"newest,oldest" default:"newest" doc:"which come first"`
	From      int64     `query:"from" minimum:"0" doc:"next of the page before"`
	Limit     int       `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

// searchWindow bounds how many entries one search looks at: some tenths of a second's work, whatever is looked for.
const searchWindow = 100_000

func (s *server) searchLedger(ctx context.Context, in *auditInput) (*view[AuditPage], error) {
	page := AuditPage{Entries: []AuditEntry{}}
	if in.Lot == "" && !callerOf(ctx).seesAll() {
		return nil, problem.New(problem.RoleRefused, "%s may see some plants only, so the ledger lot by lot", callerOf(ctx).Principal)
	}
	q := store.EntryQuery{
		Principal: in.Principal, Act: in.Act, Object: in.Object, Lot: event.LotKey(in.Lot), From: in.Since, To: in.Before, Text: in.Text,
	}
	err := s.read(ctx, func(tx *store.Tx) error {
		if in.Lot != "" {
			if _, err := s.lot(ctx, tx, q.Lot); err != nil {
				return err
			}
		}
		low, high, next, err := window(tx, in)
		if err != nil || high < low || high == 0 {
			return err
		}
		rows, err := tx.FindEntries(q, low, high, in.Order == "newest", in.Limit)
		if err != nil {
			return err
		}
		page.Looked, page.Next = high-low+1, next
		if len(rows) == in.Limit { // there may be more of them in here
			last := rows[len(rows)-1].ID
			page.Looked, page.Next = high-last+1, last-1
			if in.Order == "oldest" {
				page.Looked, page.Next = last-low+1, last+1
			}
		}
		return s.auditEntries(tx, rows, &page)
	})
	return &view[AuditPage]{page}, err
}

// window returns the ids that one search looks at, and where the next one begins; 0 = there is nothing behind.
func window(tx *store.Tx, in *auditInput) (low, high, next int64, err error) {
	first, last, err := tx.EntryIDs()
	if err != nil || last == 0 {
		return 0, 0, 0, err
	}
	if in.Order == "oldest" {
		low = max(first, in.From)
		if high = min(last, low+searchWindow-1); high < last {
			next = high + 1
		}
		return low, high, next, nil
	}
	high = last
	if in.From > 0 {
		high = min(last, in.From)
	}
	if low = max(first, high-searchWindow+1); low > first {
		next = low - 1
	}
	return low, high, next, nil
}

func (s *server) auditEntries(tx *store.Tx, rows []store.Sealed, page *AuditPage) error {
	plants := map[event.LotKey]event.PlantID{}
	for i := range rows {
		r := &rows[i]
		e := AuditEntry{Line: ledger.LineOf(r), ID: r.ID, Words: changed(&r.Entry), Sealed: r.Place > 0, Fits: true}
		if e.Sealed {
			e.Fits = ledger.EntryHash(r.Place, r.Prev, &r.Entry) == r.Hash
		}
		e.Did, e.About = actOf(&r.Entry)
		e.Changes = entryChanges(&r.Entry)
		if _, known := plants[r.Lot]; r.Lot != "" && !known {
			lot, err := tx.Lot(r.Lot)
			if err != nil {
				return err
			}
			if plants[r.Lot] = ""; lot != nil {
				plants[r.Lot] = lot.Plant
			}
		}
		e.Plant = plants[r.Lot]
		e.Zone = s.zoneOf(e.Plant)
		page.Entries = append(page.Entries, e)
	}
	return nil
}

// maxChanges bounds how many members of an object an entry lists as changed; the entry has all.
const maxChanges = 40

func entryChanges(e *store.Entry) []FieldChange {
	if e.Was == "" || e.Now == "" || strings.HasPrefix(e.Object, "settled:") { // of a settlement it is what the system answered
		return nil
	}
	changes, err := changesOf([]byte(e.Was), []byte(e.Now))
	if err != nil {
		return nil // what a program wrote in a form of its own stands in the entry as it is
	}
	return changes[:min(len(changes), maxChanges)]
}

// actOf returns what was done and to what: of an act of a person these stand in the entry, not in its type.
func actOf(e *store.Entry) (did, about string) {
	if e.Act != string(event.TypeActRecorded) {
		return e.Act, e.Object
	}
	var act struct {
		Act     string `json:"act"`
		Subject string `json:"subject"`
	}
	if json.Unmarshal([]byte(e.Now), &act) != nil || act.Act == "" {
		return e.Act, e.Object
	}
	return act.Act, act.Subject
}

// LedgerState says how far the ledger is proven.
type LedgerState struct {
	Entries    int64     `json:"entries" doc:"with a place in the chain"`
	Head       string    `json:"head,omitempty" doc:"hash of the last"`
	Unsealed   int64     `json:"unsealed" doc:"entries without a place yet"`
	Anchored   int64     `json:"anchored" doc:"entries up to this place stand under a signed checkpoint"`
	AnchoredAt time.Time `json:"anchored_at,omitzero" doc:"when the last checkpoint was signed"`
	Unanchored int64     `json:"unanchored" doc:"entries behind it, which the database alone proves"`
	TailSince  time.Time `json:"tail_since,omitzero" doc:"when the first of them was made"`
	Late       bool      `json:"late" doc:"the tail is older than a working ledger leaves it"`
	KeyID      string    `json:"key_id" doc:"of the key that signs"`
	File       Anchoring `json:"file" doc:"whether the last line of the anchor file, outside of the database, fits the chain"`
}

// Anchoring is how the anchor file fits the chain.
type Anchoring string

// Anchorings. That the last line fits does not prove the chain: verification does, with all lines and all entries.
const (
	AnchorNone    Anchoring = "none"    // there is no anchor yet
	AnchorFits    Anchoring = "fits"    // the last anchor states what the chain has there
	AnchorDiffers Anchoring = "differs" // the chain has something else there, or does not reach so far
	AnchorUnread  Anchoring = "unread"  // the file cannot be read, or its last line is none
)

func (s *server) ledgerState(ctx context.Context, _ *struct{}) (*view[LedgerState], error) {
	st := LedgerState{}
	if key, err := ledger.ParseKey(s.cfg.LedgerKey); err == nil {
		st.KeyID = ledger.KeyID(key)
	}
	anchor, readErr := lastAnchor(s.cfg.AnchorFile)
	err := s.read(ctx, func(tx *store.Tx) (err error) {
		if st.Entries, st.Head, err = tx.ChainHead(); err != nil {
			return err
		}
		if st.Unsealed, err = tx.CountUnsealed(); err != nil {
			return err
		}
		last, err := tx.LastCheckpoint()
		if err != nil {
			return err
		}
		st.Anchored, st.AnchoredAt, st.Unanchored = last.Place, last.At, st.Entries-last.Place
		if err := st.tail(tx); err != nil {
			return err
		}
		st.File, err = anchoring(tx, anchor, readErr)
		return err
	})
	report := ledger.Report{Unanchored: st.Unanchored}
	if !st.TailSince.IsZero() {
		report.TailSince = event.At(st.TailSince).String()
	}
	st.Late = report.Tail(s.cfg.Now()) != nil
	return &view[LedgerState]{st}, err
}

// tail finds when the first entry was made that no checkpoint covers.
func (st *LedgerState) tail(tx *store.Tx) error {
	rows, err := tx.SealedAfter(st.Anchored, 1)
	if err == nil && len(rows) == 0 {
		rows, err = tx.Unsealed(1)
	}
	if len(rows) > 0 {
		st.TailSince = rows[0].At
	}
	return err
}

func anchoring(tx *store.Tx, a *ledger.Anchor, readErr error) (Anchoring, error) {
	switch {
	case readErr != nil:
		return AnchorUnread, nil
	case a == nil:
		return AnchorNone, nil
	}
	hash, ok, err := tx.SealAt(a.Count)
	if err != nil {
		return "", err
	}
	if !ok || hash != a.Head {
		return AnchorDiffers, nil
	}
	return AnchorFits, nil
}

// maxAnchorLine bounds a line of the anchor file, in bytes; one has some 400.
const maxAnchorLine = 4096

// lastAnchor reads the last whole line of the anchor file; nil if there is none yet.
func lastAnchor(path string) (*ledger.Anchor, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(info.Size(), 2*maxAnchorLine))
	if _, err := f.ReadAt(b, info.Size()-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	end := bytes.LastIndexByte(b, '\n')
	if end < 0 {
		return nil, nil // empty, or the first line is being written
	}
	a := &ledger.Anchor{}
	return a, json.Unmarshal(b[bytes.LastIndexByte(b[:end], '\n')+1:end], a)
}

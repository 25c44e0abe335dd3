package store

import (
	"database/sql"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// A database of the first version keeps what it has, and its lots go on.
func TestOpen_FirstVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "holdfast.db")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := sqlite.migrations(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		`INSERT INTO lot (key, version, plant, material, supplier, sublot, equipment, doc) VALUES ('lot::M:1', 7, 'p1', 'M', '', '', '',
			'{"key":"lot::M:1","version":7,"plant":"p1","material":"M","usage":[{"system":"s4","usage":"unrestricted","verified_at":"2026-11-24T06:00:00Z","own":"unrestricted"}],"updated_at":"2026-11-24T06:00:00Z","cause":"n-1"}')`,
		`INSERT INTO inbox (id, type, key, lot, plant, door, principal, agent, epoch, lane, seq, topic, part, off, time, recorded, accepted, hash, raw_sha256,
			correlation, causation, headers, value) VALUES ('n-1', 't', 'k', 'lot::M:1', 'p2', 'P', '', 'gw1', 'e', 'quality', 1, '', 0, 0, '', '', '', '', '', '', '', '', '')`,
		`INSERT INTO epoch (plant, agent, epoch, prev, successor, closed, quality, telemetry, superseded, first_seen)
			VALUES ('p1', 'gw1', 'e', 'none', '', 0, 0, 0, 0, '2026-11-24T06:00:00.000000Z')`,
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	var f quality.Facts
	if err := s.View(t.Context(), func(tx *Tx) (err error) { f, err = tx.Facts("lot::M:1"); return err }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.Plants, []event.PlantID{"p1", "p2"}) || f.Version != 7 || len(f.Answers) != 2 || f.Answers[0].Agent != "gw1" || f.Answers[1].Agent != "" {
		t.Errorf("facts are %+v", f)
	}
	// What is free stays free; nothing that is restricted is freed without an answer.
	if got := f.Wanted(quality.Seen{System: "s4", Usage: event.Unrestricted}); got != event.Unrestricted || len(f.Reasons("s4")) != 0 {
		t.Errorf("wanted is %s, reasons %v", got, f.Reasons("s4"))
	}
	if got := f.Wanted(quality.Seen{System: "s4", Usage: event.Restricted, Ours: true}); got != event.Restricted {
		t.Errorf("wanted is %s", got)
	}
}

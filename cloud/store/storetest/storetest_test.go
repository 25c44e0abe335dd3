package storetest

import (
	"database/sql"
	"maps"
	"path/filepath"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/store"
)

// TestOpen: a copy is what the migrations make, and no two of them are one database.
func TestOpen(t *testing.T) {
	t.Run("HasWhatTheMigrationsMake", func(t *testing.T) {
		whole, copied := filepath.Join(t.TempDir(), "whole.db"), filepath.Join(t.TempDir(), "copied.db")
		s, err := store.Open(t.Context(), "sqlite:"+whole)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		OpenAt(t, copied)
		want, got := schema(t, whole), schema(t, copied)
		if len(want) < 10 || !maps.Equal(got, want) {
			t.Errorf("the copy has %d objects, the database %d: %v, %v", len(got), len(want), got, want)
		}
	})
	t.Run("HasAnIdOfItsOwn", func(t *testing.T) {
		a, b := Open(t).ID(), Open(t).ID()
		if len(a) != 16 || len(b) != 16 || a == b {
			t.Errorf("ids are %q and %q", a, b)
		}
	})
}

// schema returns the definition of every table, index and trigger by its kind and name.
func schema(t *testing.T, path string) map[string]string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), `SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		all[name] = text
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

package store

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestNumbered(t *testing.T) {
	for from, want := range map[string]string{
		`SELECT 1`:                          `SELECT 1`,
		`a = ? AND b IN (?, ?)`:             `a = $1 AND b IN ($2, $3)`,
		`a = '?' AND b = ? OR c = 'it''s?'`: `a = '?' AND b = $1 OR c = 'it''s?'`,
		strings.Repeat("?,", 10) + "?":      `$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11`,
	} {
		if got := numbered(from); got != want {
			t.Errorf("%s became %s, want %s", from, got, want)
		}
	}
}

func FuzzStorable(f *testing.F) {
	for _, s := range []string{"", "lot::M:1", "a\x00b", "\xff\xfe", "\xc3", "\U0010FF00", "\U0010FFFF", "\U0010FEFF", "\xf4\x8f", "ü\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		kept := storable(s)
		if !utf8.ValidString(kept) || strings.Contains(kept, "\x00") {
			t.Errorf("%q is kept as %q", s, kept)
		}
		if got := original(kept); got != s {
			t.Errorf("%q came back as %q", s, got)
		}
	})
}

// TestTx_AnyText: what a sender wrote is kept and found, whatever it is.
func TestTx_AnyText(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		for i, key := range []string{"plain", "with\x00nul", "no utf-8 \xff\xc3(", "\U0010FF41 private", strings.Repeat("long ", 20_000), ""} {
			row := DeadletterRow{
				State: Parked, Key: key, EventID: event.ID(key), EventType: event.Type(key), Cause: key, Object: key,
				At: noon, Updated: noon, Message: event.Message{Key: []byte(key), Value: []byte{0, 0xff}},
			}
			update(t, s, func(tx *Tx) error { return tx.AddDeadletter(&row) })
			view(t, s, func(tx *Tx) error {
				rows, err := tx.ParkedOf(key)
				if err != nil || len(rows) != 1 || rows[0].Key != key || string(rows[0].Message.Key) != key || rows[0].Cause != key || string(rows[0].Message.Value) != "\x00\xff" {
					t.Errorf("record %d by its key is %.200s, %v", i, fmt.Sprint(rows), err)
				}
				found, ok, err := tx.DeadletterOfEvent(event.ID(key))
				if err != nil || !ok || found.ID != row.ID || string(found.EventType) != key {
					t.Errorf("record %d by its event is %.200q, %v", i, found.EventType, err)
				}
				return err
			})
		}
	})
}

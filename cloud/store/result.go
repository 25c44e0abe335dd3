package store

import (
	"slices"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// ResultsOf returns the newest limit events that carry a result of a lot, in the order in which they were applied.
func (t *Tx) ResultsOf(lot event.LotKey, limit int) ([]InboxRow, error) {
	rows, err := t.inbox(`SELECT `+inboxColumns+` FROM inbox WHERE lot = ? AND type IN (?, ?, ?) ORDER BY pos DESC LIMIT ?`,
		lot, event.TypeCharacteristicRecorded, event.TypeSafetyFailed, event.TypeDefectDetected, limit)
	slices.Reverse(rows)
	return rows, err
}

package store

import (
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Unread returns at most limit of the open gaps that messages left which an agent did not understand; an empty plant means
// all.
func (t *Tx) Unread(plant event.PlantID, limit int) ([]quality.Gap, error) {
	return docs[quality.Gap](t, `SELECT doc FROM gap WHERE is_open = 1 AND kind = 'quarantine' AND ? IN ('', plant) ORDER BY id LIMIT ?`, plant, limit)
}

package history

import (
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

// OfBook returns what a business system remembers of the effects on it. Lot gives the key of the lot that an entry is
// about, empty if it is about none; nil = the entry's material and batch, which are unique there.
func OfBook(system string, entries []book.Entry, lot func(book.Entry) event.LotKey) History {
	if lot == nil {
		lot = batch
	}
	h := make(History, 0, len(entries))
	for _, e := range entries {
		h = append(h, Fact{
			At: e.At, Kind: EffectSeen, By: system, System: system, Key: e.Key, Lot: lot(e), Effect: e.Kind, Record: e.Record,
			Reference: e.Reference, Detail: e.Detail, Free: e.FreeAfter,
		})
	}
	return h
}

func batch(e book.Entry) event.LotKey {
	if e.Material == "" || e.Batch == "" {
		return ""
	}
	key, err := event.NewLotKey("", e.Material, e.Batch)
	if err != nil {
		return ""
	}
	return key
}

// LotOfKey returns the lot key that an entry's business key begins with or is, as the systems that keep our own ids do.
func LotOfKey(e book.Entry) event.LotKey {
	key, _, _ := strings.Cut(e.Key, "#")
	if _, _, _, err := event.LotKey(key).Parts(); err != nil {
		return ""
	}
	return event.LotKey(key)
}

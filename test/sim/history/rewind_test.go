package history

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// TestRewind proves that the copy has all of the state, has read nothing, and leaves the original as it is: also what
// stands in the log beside the database alone, since the cloud was killed.
func TestRewind(t *testing.T) {
	k := keep(t)
	k.accept("made", &event.LotCreated{OfLot: event.OfLot{Lot: lot}, Material: "MAT-100", Q: event.Quantity{Value: "500", Unit: "kg"}, Origin: "work_order:mes1:4711", MadeAt: event.At(moments(0))}, "P")
	read := Place{Topic: "holdfast.p1.quality.v1", Partition: 3, Offset: 8}
	k.update(func(tx *store.Tx) error {
		_, err := tx.MoveOffset(read.Topic, read.Partition, 0, read.Offset)
		return err
	})
	copied := filepath.Join(t.TempDir(), "below", "holdfast.db")
	if err := Rewind(t.Context(), k.path, copied); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]Place{k.path: {read}, copied: nil} {
		s, err := OpenStore(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if got, err := s.Read(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s has read %v, %v, want %v", path, got, err, want)
		}
		if d, err := s.Dump(t.Context(), "now"); err != nil || len(d.Inbox) != 1 {
			t.Errorf("%s has %d events, %v, want 1", path, len(d.Inbox), err)
		}
	}
	if err := Rewind(t.Context(), k.path, copied); err == nil {
		t.Error("a copy that was there is overwritten")
	}
}

func TestUnread(t *testing.T) {
	sent := History{
		{Kind: Put, Place: Place{Topic: "a", Offset: 4}}, {Kind: Head, Place: Place{Topic: "a", Offset: 7}},
		{Kind: Put, Place: Place{Topic: "a", Partition: 1}}, {Kind: EffectSeen},
	}
	for name, c := range map[string]struct{ read, want []Place }{
		"nothing was read":        {nil, []Place{{Topic: "a"}, {Topic: "a", Partition: 1}}},
		"one record is left":      {[]Place{{Topic: "a", Offset: 7}, {Topic: "a", Partition: 1, Offset: 1}}, []Place{{Topic: "a", Offset: 7}}},
		"all of it was read":      {[]Place{{Topic: "a", Offset: 8}, {Topic: "a", Partition: 1, Offset: 1}}, nil},
		"and more that came then": {[]Place{{Topic: "a", Offset: 9}, {Topic: "a", Partition: 1, Offset: 3}, {Topic: "b", Offset: 2}}, nil},
	} {
		got := Unread(sent, c.read)
		slices.SortFunc(got, func(a, b Place) int { return int(a.Partition - b.Partition) })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v is left, want %v", name, got, c.want)
		}
	}
}

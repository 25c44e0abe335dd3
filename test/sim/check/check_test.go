package check

import (
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/book"
)

const (
	first  = event.Epoch("11111111111111111111111111111111")
	second = event.Epoch("22222222222222222222222222222222")
)

func row(id event.ID, epoch event.Epoch, seq uint64) store.InboxRow {
	return store.InboxRow{Door: "P", Event: &event.Event{
		ID: id, Plant: "p1", Origin: event.Origin{Agent: "gw1", Epoch: epoch, Seq: seq},
		Data: &event.CharacteristicRecorded{OfLot: event.OfLot{Lot: "lot::M:L"}, Evaluation: event.Fail},
	}}
}

// TestCheckers_RejectABadHistory proves that each checker can fail: a check that can't proves nothing.
func TestCheckers_RejectABadHistory(t *testing.T) {
	good := []store.InboxRow{row("n-1", first, 1), row("n-2", first, 2), row("n-3", second, 1)}
	created := row("n-0", first, 9)
	created.Event.Data = &event.LotCreated{OfLot: event.OfLot{Lot: "lot::M:L"}}
	passed := row("n-4", first, 1)
	passed.Event.Data.(*event.CharacteristicRecorded).Evaluation = event.Pass
	ord := Order([]store.EpochRow{{Epoch: first, Prev: event.NoPrev}, {Epoch: second, Prev: event.NewPrev(first, 3, 0)}})
	epochs := []store.EpochRow{{Epoch: first, Closed: true, Quality: 3}}
	covered := func(r store.Ranges) func(*store.EpochRow, event.Lane) store.Ranges {
		return func(_ *store.EpochRow, l event.Lane) store.Ranges {
			if l == event.LaneQuality {
				return r
			}
			return nil
		}
	}
	once := func(book.Entry) int { return 1 }
	entry := func(object string, version int64, who string) store.Sealed {
		return store.Sealed{Entry: store.Entry{Object: object, Version: version, Principal: who}}
	}
	for name, c := range map[string]struct{ good, bad []string }{
		"Lost":     {Lost([]event.ID{"n-1"}, good, nil), Lost([]event.ID{"n-9"}, good, nil)},
		"Phantoms": {Phantoms([]event.ID{"n-1", "n-2", "n-3"}, good), Phantoms([]event.ID{"n-1", "n-2"}, good)},
		"Doubled": {
			Doubled([]book.Entry{{Key: "a", Kind: "x"}, {Key: "b", Kind: "x"}}, once), Doubled([]book.Entry{{Key: "a", Kind: "x"}, {Key: "a", Kind: "x"}}, once),
		},
		"DisorderOfSeqs":     {Disorder(good, ord), Disorder([]store.InboxRow{good[1], good[0]}, ord)},
		"DisorderOfCreation": {Disorder([]store.InboxRow{created, passed}, ord), Disorder([]store.InboxRow{passed, created}, ord)},
		"DisorderOfEpochs":   {Disorder(good, ord), Disorder([]store.InboxRow{good[2], good[0]}, ord)},
		"Holes":              {Holes(epochs, covered(store.Ranges{{From: 1, To: 3}}), nil), Holes(epochs, covered(store.Ranges{{From: 1, To: 2}}), nil)},
		"HolesDeclared": {
			Holes(epochs, covered(store.Ranges{{From: 1, To: 2}}), []event.LossRecorded{{Epoch: first, Lane: event.LaneQuality, FromSeq: 3, ToSeq: 3}}),
			Holes(epochs, covered(store.Ranges{{From: 2, To: 3}}), []event.LossRecorded{{Epoch: second, Lane: event.LaneQuality, FromSeq: 1, ToSeq: 1}}),
		},
		"AuditVersions":   {Audit([]store.Sealed{entry("a", 1, "x"), entry("a", 2, "x")}), Audit([]store.Sealed{entry("a", 1, "x"), entry("a", 3, "x")})},
		"AuditPrincipal":  {nil, Audit([]store.Sealed{entry("a", 1, "")})},
		"EndStateFree":    {EndState(map[string]bool{"L": true}, func(string) bool { return false }), EndState(map[string]bool{"L": true}, func(string) bool { return true })},
		"EndStateBlocked": {EndState(map[string]bool{"L": false}, func(string) bool { return true }), EndState(map[string]bool{"L": false}, func(string) bool { return false })},
	} {
		t.Run(name, func(t *testing.T) {
			if len(c.good) > 0 {
				t.Errorf("a good history is refused: %s", strings.Join(c.good, "; "))
			}
			if len(c.bad) == 0 {
				t.Error("a bad history passes")
			}
		})
	}
}

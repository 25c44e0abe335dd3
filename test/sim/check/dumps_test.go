package check

import (
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

func TestDuplicates(t *testing.T) {
	rejects(t, Duplicates, map[string]bad{
		"an event applied twice": {func(a *tale) { a.applies(*a.find(history.Inbox, "n-pass")) }, "applied twice"},
		"an object changed":      {func(a *tale) { a.run.Redelivered.Objects["lot "+string(lotA)] = `{"version":8}` }, "delivering records again changed lot lot::M:A"},
		"an object appeared":     {func(a *tale) { a.run.Redelivered.Objects["lot x"] = `{}` }, "from nothing to {}"},
		"an effect more":         {func(a *tale) { a.run.Redelivered.Writes["s4"]["flag_set"] = 3 }, "had 1 effects flag_set at s4"},
	})
}

func TestQuotas(t *testing.T) {
	full := func(a *tale) {
		a.add(history.Fact{Kind: history.Queue, Plant: "p1", Agent: "gw1", Origin: history.Origin{Lane: event.LaneQuality}, Size: 200, Quota: 200, State: history.Full})
	}
	acknowledge := func(a *tale, urgent bool) {
		a.add(history.Fact{Kind: history.Acknowledged, Plant: "p1", Event: "n-x", Urgent: urgent})
	}
	rejects(t, Quotas, map[string]bad{
		"more than its quota":     {func(a *tale) { full(a); a.run.History[len(a.run.History)-1].Size = 201 }, "has 201 bytes, its quota is 200"},
		"acknowledged when full":  {func(a *tale) { full(a); acknowledge(a, false) }, "acknowledged although"},
		"quality was shed":        {func(a *tale) { a.find(history.Gap, "gap:shed").Origin.Lane = event.LaneQuality }, "lane quality was shed"},
		"more shed than declared": {func(a *tale) { a.find(history.Gap, "gap:shed").Count = 1 }, "1 records are declared as shed"},
	})
	accepts(t, Quotas, map[string]func(*tale){
		"an urgent one has the reserve": func(a *tale) { full(a); acknowledge(a, true) },
		"there was room again": func(a *tale) {
			full(a)
			a.add(history.Fact{Kind: history.Queue, Plant: "p1", Origin: history.Origin{Lane: event.LaneQuality}, Size: 1, Quota: 200})
			acknowledge(a, false)
		},
		"another plant is full": func(a *tale) { full(a); a.run.History[len(a.run.History)-1].Plant = "p2"; acknowledge(a, false) },
	})
}

func TestChain(t *testing.T) {
	third := func(a *tale) *history.Fact { return a.entries(string(lotA))[2] }
	anchor := func(a *tale) *history.Fact {
		for i := range a.run.History {
			if a.run.History[i].State == history.Anchored {
				return &a.run.History[i]
			}
		}
		return nil
	}
	rejects(t, Chain, map[string]bad{
		"nobody did it":          {func(a *tale) { third(a).Principal = "" }, "was changed by nobody"},
		"a version is missing":   {func(a *tale) { third(a).Version = 9 }, "jumps from version"},
		"a version stands twice": {func(a *tale) { third(a).Version = 2 }, "has two entries"},
		"it begins in the middle": {func(a *tale) {
			for _, x := range a.entries(string(lotA)) {
				x.Version++
			}
			a.run.End.Versions[string(lotA)]++
		}, "begins with version 2"},
		"a change without an entry": {func(a *tale) { a.run.End.Versions[string(lotA)]++ }, "the newest in the ledger is"},
		"an object without entries": {func(a *tale) { a.run.End.Versions["hold:x"] = 1 }, "hold:x has version 1, the newest in the ledger is 0"},
		"a place is missing":        {func(a *tale) { third(a).Place.Offset = 0 }, "the chain jumps from place"},
		"a link does not fit":       {func(a *tale) { third(a).Chain = "forged" }, "does not follow place"},
		"the first place is gone": {func(a *tale) {
			for _, x := range a.run.History.Of(history.Ledger) {
				if x.Place.Offset == 1 {
					x.Place.Offset = 0
				}
			}
		}, "the chain begins at place 2"},
		"the anchor says otherwise": {func(a *tale) { anchor(a).Chain = "other" }, "the anchor says other"},
		"the chain was cut":         {func(a *tale) { anchor(a).Place.Offset = 99 }, "which the chain does not have"},
		"the anchors are too old":   {func(a *tale) { anchor(a).At = at(-200) }, "no anchor covers"},
	})
}

func TestFolds(t *testing.T) {
	rejects(t, Folds, map[string]bad{
		"another state":        {func(a *tale) { a.run.Rebuilt.Objects["lot "+string(lotA)] = `{"version":6}` }, "applying the inbox anew changed lot"},
		"an object is missing": {func(a *tale) { delete(a.run.Rebuilt.Objects, "hold H@"+string(lotB)) }, "to nothing"},
		"other coverage":       {func(a *tale) { a.run.Shuffled.Coverage["p1/gw1 1 quality"] = "1-3" }, `covers "1-3"`},
		"another event":        {func(a *tale) { a.run.Shuffled.Inbox["n-made"] = "x" }, "event n-made is"},
		"a hold was forgotten": {func(a *tale) { delete(a.run.Shuffled.Objects, "hold H@"+string(lotB)) }, `is "", not "safety, open true"`},
		"a hold was lifted":    {func(a *tale) { a.run.Shuffled.Objects["hold H@"+string(lotB)] = `{"kind":"safety","lifted_by":"x"}` }, "open false"},
	})
	accepts(t, Folds, map[string]func(*tale){
		"another version in another order": func(a *tale) { a.run.Shuffled.Objects["hold H@"+string(lotB)] = `{"kind":"safety","version":5}` },
		"there is nothing to compare":      func(a *tale) { a.run.Rebuilt, a.run.Shuffled = nil, nil },
	})
}

func TestReplays(t *testing.T) {
	rejects(t, Replays, map[string]bad{
		"a replay writes":        {func(a *tale) { a.run.Replayed.Writes["s4"]["transfer_344"] = 1 }, "had 1 effects transfer_344 at s4"},
		"a rebuilt one writes":   {func(a *tale) { a.run.Rebuilt.Writes["s4"]["flag_set"] = 4 }, "a database built anew had 2 effects"},
		"a replay changes state": {func(a *tale) { a.run.Replayed.Objects["lot x"] = "{}" }, "a replay into the full database changed lot x"},
	})
}

func TestKept(t *testing.T) {
	parked := func(a *tale, id event.ID, ord int64, state string) *history.Fact {
		return a.add(history.Fact{Kind: history.Parked, Event: id, Lot: lotA, Key: string(lotA), State: state, Ord: ord, Reason: "r", Bytes: "bytes of " + event.Hash(id), At: at(1), Until: at(2)})
	}
	rejects(t, Kept, map[string]bad{
		"other bytes":             {func(a *tale) { parked(a, "n-pass", 1, history.Redriven).Bytes = "x" }, "are not those that its agent sent"},
		"no reason":               {func(a *tale) { parked(a, "n-pass", 1, history.Redriven).Reason = "" }, "kept without a reason"},
		"applied behind its back": {func(a *tale) { x := parked(a, "n-lost", 1, "parked"); x.Until = at(9999) }, "applied while record n-lost of its key was parked"},
		"it still stands": {func(a *tale) {
			x := parked(a, "n-lost", 1, "parked")
			x.Until = a.run.History[0].At.Add(-1)
			x.Until = at(0).AddDate(1, 0, 0)
		}, "was parked"},
		"redriven in another order": {func(a *tale) { parked(a, "n-pass", 1, history.Redriven); parked(a, "n-run", 2, history.Redriven) }, "redriven before record n-pass"},
		"replaced by nothing":       {func(a *tale) { parked(a, "n-x", 1, history.Replaced) }, "replaced by nothing"},
		"the replacement is gone":   {func(a *tale) { parked(a, "n-x", 1, history.Replaced).ReplacedBy = "n-y" }, "which was not applied"},
		"it stands for another":     {func(a *tale) { parked(a, "n-x", 1, history.Replaced).ReplacedBy = "n-pass" }, `names "" as what`},
	})
	accepts(t, Kept, map[string]func(*tale){
		"redriven in order": func(a *tale) { parked(a, "n-run", 1, history.Redriven); parked(a, "n-pass", 2, history.Redriven) },
		"replaced as it says": func(a *tale) {
			parked(a, "n-x", 1, history.Replaced).ReplacedBy = "n-pass"
			a.find(history.Inbox, "n-pass").Cause = "n-x"
		},
		"it waited for an object": func(a *tale) { x := parked(a, "n-x", 1, history.Redriven); x.Object, x.Until = string(lotA), at(9999) },
		"it waits for an object":  func(a *tale) { parked(a, "n-x", 1, history.Waiting).Until = at(9999) },
	})
}

package check

import (
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

func TestAcknowledged(t *testing.T) {
	telemetry := func(a *tale) {
		a.add(history.Fact{Kind: history.Acknowledged, Plant: "p1", Raw: "a", Origin: history.Origin{Lane: event.LaneTelemetry}})
	}
	rejects(t, Acknowledged, map[string]bad{
		"an event is gone":               {func(a *tale) { a.drop(history.Inbox, "n-run") }, "n-run"},
		"a message without id is gone":   {func(a *tale) { a.add(history.Fact{Kind: history.Acknowledged, Plant: "p1", Raw: "odd"}) }, "is lost"},
		"telemetry beyond what was shed": {func(a *tale) { telemetry(a); telemetry(a); telemetry(a) }, "3 of plant p1 are missing, 2 are declared"},
		"it was in a queue and is not": {func(a *tale) {
			a.drop(history.Inbox, "n-run")
			a.find(history.Put, "n-run").Place = history.Place{}
			a.add(history.Fact{Kind: history.Acked, Origin: history.Origin{Epoch: older, Lane: event.LaneQuality, Seq: 4}})
		}, "n-run"},
	})
	accepts(t, Acknowledged, map[string]func(*tale){
		"it is in a queue": func(a *tale) { a.drop(history.Inbox, "n-run"); a.find(history.Put, "n-run").Place = history.Place{} },
		"it is in quarantine": func(a *tale) {
			a.drop(history.Inbox, "n-run")
			a.add(history.Fact{Kind: history.Quarantined, Event: "n-run"})
		},
		"it is a dead letter": func(a *tale) {
			a.drop(history.Inbox, "n-run")
			a.add(history.Fact{Kind: history.Parked, Event: "n-run"})
		},
		"telemetry was shed": telemetry,
		"its payload was read": func(a *tale) {
			a.find(history.Inbox, "n-run").Raw = "x"
			a.add(history.Fact{Kind: history.Acknowledged, Raw: "x"})
		},
		"telemetry is in Kafka": func(a *tale) {
			telemetry(a)
			telemetry(a)
			telemetry(a)
			a.add(history.Fact{Kind: history.Put, Raw: "a", Origin: history.Origin{Lane: event.LaneTelemetry}, Place: history.Place{Topic: "t"}})
		},
	})
}

func TestInvented(t *testing.T) {
	rejects(t, Invented, map[string]bad{
		"nobody offered it":          {func(a *tale) { a.drop(history.Offered, "n-pass") }, "was applied and never offered"},
		"its content is another one": {func(a *tale) { a.find(history.Inbox, "n-pass").Hash = "forged" }, "with the content forged"},
		"nobody at the door said so": {func(a *tale) { a.drop(history.Offered, "disposition:qms1:D-1") }, "no feed or person offered it"},
		"a person said so once":      {func(a *tale) { x := *a.find(history.Inbox, "disposition:qms1:D-1"); x.Event = "n-again"; a.applies(x) }, "n-again"},
		"an effect that nobody wanted": {func(a *tale) {
			a.applies(history.Fact{Door: "C", Event: "n-x", Type: event.TypeEffectSettled, Object: "x"})
		}, "nobody wanted"},
		"an agent that does not exist": {func(a *tale) { a.find(history.Inbox, "n-opened-1").Origin = history.Origin{} }, "names no agent"},
	})
	accepts(t, Invented, map[string]func(*tale){
		"an effect was settled": func(a *tale) {
			a.applies(history.Fact{Door: "C", Event: "n-x", Type: event.TypeEffectSettled, Object: "disposition:qms1:D-1"})
		},
		"the ERP showed a change": func(a *tale) {
			a.applies(history.Fact{Door: "C", Event: "n-x", Type: event.TypeLotStatusChanged, Lot: lotA})
		},
		"the content is not known":  func(a *tale) { a.find(history.Offered, "n-pass").Hash = "" },
		"a timer fired":             func(a *tale) { a.applies(history.Fact{Door: "C", Event: "n-x", Type: event.TypeTimerFired}) },
		"an agent speaks of itself": func(a *tale) { a.sends(newer, event.TypeActRecorded, "", "n-act") },
	})
}

func TestEffects(t *testing.T) {
	rejects(t, Effects, map[string]bad{
		"one reference, two records": {func(a *tale) { a.shows("s4", lotA, "usage_decision", "HF00000000000001", true).Record = "doc-2" }, "took place twice: in records"},
		"nobody asked for it":        {func(a *tale) { a.shows("s4", lotA, "transfer_344", "HF99999999999999", true) }, "nobody asked for"},
		"twice in a row":             {func(a *tale) { a.shows("wms1", lotA, "tasks_released", "", false) }, "tasks_released took place twice in a row"},
		"two records of one case": {func(a *tale) {
			x := *a.find(history.EffectSeen, "record_created")
			x.Reference, x.Record = "", "QE-2"
			a.add(x)
		}, "it has 2 records"},
		"a message twice":         {func(a *tale) { a.shows("mail", lotA, "notice_duplicate", "id", false) }, "delivered twice"},
		"free under a hold":       {func(a *tale) { a.shows("s4", lotB, "flag_cleared", "", true) }, "is free at s4, under hold hold:mes1:I-B"},
		"granted and never freed": {func(a *tale) { a.drop(history.EffectSeen, "flag_cleared") }, "is not free at s4, although"},
	})
	accepts(t, Effects, map[string]func(*tale){
		"released again after a hold": func(a *tale) {
			a.shows("wms1", lotA, "tasks_held", "", false)
			a.shows("wms1", lotA, "tasks_released", "", false)
		},
		"only the newest intent is known": func(a *tale) {
			a.find(history.Intent, "disposition:qms1:D-1").By = "cloud"
			a.shows("s4", lotA, "transfer_344", "HF99999999999999", true)
		},
		"several items of one record":    func(a *tale) { a.shows("s4", lotA, "usage_decision", "HF00000000000001", true) },
		"somebody restricted it by hand": func(a *tale) { a.shows("s4", lotA, "hand_344", "by hand", false) },
		"a hold after the grant": func(a *tale) {
			a.shows("s4", lotA, "flag_set", "", false)
			a.add(history.Fact{Kind: history.Hold, Lot: lotA, Hold: "H", State: history.Placed, Pos: a.pos + 1})
		},
	})
}

func TestSequence(t *testing.T) {
	swap := func(a *tale, one, other string) {
		x, y := a.find(history.Inbox, one), a.find(history.Inbox, other)
		x.Pos, y.Pos = y.Pos, x.Pos
	}
	failed := func(a *tale) *history.Fact {
		return a.add(history.Fact{Kind: history.Parked, Event: "n-urgent", Urgent: true, Lot: lotA, Key: string(lotA), State: "parked", Reason: "it made its handler panic", Bytes: "b"})
	}
	rejects(t, Sequence, map[string]bad{
		"a seq before an older one":     {func(a *tale) { swap(a, "n-run", "n-pass") }, "seq 3 of epoch 11111111 was applied after seq 4"},
		"an epoch before an older one":  {func(a *tale) { swap(a, "n-pass", "n-end") }, "of epoch 11111111 was applied after seq 2 of epoch 22222222"},
		"an offset before an older one": {func(a *tale) { a.find(history.Inbox, "n-run").Place.Offset = 90 }, "offset 3 was applied after offset 90"},
		"an urgent one failed silently": {func(a *tale) { failed(a) }, "no hold of kind system"},
	})
	accepts(t, Sequence, map[string]func(*tale){
		"an urgent one went ahead": func(a *tale) { a.find(history.Inbox, "n-pass").Urgent = true; swap(a, "n-run", "n-pass") },
		"a redriven one came later": func(a *tale) {
			swap(a, "n-run", "n-pass")
			a.add(history.Fact{Kind: history.Parked, Event: "n-run", State: history.Redriven})
		},
		"a failed urgent one held it": func(a *tale) {
			failed(a)
			a.add(history.Fact{Kind: history.Hold, Lot: lotA, Hold: "S", HoldKind: "system", State: history.Placed})
		},
		"another lot is another order": func(a *tale) { a.find(history.Inbox, "n-pass").Lot = lotB; swap(a, "n-run", "n-pass") },
	})
}

// placed puts a hold in front of the release of lot A, gap a time in which its machine was not seen.
func placed(a *tale) *history.Fact {
	return a.add(history.Fact{Kind: history.Hold, Lot: lotA, Hold: "H-1", State: history.Placed, HoldKind: "quality", Pos: 2, At: at(1)})
}

func gap(a *tale, equipment string) *history.Fact {
	run := a.find(history.Inbox, "n-run").Time
	return a.add(history.Fact{Kind: history.Gap, Plant: "p1", Gap: "gap:1", State: history.Open, Equipment: equipment, Reason: "watchdog", From: run, To: run.Add(1), Pos: 5})
}

func TestReleases(t *testing.T) {
	lift := func(a *tale) {
		a.add(history.Fact{Kind: history.Hold, Lot: lotA, Hold: "H-1", State: history.Lifted, Pos: 3, At: at(2)})
	}
	rejects(t, Releases, map[string]bad{
		"under a hold":          {func(a *tale) { placed(a) }, "granted under hold H-1"},
		"under a hold by scope": {func(a *tale) { h := placed(a); h.Lot, h.Scope = "", `{"kind":"material","value":"M","plant":"p1"}` }, "granted under hold H-1"},
		"a machine's scope": {func(a *tale) {
			h := placed(a)
			h.Lot, h.Scope = "", `{"kind":"equipment","value":"press1","plant":"p1"}`
		}, "granted under hold H-1"},
		"another hold was lifted": {func(a *tale) { placed(a); lift(a); h := placed(a); h.Hold = "H-2" }, "granted under hold H-2"},
		"something is parked": {func(a *tale) {
			a.add(history.Fact{Kind: history.Parked, Event: "n-p", Lot: lotA, At: at(1), Reason: "r"})
		}, "while record n-p was parked"},
		"something is in quarantine": {func(a *tale) {
			a.add(history.Fact{Kind: history.Quarantined, Event: "n-q", Lot: lotA, At: at(1), Reason: "r"})
		}, "was quarantined"},
		"nobody answered":            {func(a *tale) { a.find(history.Release, string(lotA)).Barrier = 7 }, "without an answer of agent p1/gw1 to barrier 7"},
		"another agent is silent":    {func(a *tale) { a.add(history.Fact{Kind: history.Epoch, Plant: "p1", Agent: "gw2", At: at(0)}) }, "agent p1/gw2"},
		"what was stated came later": {func(a *tale) { a.find(history.Inbox, "n-done").Pos = 99 }, "which agent p1/gw1 had on disk"},
		"a gap of its machine":       {func(a *tale) { gap(a, "press1") }, "gap gap:1 (watchdog) was open"},
		"a gap of the plant":         {func(a *tale) { gap(a, "") }, "gap gap:1 (watchdog) was open"},
		"a gap of the lot itself":    {func(a *tale) { g := gap(a, "press9"); g.Lot = lotA }, "gap gap:1 (watchdog) was open"},
		"records of quality are lost": {func(a *tale) {
			g := gap(a, "")
			g.Origin = history.Origin{Epoch: older, Lane: event.LaneQuality, Seq: 2}
			g.ToSeq = 3
		}, "was open"},
		"a run whose start was not seen": {func(a *tale) { gap(a, "press1"); a.drop(history.Inbox, "n-run") }, "was open"},
		"no run is known, made there":    {func(a *tale) { gap(a, "press1"); a.drop(history.Inbox, "n-run"); a.drop(history.Inbox, "n-end") }, "was open"},
		"accepted for another lot": {func(a *tale) {
			gap(a, "press1")
			a.add(history.Fact{Kind: history.Gap, Gap: "gap:1", State: history.Accepted, Lot: lotB, Pos: 5})
		}, "was open"},
		"accepted too late": {func(a *tale) {
			gap(a, "press1")
			a.add(history.Fact{Kind: history.Gap, Gap: "gap:1", State: history.Accepted, Lot: lotA, Pos: 99})
		}, "was open"},
		"freed without a grant": {func(a *tale) { a.drop(history.Release, string(lotA)) }, "no release was granted"},
		"freed before the grant": {func(a *tale) {
			a.find(history.EffectSeen, "flag_cleared").At = at(3)
			a.find(history.EffectSeen, "flag_set").At = at(2)
			a.find(history.EffectSeen, "usage_decision").At = at(2)
		}, "no release was granted"},
		"somebody else's restriction": {func(a *tale) {
			a.add(history.Fact{Kind: history.Hold, Lot: lotA, HoldKind: foreign, State: history.Placed, At: at(1)})
		}, "somebody else had restricted it"},
		"a later hold is not heeded": {func(a *tale) {
			h := placed(a)
			h.Pos, h.At = 98, at(100)
			a.add(history.Fact{Kind: history.Clock, At: at(161)})
		}, "still free at s4 1m0s after hold H-1"},
	})
	accepts(t, Releases, map[string]func(*tale){
		"the hold was lifted": func(a *tale) { placed(a); lift(a) },
		"a scope that does not match": func(a *tale) {
			h := placed(a)
			h.Lot, h.Scope = "", `{"kind":"equipment","value":"press2","plant":"p1"}`
		},
		"the run ended before a hold had its time": func(a *tale) { h := placed(a); h.Pos, h.At = 98, at(100) },
		"the end of its run came in before its beginning": func(a *tale) {
			g, run := gap(a, "press1"), a.find(history.Inbox, "n-run")
			g.From, g.To = run.Time.Add(-9*time.Second), run.Time.Add(-8*time.Second)
			run.Pos = a.find(history.Inbox, "n-end").Pos
			a.find(history.Inbox, "n-end").Pos--
		},
		"a hold after it is heeded": func(a *tale) {
			h := placed(a)
			h.Pos, h.At = 98, at(100)
			a.shows("s4", lotA, "flag_set", "", false).At = at(159)
		},
		"heeded when the ERP was back": func(a *tale) {
			h := placed(a)
			h.Pos, h.At = 98, at(100)
			a.add(history.Fact{Kind: history.Fault, Object: "s4", State: history.Begun, At: at(90)})
			a.add(history.Fact{Kind: history.Fault, Object: "s4", State: history.Ended, At: at(200)})
			a.shows("s4", lotA, "flag_set", "", false).At = at(255)
		},
		"a gap of another machine":     func(a *tale) { gap(a, "press2") },
		"a gap of the plant before it": func(a *tale) { g := gap(a, ""); g.From, g.To = at(-9), at(-8) },
		"records lost before it": func(a *tale) {
			g := gap(a, "")
			g.Origin = history.Origin{Epoch: older, Lane: event.LaneQuality, Seq: 2}
			g.ToSeq, g.Pos = 3, 1
		},
		"made there after the gap": func(a *tale) {
			g := gap(a, "press1")
			g.From, g.To = at(-9), at(-8)
			a.drop(history.Inbox, "n-run")
			a.drop(history.Inbox, "n-end")
		},
		"a gap before its run": func(a *tale) { g := gap(a, "press1"); g.From, g.To = at(-9), at(-8) },
		"a gap that was closed": func(a *tale) {
			gap(a, "press1")
			a.add(history.Fact{Kind: history.Gap, Gap: "gap:1", State: history.Closed, Pos: 6})
		},
		"a gap that was accepted": func(a *tale) {
			gap(a, "press1")
			a.add(history.Fact{Kind: history.Gap, Gap: "gap:1", State: history.Accepted, Lot: lotA, Pos: 6})
		},
		"a missing answer was accepted": func(a *tale) {
			a.find(history.Release, string(lotA)).Barrier = 7
			a.add(history.Fact{Kind: history.Gap, Agents: []string{"p1/gw1"}, State: history.Accepted, Lot: lotA, Pos: 6})
		},
		"a hold came after the answer": func(a *tale) {
			x := a.sends(newer, event.TypeHoldPlaced, lotA, "n-hold")
			a.add(history.Fact{Kind: history.Hold, Lot: lotA, Hold: "H", State: history.Placed, Pos: x.Pos, At: at(100)})
			a.shows("s4", lotA, "flag_set", "", false).At = at(101)
		},
		"it was read again before": func(a *tale) {
			a.add(history.Fact{Kind: history.Parked, Event: "n-p", Lot: lotA, At: at(1), Until: at(2), State: history.Redriven})
		},
	})
}

func TestSignatures(t *testing.T) {
	accepted := func(a *tale, signatures ...history.Signature) *history.Fact {
		return a.add(history.Fact{Kind: history.Gap, Plant: "p1", Gap: "gap:1", State: history.Accepted, Lot: lotA, Signatures: signatures})
	}
	anna, ben := history.Signature{By: "anna", Hash: "record"}, history.Signature{By: "ben", Hash: "record"}
	rejects(t, Signatures, map[string]bad{
		"one person":       {func(a *tale) { accepted(a, anna) }, "1 persons signed"},
		"one person twice": {func(a *tale) { accepted(a, anna, anna) }, "anna signed twice"},
		"nobody":           {func(a *tale) { accepted(a) }, "0 persons signed"},
		"two records":      {func(a *tale) { accepted(a, anna, history.Signature{By: "ben", Hash: "another"}) }, "two different records"},
		"no record":        {func(a *tale) { accepted(a, anna, history.Signature{By: "ben"}) }, "covers no record"},
		"another one than exported": {func(a *tale) {
			accepted(a, anna, ben)
			a.run.Records = func(*history.Fact) event.Hash { return "exported" }
		}, "not the one of the export"},
		"nobody decided":  {func(a *tale) { a.drop(history.Inbox, "disposition:qms1:D-1") }, "nobody decided so"},
		"it was rejected": {func(a *tale) { a.find(history.Inbox, "disposition:qms1:D-1").Detail = "reject" }, "says reject"},
		"it was revised": {func(a *tale) {
			x := *a.find(history.Inbox, "disposition:qms1:D-1")
			x.Record, x.Object, x.Detail, x.Type = x.Object, "disposition:qms1:D-2", "scrap", event.TypeDispositionRevised
			a.add(x)
		}, "D-2 says scrap"},
		"the QMS does not have it": {func(a *tale) { a.drop(history.Offered, "disposition:qms1:D-1") }, "which the QMS does not have"},
		"the QMS says otherwise":   {func(a *tale) { a.find(history.Offered, "disposition:qms1:D-1").Detail = "reject" }, "which says reject in the QMS"},
	})
	accepts(t, Signatures, map[string]func(*tale){
		"two persons, one record": func(a *tale) {
			accepted(a, anna, ben)
			a.run.Records = func(*history.Fact) event.Hash { return "record" }
		},
		"one where the plant says so":  func(a *tale) { accepted(a, anna); a.run.OneSigner = []string{"p1"} },
		"a material without decisions": func(a *tale) { a.drop(history.Inbox, "disposition:qms1:D-1"); a.run.Undecided = []string{"M"} },
	})
}

func TestCoverage(t *testing.T) {
	rejects(t, Coverage, map[string]bad{
		"a hole in a closed epoch": {func(a *tale) { a.find(history.Epoch, string(older)).Covered["quality"] = history.Seqs{{1, 2}, {4, 4}} }, "seqs 3-3 of lane quality"},
		"its end is missing":       {func(a *tale) { a.find(history.Epoch, string(older)).Closing["quality"] = 6 }, "seqs 5-6"},
		"a hole in an open epoch":  {func(a *tale) { a.find(history.Epoch, string(newer)).Covered["quality"] = history.Seqs{{2, 5}} }, "seqs 1-1"},
		"an agent stated more": {func(a *tale) {
			a.add(history.Fact{Kind: history.Head, Heads: []history.Stated{{Epoch: newer, Quality: 9}}})
		}, "seqs 6-9"},
		"a loss without a cause": {func(a *tale) { a.find(history.Gap, "gap:shed").Reason = "" }, "seqs 4-5 of lane telemetry"},
		"a loss of another lane": {func(a *tale) { a.find(history.Gap, "gap:shed").Origin.Lane = event.LaneQuality }, "seqs 4-5 of lane telemetry"},
	})
}

func TestObserved(t *testing.T) {
	shown := func(a *tale) *history.Fact {
		return a.add(history.Fact{Kind: history.Offered, Plant: "p1", Equipment: "press1", Event: "n-shown", At: at(90)})
	}
	recorded := func(a *tale) *history.Fact {
		g := gap(a, "press1")
		g.Type, g.From, g.To = event.TypeGapRecorded, at(89), at(91)
		return g
	}
	rejects(t, Observed, map[string]bad{
		"what was shown never came":   {func(a *tale) { shown(a) }, "it never came, and no gap is declared"},
		"the gap is another one's":    {func(a *tale) { shown(a); recorded(a).Equipment = "press2" }, "no gap is declared"},
		"the gap is another plant's":  {func(a *tale) { shown(a); recorded(a).Plant = "p2" }, "no gap is declared"},
		"the gap was over":            {func(a *tale) { shown(a); recorded(a).To = at(89) }, "no gap is declared"},
		"the gap came later":          {func(a *tale) { shown(a); recorded(a).From = at(93) }, "no gap is declared"},
		"a quarantine is no gap":      {func(a *tale) { shown(a); recorded(a).Type = event.TypeRecordQuarantined }, "no gap is declared"},
		"a gap that does not say why": {func(a *tale) { recorded(a).Reason = "" }, "does not say where, or why"},
	})
	accepts(t, Observed, map[string]func(*tale){
		"it came":                func(a *tale) { shown(a).Event = "n-pass" },
		"a gap was declared":     func(a *tale) { shown(a); recorded(a) },
		"a gap that lasts":       func(a *tale) { shown(a); recorded(a).To = time.Time{} },
		"it was shown too late":  func(a *tale) { shown(a); recorded(a).From = at(92) },
		"it waits for something": func(a *tale) { shown(a); a.add(history.Fact{Kind: history.Parked, Event: "n-shown"}) },
	})
}

func TestEpochs(t *testing.T) {
	second := func(a *tale, state string) {
		a.add(history.Fact{Kind: history.Epoch, Plant: "p1", Agent: "gw1", Origin: history.Origin{Epoch: "3333"}, Prev: older, State: state})
	}
	rejects(t, Epochs, map[string]bad{
		"two successors":     {func(a *tale) { second(a, history.Open) }, "both follow"},
		"beyond its closing": {func(a *tale) { a.find(history.Epoch, string(older)).Closing["quality"] = 3 }, "beyond the closing of its epoch at 3"},
		"an unknown epoch":   {func(a *tale) { a.find(history.Inbox, "n-pass").Origin.Epoch = "3333" }, "is not known"},
		"a second beginning": {func(a *tale) { a.find(history.Epoch, string(newer)).Prev = "" }, "both follow"},
	})
	accepts(t, Epochs, map[string]func(*tale){
		"one was superseded": func(a *tale) { second(a, history.Superseded) },
		"an urgent one beyond it": func(a *tale) {
			a.find(history.Inbox, "n-pass").Urgent = true
			a.find(history.Epoch, string(older)).Closing["quality"] = 3
		},
		"another agent, no chain": func(a *tale) {
			a.add(history.Fact{Kind: history.Epoch, Plant: "p2", Agent: "gw1", Origin: history.Origin{Epoch: "3333"}, State: history.Open})
		},
	})
}

func TestContents(t *testing.T) {
	twice := func(a *tale) *history.Fact {
		x := *a.find(history.Put, "n-pass")
		x.Hash, x.Raw = "another", "payload"
		return a.add(x)
	}
	rejects(t, Contents, map[string]bad{
		"two contents, one dropped": {func(a *tale) { twice(a) }, "content another stands beside another one under the same id"},
		"two events at one place":   {func(a *tale) { x := twice(a); x.Event = "n-other" }, "the same place in its queue"},
		"offered with another":      {func(a *tale) { x := twice(a); x.Kind, x.Origin = history.Offered, history.Origin{} }, "the same id"},
	})
	accepts(t, Contents, map[string]func(*tale){
		"it is in quarantine": func(a *tale) {
			twice(a)
			a.add(history.Fact{Kind: history.Quarantined, Event: "n-pass", Hash: "another"})
		},
		"the same payload, read anew":   func(a *tale) { twice(a); a.find(history.Inbox, "n-pass").Raw = "payload" },
		"the same content is no matter": func(a *tale) { a.add(*a.find(history.Put, "n-pass")) },
	})
	a := good()
	twice(a)
	if f := Contents(&a.run); f.Judged == 0 {
		t.Error("nothing was judged")
	}
}

package history

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

const (
	lot   = event.LotKey("lot::MAT-100:L-1")
	epoch = event.Epoch("11111111111111111111111111111111")
)

func moments(second int) time.Time {
	return time.Date(2026, 11, 24, 6, 0, second, 0, time.UTC)
}

// kept is the cloud's own store, in the form that it has today, with what a test puts in.
type kept struct {
	t     *testing.T
	path  string
	store *store.Store
	seq   uint64
}

func keep(t *testing.T) *kept {
	t.Helper()
	path := filepath.Join(t.TempDir(), "holdfast.db")
	s, err := store.Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &kept{t: t, path: path, store: s}
}

func (k *kept) update(f func(*store.Tx) error) {
	k.t.Helper()
	if err := k.store.Update(k.t.Context(), f); err != nil {
		k.t.Fatal(err)
	}
}

// accept puts an event in the inbox, with a ledger entry of its lot.
func (k *kept) accept(id string, data event.Data, door string) event.ID {
	k.t.Helper()
	k.seq++
	data.ReadBy().Source = "test"
	e := &event.Event{
		ID: event.NaturalID("p1", "mes1", []string{id}, data.Type(), 0), Source: "/p1/mes1", Time: moments(int(k.seq)), Recorded: moments(int(k.seq)),
		Plant: "p1", Data: data,
	}
	if door == "P" {
		spec, _ := event.Lookup(data.Type())
		e.Origin = event.Origin{Agent: "gw1", Epoch: epoch, Prev: event.NoPrev, Lane: spec.Lane, Seq: k.seq}
	}
	if err := e.Seal("gw1"); err != nil {
		k.t.Fatal(err)
	}
	k.update(func(tx *store.Tx) error {
		row := store.InboxRow{Event: e, Door: door, Place: store.Place{Topic: "holdfast.p1.quality.v1", Offset: int64(k.seq)}, Accepted: moments(int(k.seq) + 1)}
		if err := tx.PutInbox(&row); err != nil {
			return err
		}
		return tx.AddEntry(&store.Entry{
			At: moments(int(k.seq) + 1), Principal: "p1/gw1", Act: string(data.Type()), Object: string(lot), Version: int64(k.seq), EventID: e.ID, Lot: lot,
		})
	})
	return e.ID
}

func (k *kept) read() History {
	k.t.Helper()
	s, err := OpenStore(k.path)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	h, err := s.History(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	return h
}

func measured(evaluation event.Evaluation, inspection string) *event.CharacteristicRecorded {
	return &event.CharacteristicRecorded{
		OfLot: event.OfLot{Lot: lot}, InspectionID: event.ObjectID("inspection:mes1:" + inspection), Characteristic: "torque", SampleNo: 1, Kind: event.Variable,
		Value: "61.2", Unit: "N.m", LSL: "40", USL: "50", Evaluation: evaluation, Equipment: "press1", MeasuredAt: event.At(moments(1)),
	}
}

// TestStore_Holds derives the holds of a lot from its inbox: once for each inspection, and anew after a lift.
func TestStore_Holds(t *testing.T) {
	k := keep(t)
	ofLot, at := event.OfLot{Lot: lot}, event.At(moments(1))
	k.accept("made", &event.LotCreated{OfLot: ofLot, Material: "MAT-100", Q: event.Quantity{Value: "5", Unit: "kg"}, Origin: "work_order:mes1:1", Equipment: "press1"}, "P")
	k.accept("pass", measured(event.Pass, "I-1"), "P")
	k.accept("fail", measured(event.Fail, "I-1"), "P")
	k.accept("unsafe", &event.SafetyFailed{OfLot: ofLot, InspectionID: "inspection:mes1:I-1", Characteristic: "torque", Evaluation: event.Fail, Value: "61.2", Unit: "N.m", USL: "50", Equipment: "press1", MeasuredAt: at}, "P")
	k.accept("held", &event.HoldPlaced{MayLot: event.MayLot(ofLot), HoldID: "hold:mes1:H-1", HoldKind: event.HoldDoc, Reason: "r", PlacedBy: "o", PlacedAt: at, Authority: event.AuthorityOperator}, "P")
	k.accept("lift", &event.HoldLifted{MayLot: event.MayLot(ofLot), HoldID: "hold:mes1:I-1", Reason: "r", LiftedBy: "alice", LiftedAt: at, Authority: event.AuthorityQuality}, "C")
	again := k.accept("verdict", &event.InspectionCompleted{
		OfInspection: event.OfInspection{OfLot: ofLot, InspectionID: "inspection:mes1:I-1"}, InspectionType: event.InspectionFinal, Verdict: event.VerdictFail, SpecRev: "3", CompletedAt: at, ResultCount: 1,
	}, "P")
	scope := &event.Scope{Kind: event.ScopeMaterial, Value: "MAT-100", Plant: "p1"}
	k.accept("scope", &event.HoldPlaced{HoldID: "hold:mes1:S-1", Scope: scope, HoldKind: event.HoldRecall, Reason: "r", PlacedBy: "o", PlacedAt: at, Authority: event.AuthorityQuality}, "C")
	var got []string
	for _, f := range k.read().Of(Hold) {
		got = append(got, f.State+" "+f.Hold+" "+f.HoldKind+" "+f.Scope)
	}
	want := []string{
		"placed hold:mes1:I-1 quality ", "placed hold:mes1:I-1 safety ", "placed hold:mes1:H-1 doc ", "lifted hold:mes1:I-1  ",
		"placed hold:" + string(again) + " quality ", `placed hold:mes1:S-1 recall {"kind":"material","value":"MAT-100","plant":"p1"}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("holds\n%q, want\n%q", got, want)
	}
}

// TestStore_History reads all else that a store holds.
func TestStore_History(t *testing.T) {
	k := keep(t)
	ofLot, at := event.OfLot{Lot: lot}, event.At(moments(1))
	k.accept("run", &event.RunStarted{Run: event.Run{OfLot: ofLot, RunID: "run:mes1:R", Equipment: "press1", WorkOrder: "work_order:mes1:1", At: at}}, "P")
	k.accept("gap", &event.GapRecorded{GapID: "gap:gw1:1", Source: "press1", Equipment: "press1", From: at, To: at, Reason: event.GapDisconnect}, "P")
	k.accept("closed", &event.GapClosed{GapID: "gap:gw1:1", Source: "press1", From: at, To: at, Reason: "history", Filled: 1}, "P")
	odd := k.accept("odd", &event.RecordQuarantined{MayLot: event.MayLot(ofLot), Source: "press1", Item: "x", Reason: "a unit", Equipment: "press1", RawSHA256: sum(nil)}, "P")
	k.accept("loss", &event.LossRecorded{Epoch: epoch, Lane: event.LaneTelemetry, FromSeq: 4, ToSeq: 9, From: at, To: at, Count: 6, Cause: event.LossShed, Sources: []event.Name{}}, "P")
	k.accept("signed", &event.EvidenceAccepted{
		OfLot: ofLot, GapID: event.ObjectID("gap:" + odd), By: []event.Name{"anna", "ben"}, Reason: "seen",
		Signatures: []event.Signature{{By: "anna", PrintedName: "Anna", Meaning: "accepted", At: at, RecordHash: sum(nil)}, {By: "ben", PrintedName: "Ben", Meaning: "accepted", At: at, RecordHash: sum(nil)}},
	}, "C")
	k.accept("decided", &event.DispositionDecided{Disposition: event.Disposition{
		OfLot: ofLot, DispositionID: "disposition:qms1:D", Q: event.Quantity{Value: "5", Unit: "kg"}, Decision: event.DecisionRelease, SignedBy: "quinn", Reason: "good", DecidedAt: at,
	}}, "C")
	grant := k.accept("answered", &event.TimerFired{MayLot: event.MayLot(ofLot), Timer: timerAnswered, Object: string(lot) + "#418#1", Due: at}, "C")
	k.update(func(tx *store.Tx) error {
		late := &event.TimerFired{MayLot: event.MayLot(ofLot), Timer: timerAnswered, Object: string(lot) + "#419#1", Due: at}
		late.ReadBy().Source = "test"
		e := &event.Event{ID: event.NaturalID("", "holdfast", []string{"late"}, late.Type(), 0), Source: "/holdfast", Time: moments(1), Recorded: moments(1), Data: late}
		if err := e.Seal("gw1"); err != nil {
			return err
		}
		if err := tx.PutInbox(&store.InboxRow{Event: e, Door: "C", Accepted: moments(30)}); err != nil {
			return err
		}
		if err := tx.PutEpoch(&store.EpochRow{Plant: "p1", Agent: "gw1", Epoch: epoch, Prev: event.NoPrev, Closed: true, Quality: 8, Telemetry: 9, FirstSeen: moments(0)}); err != nil {
			return err
		}
		for part, ranges := range []store.Ranges{{{From: 1, To: 3}}, {{From: 4, To: 8}}} {
			key := store.CoverageKey{Plant: "p1", Agent: "gw1", Epoch: epoch, Lane: event.LaneQuality, Partition: int32(part)}
			if err := tx.AddCoverage(key, ranges); err != nil {
				return err
			}
		}
		row := store.DeadletterRow{
			State: store.Redriven, Key: string(lot), Lot: lot, Plant: "p1", EventID: odd, EventType: event.TypeHoldPlaced, Cause: "it failed", Door: "P", At: moments(3),
			Updated: moments(4), Message: event.Message{Value: []byte("raw"), Headers: []event.Header{{Key: event.HeaderHash, Value: []byte("hash")}}},
		}
		if err := tx.AddDeadletter(&row); err != nil {
			return err
		}
		intent := quality.Intent{Kind: quality.UsageDecisionPost, System: "s4", Object: "disposition:qms1:D", Lot: lot, CommandID: "cmd:w1:disposition:qms1:D:usage_decision:1"}
		_, err := tx.WantEffect(intent, 1, e, moments(5))
		return err
	})
	h := k.read()

	runs := h.Of(Inbox)
	if f := runs[0]; f.Type != event.TypeRunStarted || f.Equipment != "press1" || f.Lot != lot || f.Plant != "p1" || f.Agent != "gw1" || f.Origin.Seq != 1 ||
		f.Place.Topic != "holdfast.p1.quality.v1" || f.Pos != 1 || !f.At.Equal(moments(2)) || !f.Time.Equal(moments(1)) || f.Hash == "" || f.Bytes == "" || f.Urgent {
		t.Errorf("inbox %+v", f)
	}
	if f := runs[6]; f.Object != "disposition:qms1:D" || f.Detail != "release" || f.Door != "C" {
		t.Errorf("disposition %+v", f)
	}
	var gaps []string
	for _, f := range h.Of(Gap) {
		gaps = append(gaps, f.State+" "+f.Gap+" "+f.Reason)
	}
	if want := []string{"open gap:gw1:1 disconnect", "closed gap:gw1:1 history", "open gap:" + string(odd) + " a unit", "open gap:" + gapOf(runs[4]) + " shed", "accepted gap:" + string(odd) + " seen"}; !slices.Equal(gaps, want) {
		t.Errorf("gaps\n%q, want\n%q", gaps, want)
	}
	if f := h.Of(Gap)[3]; f.Origin.Seq != 4 || f.ToSeq != 9 || f.Count != 6 || f.Origin.Lane != event.LaneTelemetry {
		t.Errorf("loss %+v", f)
	}
	if f := h.Of(Gap)[4]; len(f.Signatures) != 2 || f.Signatures[1].By != "ben" || f.Signatures[1].Hash != sum(nil) || f.Lot != lot {
		t.Errorf("acceptance %+v", f)
	}
	if all := h.Of(Release); len(all) != 1 || all[0].Event != grant || all[0].Lot != lot || all[0].Barrier != 418 || all[0].Pos != 8 {
		t.Errorf("releases %+v, want the one that changed the lot", all)
	}
	if all := h.Of(Epoch); len(all) != 1 || all[0].State != Closed || all[0].Closing["quality"] != 8 || all[0].Covered["quality"].String() != "1-8" || all[0].Prev != "" {
		t.Errorf("epochs %+v", all)
	}
	if all := h.Of(Parked); len(all) != 1 || all[0].State != Redriven || !all[0].Until.Equal(moments(4)) || !all[0].Urgent || all[0].Hash != "hash" || all[0].Bytes != sum([]byte("raw")) || all[0].Reason != "it failed" {
		t.Errorf("parked %+v", all)
	}
	if all := h.Of(Intent); len(all) != 1 || all[0].System != "s4" || all[0].Reference != string(quality.Reference("cmd:w1:disposition:qms1:D:usage_decision:1")) {
		t.Errorf("intents %+v", all)
	}
	if all := h.Of(Ledger); len(all) != 8 || all[7].Version != 8 || all[7].Principal != "p1/gw1" || all[7].Object != string(lot) {
		t.Errorf("%d ledger entries, %+v", len(all), all[len(all)-1])
	}
}

func gapOf(f *Fact) string { return string(f.Event) }

func TestStore_Dump(t *testing.T) {
	k := keep(t)
	k.accept("pass", measured(event.Pass, "I-1"), "P")
	put := func(version int64) {
		k.update(func(tx *store.Tx) error {
			if err := tx.PutLot(&quality.Lot{Key: lot, Version: version, Plant: "p1", Material: "MAT-100"}); err != nil {
				return err
			}
			return tx.PutHold(&quality.Hold{ID: "hold:mes1:H", Lot: lot, Version: 2, Kind: event.HoldDoc})
		})
	}
	dump := func() *Dump {
		s, err := OpenStore(k.path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		d, err := s.Dump(t.Context(), "now")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	put(3)
	one := dump()
	if one.Versions[string(lot)] != 3 || one.Versions["hold:mes1:H@"+string(lot)] != 2 || len(one.Inbox) != 1 || len(one.Objects) != 2 {
		t.Errorf("%+v", one)
	}
	put(4)
	two := dump()
	put(3)
	if one.Hash() == two.Hash() || one.Hash() != dump().Hash() {
		t.Error("the hash does not follow the objects")
	}
}

// TestStore_ReadsAlone proves that a history is read beside the cloud and changes nothing.
func TestStore_ReadsAlone(t *testing.T) {
	k := keep(t)
	s, err := OpenStore(k.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for n := range 3 { // the cloud writes on meanwhile
		k.accept(string(rune('a'+n)), measured(event.Pass, "I-1"), "P")
		h, err := s.History(t.Context())
		if err != nil || len(h.Of(Inbox)) != n+1 {
			t.Fatalf("%d facts, %v", len(h.Of(Inbox)), err)
		}
	}
	if _, err := s.db.ExecContext(t.Context(), `DELETE FROM inbox`); err == nil {
		t.Error("a reader can delete")
	}
	if _, err := OpenStore(filepath.Join(t.TempDir(), "none.db")); err != nil {
		t.Fatal(err) // nothing is opened yet
	}
	none, err := OpenStore(filepath.Join(t.TempDir(), "none.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = none.Close() }()
	if _, err := none.History(t.Context()); err == nil {
		t.Error("a store that is not there is read")
	}
}

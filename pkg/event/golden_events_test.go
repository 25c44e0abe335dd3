package event

import (
	"slices"
	"strings"
	"time"
)

// golden is one event of the story below with the parts of its natural id, which readers in other languages recompute.
type golden struct {
	name  string
	parts *idParts // nil for a minted id
	event Event
}

// idParts are what [NaturalID] hashes, with the event's type and the ordinal.
type idParts struct {
	Plant   string   `json:"plant"`  // empty for a shared system and the cloud
	System  string   `json:"system"` // registered source system; the agent, or holdfast, for their own facts
	Key     []string `json:"key"`
	Ordinal int      `json:"ordinal"`
}

const (
	goldenLot       LotKey = "lot::MAT-100:L-88213"
	goldenEpoch     Epoch  = "dd05545a4e6517594c7fd66a8b21ab36"
	goldenCommand   Name   = "cmd:w2:lot::MAT-100:L-88213:erp.lot_usage.set:7"
	goldenEffect    Name   = "HFMQBYKR3EVCFTR6"
	goldenTrace            = "00-eafe895eb8119e6e5d06463590b2ef81-37a0025aa1f2e29f-01"
	pressID         ID     = "n-32a482b26791ea8c88f3e8e225202ab4"
	pressReading           = "mes-mqtt"
	pressInspection        = "inspection:mes1:INS-7731"
)

// day is the day of the story: press 4 of plant p1 tightens parts of lot L-88213, one fails, the lot is held.
var day = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

// clock returns a time of that day from a text such as 06h30m0.125s.
func clock(of string) Time {
	d, err := time.ParseDuration(of)
	if err != nil {
		panic(err)
	}
	return At(day.Add(d))
}

// fromPlant is an event that agent gw1 of plant p1 sent, recorded 287 ms after it happened.
func fromPlant(name string, seq uint64, at string, parts idParts, data Data) golden {
	spec := specs[data.Type()]
	parts.Plant = "p1"
	return golden{name, &parts, Event{
		ID:       NaturalID("p1", parts.System, parts.Key, data.Type(), parts.Ordinal),
		Source:   "/p1/" + parts.System,
		Time:     clock(at).Time,
		Recorded: clock(at).Add(287 * time.Millisecond),
		Plant:    "p1",
		Origin:   Origin{Agent: "gw1", Epoch: goldenEpoch, Prev: NewPrev("40e6c6d0c9f3f14f5eac4fd54654f0a6", 48211, 903377), Lane: spec.Lane, Seq: seq},
		Data:     data,
	}}
}

// fromCloud is an event of the cloud itself.
func fromCloud(name, at string, key []string, data Data) golden {
	data.ReadBy().Source = "holdfast"
	return golden{name, &idParts{System: "holdfast", Key: key}, Event{
		ID:       NaturalID("", "holdfast", key, data.Type(), 0),
		Source:   "/holdfast",
		Time:     clock(at).Time,
		Recorded: clock(at).Time,
		Data:     data,
	}}
}

func mes(kind, id string) idParts { return idParts{System: "mes1", Key: []string{kind, id, "1"}} }

func readBy(item, raw, at string) Traced {
	return Traced{Provenance{
		Source: pressReading, Item: item, Transport: "mqtt", Mapping: "press-result", MappingVersion: 4, Raw: raw,
		RawSHA256: "e3ff23319e222520a9b47387e5120daa8ed5912885c7bd312616feaae363b6a7", ArrivedAt: clock(at),
		TimeQuality: TimeSynchronised,
	}}
}

func byAgent(source Name) Traced { return Traced{Provenance{Source: source}} }

// goldenEvents returns the story: at least one event of each type.
func goldenEvents() []golden {
	ofLot := OfLot{goldenLot}
	mayLot := MayLot{goldenLot}
	press := readBy("acme/p1/press4/result", "61,2", "6h30m0.398s")

	recorded := fromPlant("press4_torque", 1042, "6h30m0.125s", mes("result", "000123456"), &CharacteristicRecorded{
		OfLot: ofLot, InspectionID: pressInspection, Characteristic: "torque", SampleNo: 4, Kind: Variable, Value: "61.2",
		Unit: "N.m", LSL: "40", USL: "50", Evaluation: Fail, Equipment: "press4", MeasuredAt: clock("6h30m0.125s"), Traced: press,
	})
	recorded.event.TraceParent = goldenTrace

	attribute := fromPlant("burr_seen", 1051, "6h41m0s", mes("result", "000123471"), &CharacteristicRecorded{
		OfLot: ofLot, InspectionID: pressInspection, Characteristic: "burr", SampleNo: 4, Kind: Attribute, Value: "Grat <0,1 mm & frei",
		Evaluation: Pass, Operator: "Jürgen Weiß", MeasuredAt: clock("6h41m0s"), Corrects: "000123468",
		Traced: readBy("acme/p1/press4/result", "Grat <0,1 mm & frei", "6h41m0.2s"),
	})

	safety := fromPlant("press4_torque", 1043, "6h30m0.125s", mes("result", "000123456"), &SafetyFailed{
		OfLot: ofLot, InspectionID: pressInspection, Characteristic: "torque", Evaluation: Fail, Value: "61.2", Unit: "N.m",
		LSL: "40", USL: "50", Equipment: "press4", MeasuredAt: clock("6h30m0.125s"), Traced: press,
	})
	safety.event.TraceParent, safety.event.Causation = goldenTrace, pressID

	sampled := fromPlant("press4_oil_temperature", 90211, "6h30m0s", idParts{}, &ValueSampled{
		Equipment: "press4", Signal: "oil_temperature", Value: "54.25", Unit: "Cel", Status: StatusGood,
		Traced: Traced{Provenance{Source: "press4-mqtt", Item: "acme/p1/press4/oil", Transport: "mqtt", Ages: map[string]string{"oil_temperature": "1m30s"}}},
	})
	sampled.parts, sampled.event.ID = nil, "019ab4f5-8c40-7d31-9a52-3f1d0c6be94a"

	gap := idParts{System: "gw1", Key: []string{"mes-mqtt", "", "2026-11-24T06:38:30Z"}}
	gapID := ObjectOf("gap", NaturalID("p1", gap.System, gap.Key, TypeGapRecorded, 0))

	samplesMissed := idParts{System: "gw1", Key: []string{"press4-signals", "", "2026-11-24T06:40:00Z"}}

	status := fromCloud("held", "6h30m0.731s", []string{string(goldenLot), "7"}, &LotStatusUpdated{
		OfLot: ofLot, Version: 7, MayMove: false, Reasons: []MoveReason{ReasonOpenHold, ReasonNoDisposition},
		OpenHolds: []OpenHold{{HoldID: ObjectOf("hold", safety.event.ID), HoldKind: HoldSafety, Reason: "torque 61.2 N.m is above 50", PlacedAt: clock("6h30m0.125s")}},
		Usage:     []SystemUsage{{System: "erp1", Usage: Blocked, Raw: "07", VerifiedAt: clock("6h30m0.702s")}, {System: "erp2", Usage: Unrestricted}},
		AsOf:      clock("6h30m0.731s"), Cause: safety.event.ID,
	})
	status.event.Plant = "p1"

	return append([]golden{
		fromPlant("work_order", 1001, "5h58m12s", mes("lot", "L-88213"), &LotCreated{
			OfLot: ofLot, Material: "MAT-100", Q: Quantity{"500", "{each}"}, Origin: "order:mes1:000000812345", MadeAt: clock("5h58m12s"),
			ExpiresAt: At(day.AddDate(2, 0, 0)), Supplier: "0000100200", SupplierLot: "CH-7/19", Sublot: "A", Equipment: "press4",
			Traced: readBy("acme/p1/lot", `{"lot":"L-88213"}`, "5h58m12.2s"),
		}),
		fromPlant("leading_zeros", 1002, "5h59m0s", mes("lot", "000123456789012345678"), &LotCreated{
			OfLot: OfLot{"lot:p2:000000000000012345:000123456789012345678"}, Material: "000000000000012345", Q: Quantity{"12.500", "kg"},
			Origin: "receipt:erp1:5000000042%2F1", Traced: byAgent("mes-file"),
		}),
		recorded, attribute, safety,
		fromPlant("thread_damaged", 1044, "6h31m20s", mes("defect", "D-501"), &DefectDetected{
			OfLot: ofLot, DefectID: "defect:mes1:D-501", CodeGroup: "THREAD", Code: "T07", Severity: Major, Q: Quantity{"3", "{each}"},
			Location: "bore 2", InspectionID: pressInspection, Equipment: "press4", Traced: readBy("acme/p1/defect", "T07;3", "6h31m20.1s"),
		}),
		fromPlant("operator", 1045, "6h33m0s", mes("nc", "QE-00042"), &NonconformanceOpened{
			OfLot: ofLot, NonconformanceID: "nc:qms1:QE-00042", Severity: Critical, Source: "operator",
			Description: "Torque above limit on three parts.\nThread of bore 2 is damaged.", Owner: "anna.berg",
			Traced: readBy("acme/p1/nc", "QE-00042", "6h33m0.1s"),
		}),
		fromPlant("of_a_lot", 1046, "6h34m0s", mes("hold", "H-17"), &HoldPlaced{
			MayLot: mayLot, HoldID: "hold:mes1:H-17", HoldKind: HoldQuality, Reason: "torque above limit", PlacedBy: "anna.berg",
			PlacedAt: clock("6h34m0s"), Authority: AuthorityQuality, Traced: readBy("acme/p1/hold", "H-17", "6h34m0.1s"),
		}),
		fromPlant("by_equipment", 1047, "6h35m0s", mes("hold", "H-18"), &HoldPlaced{
			HoldID: "hold:mes1:H-18", Scope: &Scope{Kind: ScopeEquipment, Value: "press4", Plant: "p1", From: clock("5h30m0s"), To: clock("6h30m0s")},
			HoldKind: HoldSafety, Reason: "press 4 ran without force control", PlacedBy: "anna.berg", PlacedAt: clock("6h35m0s"),
			Authority: AuthorityQuality, Traced: readBy("acme/p1/hold", "H-18", "6h35m0.1s"),
		}),
		fromPlant("by_supplier", 1048, "6h36m0s", mes("hold", "H-19"), &HoldPlaced{
			HoldID: "hold:mes1:H-19", Scope: &Scope{Kind: ScopeSupplier, Value: "Müller & Söhne: Stahl"}, HoldKind: HoldRecall,
			Reason: "supplier recalls all castings", PlacedBy: "anna.berg", PlacedAt: clock("6h36m0s"), Authority: AuthorityQuality,
			Traced: readBy("acme/p1/hold", "H-19", "6h36m0.1s"),
		}),
		fromPlant("of_a_lot", 1060, "9h2m0s", mes("lift", "H-17"), &HoldLifted{
			MayLot: mayLot, HoldID: "hold:mes1:H-17", LiftedBy: "anna.berg", LiftedAt: clock("9h2m0s"), Authority: AuthorityQuality,
			Reason: "parts sorted out and measured again", Traced: readBy("acme/p1/lift", "H-17", "9h2m0.1s"),
		}),
		fromPlant("comma_decimal", 1049, "6h38m0s", idParts{System: "gw1", Key: []string{"mes-mqtt", "acme/p1/press4/result", strings.Repeat("7c", 32)}}, &RecordQuarantined{
			MayLot: mayLot, Source: "mes-mqtt", Item: "acme/p1/press4/result", Reason: `member "value" is no decimal number`, Code: "E-6301",
			Equipment: "press4", RawSHA256: Hash(strings.Repeat("7c", 32)),
			Traced: Traced{Provenance{
				Source: "mes-mqtt", Item: "acme/p1/press4/result", Transport: "mqtt", Flags: []Name{"cut"}, Mapping: "press-result", MappingVersion: 4,
				RawBase64: "eyJsb3QiOiJMLTg4MjEzIiwidmFsdWUiOiL/MSwyIn0=", RawSHA256: Hash(strings.Repeat("7c", 32)), RawLength: 70120,
				Errors: []string{`value: "\xff1,2" is no decimal number`}, ArrivedAt: clock("6h38m0.1s"), TimeQuality: TimeMissing,
			}},
		}),
		fromPlant("session_lost", 1050, "6h40m0s", gap, &GapRecorded{
			GapID: gapID, Source: "mes-mqtt", Equipment: "press4", From: clock("6h38m30s"), To: clock("6h40m0s"),
			Reason: GapSessionLost, FromSeq: 123469, ToSeq: 123470, Missing: 2, Items: []string{"acme/p1/press4/result"}, Traced: byAgent("mes-mqtt"),
		}),
		fromPlant("samples_missed", 1051, "6h41m0s", samplesMissed, &GapRecorded{
			GapID: "gap:gw1:press4-signals", Source: "press4-signals", Equipment: "press4", From: clock("6h40m0s"), To: clock("6h41m0s"),
			Reason: GapSessionLost, Lane: LaneTelemetry, Traced: byAgent("press4-signals"),
		}),
		fromPlant("file_came_late", 1052, "7h10m0s", gap, &GapClosed{
			GapID: gapID, Source: "mes-mqtt", Equipment: "press4", From: clock("6h38m30s"), To: clock("6h40m0s"),
			Reason: "the MES sent records 123469 and 123470 again", Filled: 2, Traced: byAgent("mes-mqtt"),
		}),
		fromPlant("shed_at_quota", 1061, "11h0m0s", idParts{System: "gw1", Key: []string{string(goldenEpoch), "telemetry", "1"}}, &LossRecorded{
			Epoch: goldenEpoch, Lane: LaneTelemetry, FromSeq: 1, ToSeq: 64000, From: clock("4h0m0s"), To: clock("6h0m0s"), Count: 64000,
			Cause: LossShed, Sources: []Name{"press4-mqtt"}, Traced: byAgent("gw1"),
		}),
		fromPlant("start_after_damage", 1, "3h59m58s", idParts{System: "gw1", Key: []string{string(goldenEpoch)}}, &EpochOpened{
			Epoch: goldenEpoch, Prev: NewPrev("40e6c6d0c9f3f14f5eac4fd54654f0a6", 48211, 903377), Reason: "start",
			Salvage: []Salvage{{Epoch: "40e6c6d0c9f3f14f5eac4fd54654f0a6", Lane: LaneTelemetry, FromSeq: 903001, ToSeq: 903012, Salvaged: 365}},
			Traced:  byAgent("gw1"),
		}),
		fromPlant("replay", 1062, "11h30m0s", idParts{System: "gw1", Key: []string{string(goldenEpoch), "1"}}, &ActRecorded{
			Act: "replay", Principal: "uid 1000 (ops)", About: "lane quality", Reason: "the topic was rebuilt",
			Detail: map[string]string{"from": "2026-11-24T06:00:00Z", "to": "2026-11-24T07:00:00Z", "records": "52"}, Traced: byAgent("gw1"),
		}),
		sampled, status,
		fromCloud("enforce_hold", "6h35m0.4s", []string{"hold.unenforced", string(goldenLot), "2026-11-24T06:35:00.4Z"}, &TimerFired{
			MayLot: mayLot, Timer: "hold.unenforced", Object: string(goldenLot), Due: clock("6h35m0.4s"),
		}),
		fromCloud("block_lot", "6h30m0.44s", []string{string(goldenCommand), "0"}, &EffectRequested{
			MayLot: mayLot, CommandID: goldenCommand, EffectRef: goldenEffect, Kind: "erp.lot_usage.set", System: "erp1", Object: string(goldenLot), Wanted: "blocked",
		}),
		fromCloud("block_lot", "6h30m0.702s", []string{string(goldenCommand), "1"}, &EffectSettled{
			MayLot: mayLot, CommandID: goldenCommand, EffectRef: goldenEffect, Kind: "erp.lot_usage.set", System: "erp1", Object: string(goldenLot), Wanted: "blocked",
			Outcome: Applied, Usage: Blocked, UsageRaw: "07", Own: Blocked, Wrote: true, ExternalRef: "4900000123/2026", Attempts: 1,
			Code: "M7/060", Message: "Document 4900000123 posted", Evidence: Hash(strings.Repeat("5e", 32)),
		}),
		fromCloud("moved_before_the_hold", "6h41m2s", []string{string(goldenCommand), "2"}, &EffectSettled{
			MayLot: mayLot, CommandID: goldenCommand, EffectRef: goldenEffect, Kind: "erp.lot_usage.set", System: "erp1", Object: string(goldenLot), Wanted: "blocked",
			Outcome: Applied, Usage: Blocked, UsageRaw: "07", Own: Blocked, Wrote: true, Attempts: 2,
			MovedSince: clock("6h20m0s"), Moved: []Movement{
				{Document: "4900000119/2026/1", Kind: "601", To: "80001234", Q: Quantity{Value: "120", Unit: "{each}"}, At: clock("6h39m58s")},
				{Document: "T-7", Kind: "pick", To: "SO-1/10", UnderWay: true, Warehouse: true},
			},
		}),
		fromCloud("minute", "6h31m0s", []string{"ledger", "4711"}, &AuditHeadPublished{
			Count: 4711, Head: Hash(strings.Repeat("1a", 32)), Root: Hash(strings.Repeat("2b", 32)), At: clock("6h31m0s"), KeyID: "audit-2026-1",
			Signature: strings.Repeat("A", 86) + "==",
		}),
	}, slices.Concat(inspections(), releases(), production(), business(), deadLetters())...)
}

// deadLetters returns what may become of one record that could not be applied.
func deadLetters() []golden {
	record := Deadletter{
		MayLot: MayLot{goldenLot}, DeadletterID: 17, EventID: "n-5f0a7d1e2c3b4a596877869504132231", EventType: string(TypeHoldLifted),
		Key: string(goldenLot), Code: "E-6006", Cause: "hold hold:mes1:H-99 is not known", Attempts: 3, By: "holdfast",
	}
	parked, redriven, replaced, dropped := record, record, record, record
	parked.RawBase64 = "e30="
	redriven.By, redriven.Reason, redriven.Attempts = "anna.berg", "the hold has come in", 4
	replaced.By, replaced.Reason = "anna.berg", "the hold is H-98"
	dropped.By, dropped.Reason = "anna.berg, jo.lind", "test record of the supplier"
	return []golden{
		fromCloud("unknown_hold", "9h5m0s", []string{"17", "parked"}, &DeadletterParked{parked}),
		fromCloud("hold_came_in", "9h20m0s", []string{"17", "redriven"}, &DeadletterRedriven{redriven}),
		fromCloud("corrected", "9h20m0s", []string{"17", "replaced"}, &DeadletterReplaced{replaced}),
		fromCloud("test_record", "9h20m0s", []string{"17", "dropped"}, &DeadletterDropped{dropped}),
	}
}

// badValue is a golden event's value with one text replaced, and what the refusal says.
type badValue struct {
	typ       Type
	of, name  string // golden event that it is made from; name of the bad one
	old, text string
	want      string
}

func badValues() []badValue {
	return []badValue{
		{TypeCharacteristicRecorded, "press4_torque", "bad_no_unit", `"unit":"N.m",`, ``, `lacks the member "unit"`},
		{TypeCharacteristicRecorded, "press4_torque", "bad_decimal_comma", `"value":"61.2"`, `"value":"61,2"`, `no decimal number`},
		{TypeCharacteristicRecorded, "press4_torque", "bad_float", `"value":"61.2"`, `"value":61.2`, `value: is a number: want a text`},
		{TypeCharacteristicRecorded, "press4_torque", "bad_judged_without_limits", `"lsl":"40","usl":"50",`, ``, `lsl and usl are both absent`},
		{TypeCharacteristicRecorded, "press4_torque", "bad_time_offset", `06:30:00.125Z"`, `07:30:00.125+01:00"`, `is no time`},
		{TypeCharacteristicRecorded, "press4_torque", "bad_name_in_capitals", `"sample_no"`, `"Sample_No"`, `lacks the member "sample_no"`},
		{TypeSafetyFailed, "press4_torque", "bad_passed", `"evaluation":"fail"`, `"evaluation":"pass"`, `is none of`},
		{TypeSafetyFailed, "press4_torque", "bad_no_equipment", `"equipment":"press4",`, ``, `lacks the member "equipment"`},
		{TypeLotCreated, "leading_zeros", "bad_lot_as_number", `"lot:p2:000000000000012345:000123456789012345678"`, `123456789012345678`, `lot: is a number`},
		{TypeLotCreated, "leading_zeros", "bad_needless_encoding", `:000123`, `:%30%30%30123`, `is no lot key`},
		{TypeLotCreated, "leading_zeros", "bad_quantity_exponent", `"12.500"`, `"1.25e1"`, `q.value: `},
		{TypeLotCreated, "work_order", "bad_null_for_absent", `"sublot":"A"`, `"sublot":null`, `sublot: is null`},
		{TypeHoldPlaced, "of_a_lot", "bad_neither_lot_nor_scope", `"lot":"lot::MAT-100:L-88213",`, ``, `exactly one of lot and scope`},
		{TypeHoldPlaced, "by_equipment", "bad_both_lot_and_scope", `{"hold_id"`, `{"lot":"lot::MAT-100:L-88213","hold_id"`, `exactly one of lot and scope`},
		{TypeHoldPlaced, "by_equipment", "bad_scope_without_plant", `"plant":"p1",`, ``, `lacks the member "plant"`},
		{TypeHoldPlaced, "of_a_lot", "bad_kind", `"hold_kind":"quality"`, `"hold_kind":"Quality"`, `is none of`},
		{TypeHoldLifted, "of_a_lot", "bad_neither_lot_nor_scope", `"lot":"lot::MAT-100:L-88213",`, ``, `exactly one of lot and scope`},
		{TypeHoldLifted, "of_a_lot", "bad_empty_reason", `"parts sorted out and measured again"`, `""`, `has 0 characters`},
		{TypeNonconformanceOpened, "operator", "bad_severity", `"critical"`, `"high"`, `is none of`},
		{TypeNonconformanceOpened, "operator", "bad_id_of_unknown_form", `"nc:qms1:QE-00042"`, `"QE-00042"`, `is no object id`},
		{TypeGapRecorded, "session_lost", "bad_negative_count", `"missing":2`, `"missing":-2`, `want an integer from 0`},
		{TypeGapRecorded, "session_lost", "bad_count_beyond_double", `"missing":2`, `"missing":9007199254740993`, `want an integer from 0`},
		{TypeEpochOpened, "start_after_damage", "bad_prev", `;telemetry=903377`, ``, `is no predecessor`},
		{TypeLotStatusUpdated, "held", "bad_reasons_absent", `"reasons":["open_hold","no_disposition"],`, ``, `lacks the member "reasons"`},
		{TypeLotStatusUpdated, "held", "bad_trailing_zero", `"as_of":"2026-11-24T06:30:00.731Z"`, `"as_of":"2026-11-24T06:30:00.7310Z"`, `is no time`},
		{TypeEffectSettled, "block_lot", "bad_outcome", `"outcome":"applied"`, `"outcome":"acknowledged"`, `is none of`},
		{TypeEffectSettled, "moved_before_the_hold", "bad_movement_without_document", `"document":"T-7",`, ``, `lacks the member "document"`},
		{TypeEffectSettled, "block_lot", "bad_no_provenance", `,"provenance":{"source":"holdfast"}`, ``, `lacks the member "provenance"`},
		{TypeInspectionPlanned, "in_process", "bad_type", `"in_process"`, `"inprocess"`, `is none of`},
		{TypeInspectionCompleted, "failed", "bad_verdict_of_a_value", `"verdict":"fail"`, `"verdict":"rework"`, `is none of`},
		{TypeInspectionCompleted, "failed", "bad_no_count", `"result_count":5,`, ``, `lacks the member "result_count"`},
		{TypeInspectionSuperseded, "inspected_again", "bad_no_link", `"superseded_by":"inspection:mes1:INS-7802",`, ``, `lacks the member "superseded_by"`},
		{TypeInspectionCancelled, "asked_twice", "bad_no_reason", `"reason":"entered twice, see INS-7802",`, ``, `lacks the member "reason"`},
		{TypeCertificateReceived, "of_a_casting", "bad_kind", `"CoA"`, `"coa"`, `is none of`},
		{TypeDispositionDecided, "with_condition", "bad_decision", `"conditional_release"`, `"accept"`, `is none of`},
		{TypeDispositionDecided, "with_condition", "bad_nobody_signed", `"signed_by":"clara.voss",`, ``, `lacks the member "signed_by"`},
		{TypeDispositionRevised, "condition_met", "bad_supersedes_nothing", `"supersedes":"disposition:qms1:D-3001",`, ``, `lacks the member "supersedes"`},
		{TypeEvidenceAccepted, "gap", "bad_gap_and_answer", `"by":`, `"plant":"p2","agent":"gw1","barrier":1,"by":`, `exactly one of gap_id`},
		{TypeEvidenceAccepted, "missing_answer", "bad_answer_to_no_barrier", `"barrier":418`, `"barrier":0`, `exactly one of gap_id`},
		{TypeEvidenceAccepted, "missing_answer", "bad_signed_by_nobody", `"by":["clara.voss"]`, `"by":[]`, `is signed by nobody`},
		{TypeRunStarted, "press4", "bad_no_equipment", `"equipment":"press4",`, ``, `lacks the member "equipment"`},
		{TypeNonconformanceVoided, "wrong_lot", "bad_no_reason", `"reason":"it was lot L-88214",`, ``, `lacks the member "reason"`},
		{TypeLotStatusChanged, "moved_in_the_erp", "bad_usage", `"usage_status":"restricted"`, `"usage_status":"08"`, `is none of`},
		{TypeAllocationChanged, "promised", "bad_quantity_as_number", `"q":{"value":"200"`, `"q":{"value":200`, `q.value: is a number`},
		{TypeAlertRaised, "agent_is_silent", "bad_no_next_step", `"next_step":"bring the gateway back, or accept the missing answer by signature",`, ``, `lacks the member "next_step"`},
		{TypeControlSet, "asked", "bad_epoch_decision", `"decision":"quarantined"`, `"decision":"maybe"`, `is none of`},
		{TypeControlSet, "asked", "bad_not_whole", `"wanted":[{"epoch":"dd05545a4e6517594c7fd66a8b21ab36","lane":"quality","from_seq":1040,"to_seq":1042}],`, ``, `lacks the member "wanted"`},
	}
}

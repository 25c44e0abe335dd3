package event

import "strings"

const (
	goldenDisposition    ObjectID = "disposition:qms1:D-3001"
	goldenRevision       ObjectID = "disposition:qms1:D-3007"
	goldenReinspection   ObjectID = "inspection:mes1:INS-7802"
	goldenNonconformance ObjectID = "nc:qms1:QE-00042"
	goldenRun            ObjectID = "run:mes1:R-771"
	goldenOrder          ObjectID = "order:mes1:000000812345"
	goldenAuthority      Name     = "clara.voss"
)

// inspections returns how the lot is inspected, and inspected again after the torque was too high.
func inspections() []golden {
	first := OfInspection{OfLot{goldenLot}, pressInspection}
	again := OfInspection{OfLot{goldenLot}, goldenReinspection}
	wrong := OfInspection{OfLot{goldenLot}, "inspection:mes1:INS-7803"}
	return []golden{
		fromPlant("in_process", 1003, "6h0m0s", mes("inspection", "INS-7731"), &InspectionPlanned{
			OfInspection: first, InspectionType: InspectionInProcess, SpecRev: "MAT-100/C", Due: clock("10h0m0s"),
			Sample: &Quantity{"5", "{each}"}, Traced: readBy("acme/p1/inspection", "INS-7731", "6h0m0.1s"),
		}),
		fromPlant("failed", 1053, "7h15m0s", mes("inspection", "INS-7731"), &InspectionCompleted{
			OfInspection: first, InspectionType: InspectionInProcess, Verdict: VerdictFail, SpecRev: "MAT-100/C", CompletedAt: clock("7h15m0s"),
			ResultCount: 5, Traced: readBy("acme/p1/inspection", "INS-7731;fail", "7h15m0.1s"),
		}),
		fromPlant("reinspection", 1054, "7h20m0s", mes("inspection", "INS-7802"), &InspectionPlanned{
			OfInspection: again, InspectionType: Reinspection, SpecRev: "MAT-100/C", Due: clock("9h0m0s"),
			Traced: readBy("acme/p1/inspection", "INS-7802", "7h20m0.1s"),
		}),
		fromPlant("inspected_again", 1055, "7h20m1s", mes("inspection", "INS-7731"), &InspectionSuperseded{
			OfInspection: first, SupersededBy: goldenReinspection, Reason: "sorted, measured again in full",
			Traced: readBy("acme/p1/inspection", "INS-7731>INS-7802", "7h20m1.1s"),
		}),
		fromPlant("asked_twice", 1056, "7h25m0s", mes("inspection", "INS-7803"), &InspectionCancelled{
			OfInspection: wrong, Reason: "entered twice, see INS-7802", Traced: readBy("acme/p1/inspection", "INS-7803;-", "7h25m0.1s"),
		}),
		fromPlant("of_a_casting", 1004, "6h5m0s", mes("certificate", "C-4411"), &CertificateReceived{
			MayLot: MayLot{goldenLot}, CertificateID: "certificate:qms1:C-4411", Kind: CertificateOfAnalysis, Supplier: "0000100200",
			SupplierLot: "CH-7/19", DocumentHash: Hash(strings.Repeat("c4", 32)), Traced: readBy("acme/p1/certificate", "C-4411", "6h5m0.1s"),
		}),
		fromCloud("before_its_lot", "6h6m0s", []string{"certificate", "C-4412"}, &CertificateReceived{
			CertificateID: "certificate:qms1:C-4412", Kind: CertificateOfConformance, SupplierLot: "CH-8/19", DocumentHash: Hash(strings.Repeat("c5", 32)),
		}),
	}
}

// releases returns what the quality engineer decides, and what two persons answer for.
func releases() []golden {
	ofLot := OfLot{goldenLot}
	of := func(id ObjectID, decision Decision, reason, at string) Disposition {
		return Disposition{
			OfLot: ofLot, DispositionID: id, Q: Quantity{"500", "{each}"}, Decision: decision, SignedBy: goldenAuthority, Reason: reason, DecidedAt: clock(at),
		}
	}
	conditional := of(goldenDisposition, DecisionConditionalRelease, "three parts sorted out", "9h10m0s")
	conditional.Condition, conditional.BasedOn = "customer is told", []ObjectID{goldenReinspection, goldenNonconformance}
	signature := func(by, printed Name, at string) Signature {
		return Signature{By: by, PrintedName: printed, Meaning: "I accept that this gap touches the lot", At: clock(at), RecordHash: Hash(strings.Repeat("9b", 32))}
	}
	gapID := ObjectOf("gap", NaturalID("p1", "gw1", []string{"mes-mqtt", "", "2026-11-24T06:38:30Z"}, TypeGapRecorded, 0))
	step := func(by Name, at, reason string) NonconformanceStep {
		return NonconformanceStep{
			OfLot: ofLot, NonconformanceID: goldenNonconformance, By: by, At: clock(at), Reason: reason, Traced: readBy("acme/p1/nc", "QE-00042", at),
		}
	}
	return []golden{
		fromCloud("with_condition", "9h10m0s", []string{"disposition", "D-3001"}, &DispositionDecided{Disposition: conditional}),
		fromPlant("by_the_plants_own_qms", 1063, "9h11m0s", mes("disposition", "D-9"), &DispositionDecided{
			Disposition: of("disposition:qmsp1:D-9", DecisionReject, "thread cannot be repaired", "9h11m0s"), Traced: readBy("acme/p1/disposition", "D-9", "9h11m0.1s"),
		}),
		fromCloud("condition_met", "9h40m0s", []string{"disposition", "D-3007"}, &DispositionRevised{
			Disposition: of(goldenRevision, DecisionRelease, "the customer agreed", "9h40m0s"), Supersedes: goldenDisposition,
		}),
		fromCloud("gap", "9h30m0s", []string{"evidence", "81"}, &EvidenceAccepted{
			OfLot: ofLot, GapID: gapID, By: []Name{goldenAuthority, "jo.lind"}, Reason: "both records were read at the press",
			Signatures: []Signature{signature(goldenAuthority, "Clara Voß", "9h29m50s"), signature("jo.lind", "Jo Lind", "9h30m0s")},
		}),
		fromCloud("missing_answer", "9h31m0s", []string{"evidence", "82"}, &EvidenceAccepted{
			OfLot: ofLot, Plant: "p2", Agent: "gw1", Barrier: 418, By: []Name{goldenAuthority}, Reason: "plant p2 is closed this week",
			Signatures: []Signature{signature(goldenAuthority, "Clara Voß", "9h31m0s")},
		}),
		fromCloud("plant_never_heard_of", "9h32m0s", []string{"evidence", "83"}, &EvidenceAccepted{
			OfLot: ofLot, Plant: "p2", Barrier: 418, By: []Name{goldenAuthority}, Reason: "p2 has no gateway yet; its stock was counted by hand",
			Signatures: []Signature{signature(goldenAuthority, "Clara Voß", "9h32m0s")},
		}),
		fromPlant("parts_blocked", 1057, "6h45m0s", mes("nc", "QE-00042"), &NonconformanceContained{step("anna.berg", "6h45m0s", "bin 12 is locked")}),
		fromPlant("repaired", 1064, "9h20m0s", mes("nc", "QE-00042"), &NonconformanceClosed{step(goldenAuthority, "9h20m0s", "force sensor replaced")}),
		fromPlant("wrong_lot", 1065, "9h21m0s", mes("nc", "QE-00043"), &NonconformanceVoided{step(goldenAuthority, "9h21m0s", "it was lot L-88214")}),
	}
}

// production returns between which times the press worked on the lot.
func production() []golden {
	run := func(at string) Run {
		return Run{OfLot: OfLot{goldenLot}, RunID: goldenRun, Equipment: "press4", WorkOrder: goldenOrder, At: clock(at), Traced: readBy("acme/p1/press4/run", "R-771", at)}
	}
	return []golden{
		fromPlant("press4", 1005, "6h10m0s", mes("run", "R-771"), &RunStarted{run("6h10m0s")}),
		fromPlant("press4", 1058, "7h5m0s", mes("run", "R-771"), &RunEnded{run("7h5m0s")}),
	}
}

// business returns what other systems and the cloud itself say around the release.
func business() []golden {
	allocated := func(q Decimal) AllocationChanged {
		return AllocationChanged{OfLot: OfLot{goldenLot}, Order: "0000004711", Line: "10", Customer: "ACME & Co.", Q: Quantity{q, "{each}"}}
	}
	promised, gone := allocated("200"), allocated("0")
	promised.PromisedAt = clock("15h0m0s")
	alert := Alert{
		Code: "release.unanswered", About: string(goldenLot), Since: clock("9h42m0s"), Owner: "quality",
		NextStep: "bring the gateway back, or accept the missing answer by signature", Detail: "p2/gw1 has not answered barrier 418",
	}
	control := fromCloud("asked", "9h40m1s", []string{"gw1", "52"}, &ControlSet{
		Agent: "gw1", Version: 52, Barrier: 418,
		Wanted: []Wanted{{Epoch: goldenEpoch, Lane: LaneQuality, FromSeq: 1040, ToSeq: 1042}},
		Covered: []Covered{
			{Epoch: goldenEpoch, Lane: LaneQuality, Seq: 1039}, {Epoch: goldenEpoch, Lane: LaneTelemetry, Seq: 90211},
		},
		Epochs: []DecidedEpoch{{Epoch: "40e6c6d0c9f3f14f5eac4fd54654f0a6", Decision: EpochQuarantined, Reason: "a second gateway went on from the same records"}},
	})
	control.event.Plant = "p1"
	quiet := fromCloud("first", "4h0m0s", []string{"gw1", "1"}, &ControlSet{
		Agent: "gw1", Version: 1, Wanted: []Wanted{}, Covered: []Covered{}, Epochs: []DecidedEpoch{},
	})
	quiet.event.Plant = "p1"
	return []golden{
		fromCloud("moved_in_the_erp", "8h0m0s", []string{"erp1", string(goldenLot), "2026-11-24T08:00:00Z"}, &LotStatusChanged{
			OfLot: OfLot{goldenLot}, System: "erp1", Usage: Restricted, Raw: "08", Q: &Quantity{"120", "{each}"}, Location: "0001/WE01", ObservedAt: clock("8h0m0s"),
		}),
		fromCloud("flag_of_the_batch", "8h1m0s", []string{"erp1", string(goldenLot), "2026-11-24T08:01:00Z"}, &LotStatusChanged{
			OfLot: OfLot{goldenLot}, System: "erp1", Usage: Unrestricted, ObservedAt: clock("8h1m0s"),
		}),
		fromCloud("promised", "5h0m0s", []string{"orders1", "0000004711", "10", "1"}, &promised),
		fromCloud("taken_back", "10h0m0s", []string{"orders1", "0000004711", "10", "2"}, &gone),
		fromCloud("agent_is_silent", "9h42m0s", []string{"release.unanswered", string(goldenLot), "raised"}, &AlertRaised{alert}),
		fromCloud("agent_answered", "9h55m0s", []string{"release.unanswered", string(goldenLot), "cleared"}, &AlertCleared{alert}),
		control, quiet,
	}
}

package api

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// describe tells an event in a few words.
func describe(data event.Data) string {
	switch d := data.(type) {
	case *event.LotCreated:
		return fmt.Sprintf("lot created: %s %s of %s", d.Q.Value, d.Q.Unit, d.Material)
	case *event.CharacteristicRecorded:
		return fmt.Sprintf("%s = %s%s: %s", d.Characteristic, d.Value, limits(d.Unit, d.LSL, d.USL), d.Evaluation)
	case *event.SafetyFailed:
		return fmt.Sprintf("safety: %s = %s%s: %s", d.Characteristic, d.Value, limits(d.Unit, d.LSL, d.USL), d.Evaluation)
	case *event.DefectDetected:
		return fmt.Sprintf("defect %s/%s (%s) on %s %s", d.CodeGroup, d.Code, d.Severity, d.Q.Value, d.Q.Unit)
	case *event.NonconformanceOpened:
		return fmt.Sprintf("nonconformance (%s) from %s: %s", d.Severity, d.Source, d.Description)
	case *event.HoldPlaced:
		return fmt.Sprintf("hold (%s) by %s: %s", d.HoldKind, d.PlacedBy, d.Reason)
	case *event.HoldLifted:
		return fmt.Sprintf("hold lifted by %s: %s", d.LiftedBy, d.Reason)
	case *event.RecordQuarantined:
		return fmt.Sprintf("a message of %s was not understood: %s", d.Source, d.Reason)
	case *event.GapRecorded:
		return fmt.Sprintf("%s was not observed from %s to %s (%s)", d.Source, d.From, d.To, d.Reason)
	case *event.LossRecorded:
		return fmt.Sprintf("%d records of lane %s will not come (%s)", d.Count, d.Lane, d.Cause)
	case *event.EpochOpened:
		return "the agent started"
	case *event.TimerFired:
		return fmt.Sprintf("limit %s of %s ran out", d.Timer, d.Object)
	case *event.EffectSettled:
		return settlement(d)
	case *event.ActRecorded:
		return fmt.Sprintf("%s by %s on %s: %s", d.Act, d.Principal, d.About, d.Reason)
	case *event.DispositionDecided:
		return decision("decided", &d.Disposition)
	case *event.DispositionRevised:
		return decision("decided anew", &d.Disposition)
	case *event.EvidenceAccepted:
		what := "gap " + string(d.GapID)
		if d.GapID == "" {
			what = fmt.Sprintf("missing answer of %s/%s", d.Plant, d.Agent)
		}
		return fmt.Sprintf("%s accepted for the lot by %s: %s", what, persons(d.Signatures), d.Reason)
	case *event.LotStatusChanged:
		return fmt.Sprintf("%s shows it %s", d.System, usageWord(d.Usage))
	case *event.AllocationChanged:
		return fmt.Sprintf("order %s line %s of %s counts on %s %s of it", d.Order, d.Line, d.Customer, d.Q.Value, d.Q.Unit)
	case *event.AlertRaised:
		return fmt.Sprintf("alert %s: %s; next: %s", d.Code, d.Detail, d.NextStep)
	case *event.AlertCleared:
		return fmt.Sprintf("alert %s is over", d.Code)
	}
	return describeProduction(data)
}

// describeProduction tells what happened at a lot's machines and inspections.
func describeProduction(data event.Data) string {
	switch d := data.(type) {
	case *event.InspectionPlanned:
		return fmt.Sprintf("inspection (%s) planned, due %s", d.InspectionType, d.Due)
	case *event.InspectionCompleted:
		return fmt.Sprintf("inspection (%s) completed: %s, %d results", d.InspectionType, d.Verdict, d.ResultCount)
	case *event.InspectionCancelled:
		return fmt.Sprintf("inspection cancelled: %s", d.Reason)
	case *event.InspectionSuperseded:
		return fmt.Sprintf("another inspection counts, %s: %s", d.SupersededBy, d.Reason)
	case *event.CertificateReceived:
		return fmt.Sprintf("certificate (%s) of lot %s of %s", d.Kind, d.SupplierLot, d.Supplier)
	case *event.RunStarted:
		return fmt.Sprintf("%s began to work on it (order %s)", d.Equipment, d.WorkOrder)
	case *event.RunEnded:
		return fmt.Sprintf("%s no longer works on it (order %s)", d.Equipment, d.WorkOrder)
	case *event.NonconformanceContained:
		return fmt.Sprintf("nonconformance contained by %s: %s", d.By, d.Reason)
	case *event.NonconformanceClosed:
		return fmt.Sprintf("nonconformance closed by %s: %s", d.By, d.Reason)
	case *event.NonconformanceVoided:
		return fmt.Sprintf("nonconformance voided by %s: %s", d.By, d.Reason)
	case *event.GapClosed:
		return fmt.Sprintf("gap %s closed: %s", d.GapID, d.Reason)
	}
	return string(data.Type())
}

func decision(verb string, d *event.Disposition) string {
	text := fmt.Sprintf("%s by %s: %s of %s %s: %s", verb, d.SignedBy, strings.ReplaceAll(string(d.Decision), "_", " "), d.Q.Value, d.Q.Unit, d.Reason)
	if d.Condition != "" {
		text += " (" + d.Condition + ")"
	}
	return text
}

// persons lists who signed, as they are called.
func persons(signatures []event.Signature) string {
	names := make([]string, len(signatures))
	for i := range signatures {
		names[i] = string(signatures[i].PrintedName)
	}
	return strings.Join(names, " and ")
}

func limits(unit event.Unit, lsl, usl event.Decimal) string {
	text := ""
	if unit != "" {
		text = " " + string(unit)
	}
	switch {
	case lsl != "" && usl != "":
		text += fmt.Sprintf(" (%s to %s)", lsl, usl)
	case usl != "":
		text += fmt.Sprintf(" (at most %s)", usl)
	case lsl != "":
		text += fmt.Sprintf(" (at least %s)", lsl)
	}
	return text
}

func settlement(d *event.EffectSettled) string {
	text := kindWord(quality.Kind(d.Kind)) + " " + strings.ReplaceAll(string(d.Outcome), "_", " ")
	if d.Usage != "" {
		text += ", read back " + usageWord(d.Usage)
	}
	if d.ExternalRef != "" {
		text += ", record " + d.ExternalRef
	}
	if d.Attempts > 1 {
		text += fmt.Sprintf(", %d writes", d.Attempts)
	}
	if d.Code != "" || d.Message != "" {
		text += " (" + strings.TrimSpace(string(d.Code)+" "+d.Message) + ")"
	}
	return text
}

func kindWord(k quality.Kind) string {
	switch k {
	case quality.LotUsageSet:
		return "lot usage"
	case quality.StockTransfer:
		return "stock transfer"
	case quality.InspectionSubmit:
		return "inspection record"
	case quality.NonconformanceEnsure:
		return "nonconformance record"
	case quality.NonconformanceAdvance:
		return "nonconformance state"
	case quality.UsageDecisionPost:
		return "usage decision"
	case quality.TasksGate:
		return "gate of the warehouse tasks"
	case quality.NoticeSend:
		return "notice to customer service"
	}
	return string(k)
}

// changed tells in a few words what a ledger entry says that changed; "" for what the event itself says already.
func changed(e *store.Entry) string {
	kind, _, _ := strings.Cut(e.Object, ":")
	switch {
	case kind == "hold" || strings.Contains(e.Object, "@lot:"): // a hold's name ends in @ and its lot
		return holdChange(e)
	case kind == "nonconformance":
		return nonconformanceChange(e)
	case kind == "lot":
		return lotChange(e)
	}
	return ""
}

func lotChange(e *store.Entry) string {
	var was, now quality.Lot
	if json.Unmarshal([]byte(e.Now), &now) != nil || e.Was != "" && json.Unmarshal([]byte(e.Was), &was) != nil {
		return ""
	}
	if now.Release.State == was.Release.State || e.Was == "" {
		return ""
	}
	return "release " + strings.ReplaceAll(string(now.Release.State), "_", " ")
}

func nonconformanceChange(e *store.Entry) string {
	var was, now quality.Nonconformance
	if json.Unmarshal([]byte(e.Now), &now) != nil || now.State == "" {
		return ""
	}
	switch {
	case e.Was == "" || json.Unmarshal([]byte(e.Was), &was) != nil:
		return fmt.Sprintf("nonconformance opened (%s)", now.Severity)
	case was.State != now.State:
		return fmt.Sprintf("nonconformance %s", now.State)
	}
	return ""
}

func holdChange(e *store.Entry) string {
	var was, now quality.Hold
	if json.Unmarshal([]byte(e.Now), &now) != nil {
		return ""
	}
	switch {
	case e.Was == "" || json.Unmarshal([]byte(e.Was), &was) != nil:
		return fmt.Sprintf("hold placed (%s)", now.Kind)
	case was.Open() && !now.Open():
		return fmt.Sprintf("hold lifted (%s)", now.Kind)
	case was.Kind != now.Kind:
		return fmt.Sprintf("hold raised from %s to %s", was.Kind, now.Kind)
	case was.EnforcedAt.IsZero() && !now.EnforcedAt.IsZero():
		return fmt.Sprintf("hold enforced (%s)", now.Kind)
	}
	return ""
}

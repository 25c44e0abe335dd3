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
	}
	return string(data.Type())
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
	case quality.NonconformanceEnsure:
		return "nonconformance record"
	case quality.NonconformanceAdvance:
		return "nonconformance state"
	}
	return string(k)
}

// changed tells in a few words what a ledger entry says that changed; "" for what the event itself says already.
func changed(e *store.Entry) string {
	kind, _, _ := strings.Cut(e.Object, ":")
	switch {
	case kind == "hold" || strings.Contains(e.Object, "@lot:"): // a hold's name ends in @ and its lot
		return holdChange(e)
	case kind == "lot" || kind == "settled" || kind == "deadletter" || kind == "act":
		return ""
	}
	return nonconformanceChange(e)
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

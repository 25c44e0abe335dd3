package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// InWords tells about the lot in sentences: whether it may move, why not, since when and by whom, what each system
// shows. At writes times.
func (l *Lot) InWords(at func(time.Time) string) []string {
	var words []string
	if l.MayMove {
		words = append(words, "The lot may move: no hold, nothing open"+strings.Replace(l.shown(at), "The ERP", ", and the ERP", 1)+".")
	} else {
		words = append(words, "The lot may not move.")
	}
	for _, r := range l.Reasons {
		words = append(words, l.reason(r, at)...)
	}
	if shown := l.shown(at); shown != "" && !l.MayMove && !slices.Contains(l.Reasons, event.ReasonUsageNotVerified) {
		words = append(words, shown+".") // a held lot that the ERP still shows as free is what a person must see first
	}
	if l.Takeback != nil {
		words = append(words, l.Takeback.inWords(at))
	}
	for i := range l.Effects {
		if text := l.Effects[i].inWords(at); text != "" {
			words = append(words, text)
		}
	}
	return words
}

// shown says what the ERP was last read to enforce; "" if it was not read.
func (l *Lot) shown(at func(time.Time) string) string {
	for _, u := range l.Usage {
		if u.System == l.ERP {
			return fmt.Sprintf("The ERP %s shows it %s (read %s)", u.System, usageWord(u.Usage), at(u.VerifiedAt))
		}
	}
	return ""
}

func (l *Lot) reason(r event.MoveReason, at func(time.Time) string) []string {
	switch r {
	case event.ReasonOpenHold:
		return l.holdWords(at)
	case event.ReasonNoDisposition:
		if l.Stub {
			return []string{"Only its hold is known so far: the record of its creation has not arrived."}
		}
		return append([]string{"Its material wants an inspection, and nobody has decided about the lot yet."}, l.waits(at, quality.WaitInspection)...)
	case event.ReasonParked:
		return l.deadletterWords(store.Parked, "An event of the lot waits for a person")
	case event.ReasonQuarantine:
		return append(l.deadletterWords(store.Quarantined, "A record of the lot was not understood and waits for a person"),
			l.waits(at, quality.WaitQuarantine)...)
	case event.ReasonForeignRestriction:
		return []string{"Someone else restricted it in " + l.ERP + "; that stays until they take it back there."}
	case event.ReasonUsageNotVerified:
		if shown := l.shown(at); shown != "" {
			return []string{shown + "."}
		}
		return []string{"What the ERP " + l.ERP + " shows was not read yet."}
	case event.ReasonGap:
		return append([]string{"Something of its time is not known. It takes the data, or a signature by coverage accept:"},
			append(l.waits(at, quality.WaitGap), l.waits(at, quality.WaitQuarantine)...)...)
	case event.ReasonBarrier:
		return append([]string{"Before it is released, each plant that saw it has to answer whether it knows of a hold."},
			l.waits(at, quality.WaitAnswer)...)
	}
	return []string{"Reason: " + string(r) + "."}
}

// waits tells each thing of a kind that the release waits for.
func (l *Lot) waits(at func(time.Time) string, kind quality.WaitKind) []string {
	var words []string
	for i := range l.WaitsFor {
		w := &l.WaitsFor[i]
		if w.Kind != kind {
			continue
		}
		object := ""
		if strings.HasPrefix(w.Object, "gap:") {
			object = ", " + w.Object
		}
		words = append(words, fmt.Sprintf("- %s (since %s%s).", strings.TrimSuffix(w.Words, "."), at(w.Since), object))
	}
	return words
}

func (l *Lot) holdWords(at func(time.Time) string) []string {
	var words []string
	for i := range l.OpenHolds {
		h := &l.OpenHolds[i]
		text := fmt.Sprintf("Held since %s by %s (%s): %s.", at(h.PlacedAt), who(h.PlacedBy), h.Kind, strings.TrimSuffix(h.Reason, "."))
		switch {
		case h.Scope != nil:
			text += fmt.Sprintf(" The hold covers every lot of %s %s.", h.Scope.Kind, h.Scope.Value)
		case !h.EnforcedAt.IsZero():
			text += fmt.Sprintf(" %s enforces it since %s.", l.ERP, at(h.EnforcedAt))
		case l.ERP != "":
			text += fmt.Sprintf(" %s was not read to enforce it yet.", l.ERP)
		}
		words = append(words, text)
	}
	return words
}

func who(principal string) string {
	if principal == "rule" {
		return "a rule"
	}
	return principal
}

func (l *Lot) deadletterWords(state store.DeadletterState, text string) []string {
	var words []string
	for _, d := range l.Deadletters {
		if d.State == state {
			words = append(words, fmt.Sprintf("%s (dead letter %d): %s (%s).", text, d.ID, strings.TrimSuffix(d.Cause, "."), d.Code))
		}
	}
	return words
}

// inWords tells about an effect that is not done.
func (e *Effect) inWords(at func(time.Time) string) string {
	what := map[quality.Kind]string{
		quality.LotUsageSet: "The lot's usage", quality.StockTransfer: "A stock transfer",
		quality.InspectionSubmit:     "The inspection's record",
		quality.NonconformanceEnsure: "The nonconformance's record", quality.NonconformanceAdvance: "The nonconformance's state",
		quality.UsageDecisionPost: "The usage decision", quality.TasksGate: "The gate of the lot's warehouse tasks",
		quality.NoticeSend: "A notice to customer service",
	}[e.Kind]
	if what == "" {
		what = "An effect of kind " + string(e.Kind)
	}
	switch e.State {
	case store.EffectDue, store.EffectLeased:
		text := fmt.Sprintf("%s is not in %s yet, asked %s", what, e.System, at(e.AskedAt))
		if e.Tries > 0 {
			text += fmt.Sprintf(", %s%s", tries(e.Tries), e.said())
		}
		if e.State == store.EffectDue {
			text += ", next try " + at(e.NextTryAt)
		}
		return text + "."
	case store.EffectException:
		return fmt.Sprintf("%s was refused by %s%s; a person has to put it right there.", what, e.System, e.said())
	}
	return ""
}

func tries(n int64) string {
	if n == 1 {
		return "tried once"
	}
	return fmt.Sprintf("tried %d times", n)
}

func (e *Effect) said() string {
	switch {
	case e.Message != "" && e.Code != "":
		return fmt.Sprintf(" (%s: %s)", e.Code, strings.TrimSuffix(e.Message, "."))
	case e.Message != "" || e.Code != "":
		return " (" + strings.TrimSuffix(e.Code+e.Message, ".") + ")"
	case e.Outcome != "":
		return " (" + string(e.Outcome) + ")"
	}
	return ""
}

func usageWord(u event.UsageStatus) string {
	switch u {
	case event.InInspection:
		return "in inspection"
	case event.OtherUsage:
		return "under a code that is not known"
	}
	return string(u)
}

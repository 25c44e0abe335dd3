package console

import (
	"fmt"
	"html/template"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// badge is a state as icon, word and colour: none of the three alone.
type badge struct {
	Icon  template.HTML
	Class string // alarm, bad, wait, move or calm
	Word  string
}

// State shows where a lot stands on the way to its release.
func (v *visit) State(s quality.ReleaseState) badge {
	word := v.Word("release", s)
	switch s {
	case quality.Held:
		return badge{v.Icon("held"), "alarm", word}
	case quality.Rejected:
		return badge{v.Icon("rejected"), "bad", word}
	case quality.Released:
		return badge{v.Icon("released"), "calm", word}
	case quality.Asking, quality.Releasing:
		return badge{v.Icon("releasing"), "move", word}
	}
	return badge{v.Icon("wait"), "wait", word}
}

// Usage shows what an ERP enforces.
func (v *visit) Usage(u event.UsageStatus) badge {
	word := v.Word("usage", u)
	switch u {
	case event.Blocked:
		return badge{v.Icon("rejected"), "bad", word}
	case event.Unrestricted:
		return badge{v.Icon("released"), "calm", word}
	case event.InInspection:
		return badge{v.Icon("wait"), "wait", word}
	}
	return badge{v.Icon("held"), "alarm", word}
}

// Verdict shows how something was judged.
func (v *visit) Verdict(e any) badge {
	word := v.Word("verdict", e)
	switch fmt.Sprint(e) {
	case string(event.Fail), string(event.Indeterminate):
		return badge{v.Icon("fail"), "bad", word}
	case string(event.Pass):
		return badge{v.Icon("pass"), "calm", word}
	}
	return badge{v.Icon("wait"), "wait", word}
}

// Why tells in a line why a lot stands where it does.
func (v *visit) Why(l *api.LotLine) (string, error) {
	switch {
	case l.Release == quality.Held && l.HeldFor != "":
		return l.HeldFor, nil
	case l.Release == quality.Rejected:
		return v.Word("decision", l.Disposition), nil
	case len(l.WaitsFor) > 0:
		text, err := v.WaitsFor(l.WaitsFor[0])
		return sentence(text), err
	}
	return "", nil
}

// WaitsFor tells what a release waits for. Which number an agent has not answered says nothing to a person; when it was
// heard last stands on the page of the lot.
func (v *visit) WaitsFor(w quality.ReleaseWait) (string, error) {
	if w.Kind == quality.WaitAnswer {
		if w.Agent == "" {
			return v.T("coverage.unheard", string(w.Plant))
		}
		return v.T("coverage.silent", string(w.Plant)+"/"+w.Agent)
	}
	return w.Words, nil
}

// Sentence begins a text with a capital letter.
func (v *visit) Sentence(text string) string { return sentence(text) }

// sentence begins a text with a capital letter.
func sentence(text string) string {
	r, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(r)) + text[size:]
}

// EffectState shows how far a change in another system has come.
func (v *visit) EffectState(e api.Effect) badge {
	switch e.State {
	case store.EffectException:
		return badge{v.Icon("fail"), "bad", v.Word("effectstate", e.State)}
	case store.EffectSettled:
		return badge{v.Icon("done"), "calm", v.Word("outcome", e.Outcome)}
	}
	if e.Tries > 0 {
		return badge{v.Icon("warn"), "alarm", v.Word("effectstate", "retrying")}
	}
	return badge{v.Icon("wait"), "wait", v.Word("effectstate", e.State)}
}

// HoldKinds lists what a person may choose.
func (v *visit) HoldKinds() []event.HoldKind {
	return []event.HoldKind{event.HoldQuality, event.HoldSafety, event.HoldRecall, event.HoldDoc}
}

package workflow

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Alert codes. Code and subject name one alert, which is raised once and cleared once.
const (
	AlertSilent      event.Name = "agent_silent"        // subject: plant/agent
	AlertUnenforced  event.Name = "hold_unenforced"     // subject: lot
	AlertInspection  event.Name = "inspection_stuck"    // subject: lot
	AlertDisposition event.Name = "disposition_delayed" // subject: lot
	AlertStuck       event.Name = "release_stuck"       // subject: lot
	AlertRisk        event.Name = "order_at_risk"       // subject: order/line@lot
	AlertRetired     event.Name = "agent_retired_sends" // subject: plant/agent
	AlertDispatch    event.Name = "dispatch_off"        // subject: system, or AllSystems
)

// remedy says who acts on an alert, and how.
func remedy(code event.Name) (owner event.Name, next string) {
	switch code {
	case AlertSilent:
		return "operator", "look at the agent and its link; if it will not answer, two persons accept its missing answer for each lot that waits"
	case AlertUnenforced:
		return "quality", "the ERP does not show the hold: keep the lot where it is by hand, and look at the effect and the ERP's link"
	case AlertInspection:
		return "quality", "make the inspection that is required, or cancel it with a reason"
	case AlertDisposition:
		return "quality", "decide about the lot in the QMS"
	case AlertGate:
		return "warehouse", "stop the lot's tasks by hand, and find what was picked or shipped; the alert ends by itself when the warehouse shows them held"
	case AlertSubmit:
		return "operator", "look at the effect and the QMS's link; who decides about the lot may miss the result there"
	case AlertRisk:
		return "customer service", "tell the customer, or hurry what the lot waits for"
	case AlertRetired:
		return "operator", "switch the gateway off; if it is to serve again, accept its newest epoch by agents epoch decide"
	case AlertDispatch:
		return "admin", "keep held lots where they are by hand; look at what waits by systems list, then systems dispatch on, or systems resume"
	case store.AlertTopic:
		return "operator", "make the topic, or give the cloud the right to write it; what waits is sent by itself then"
	case store.AlertUnfit:
		return "operator", "report this with the record's key: the lot is shown as not free to move, or the agent is told nothing new, until it fits"
	}
	return "operator", "look at what the lot's release waits for, and at the ERP's link"
}

// Raise raises an alert for a part that has no events of its own. One that is raised already stays as it is.
func (e *Engine) Raise(ctx context.Context, code event.Name, subject, detail string) error {
	t := &turn{}
	return e.commit(ctx, t, func() error { return t.raise(code, subject, detail) })
}

// Clear takes back what [Engine.Raise] raised; it does nothing where nothing is raised.
func (e *Engine) Clear(ctx context.Context, code event.Name, subject string) error {
	t := &turn{}
	return e.commit(ctx, t, func() error { return t.clear(code, subject) })
}

// Raised returns the subjects of the alerts of a code that are raised, sorted.
func (e *Engine) Raised(ctx context.Context, code event.Name) (subjects []string, err error) {
	err = e.store.View(ctx, func(tx *store.Tx) error {
		subjects, err = tx.AlertSubjects(code)
		return err
	})
	return subjects, err
}

func (t *turn) raise(code event.Name, subject, detail string) error {
	owner, next := remedy(code)
	a := event.Alert{Code: code, About: subject, Since: event.At(t.now), Owner: owner, NextStep: next, Detail: detail}
	fresh, err := t.tx.PutAlert(&a)
	if err != nil || !fresh {
		return err
	}
	return t.announce(TopicAlert, &event.AlertRaised{Alert: a}, nil, "alert", string(code), subject, strconv.FormatInt(t.now.UnixMicro(), 10))
}

func (t *turn) clear(code event.Name, subject string) error {
	a, err := t.tx.DropAlert(code, subject)
	if err != nil || a == nil {
		return err
	}
	return t.announce(TopicAlert, &event.AlertCleared{Alert: *a}, nil, "alert", string(code), subject, a.Since.String())
}

// watch raises and clears the alerts that a lot's own state carries.
func (t *turn) watch(lot, was *quality.Lot) error {
	if was == nil {
		was = &quality.Lot{}
	}
	subject := string(lot.Key)
	switch {
	case lot.Unenforced && !was.Unenforced:
		if err := t.raise(AlertUnenforced, subject, "an open hold is not shown by the ERP since five minutes"); err != nil {
			return err
		}
	case !lot.Unenforced && was.Unenforced:
		if err := t.clear(AlertUnenforced, subject); err != nil {
			return err
		}
	}
	late, wasLate := lot.Release.Late, was.Release.Late
	switch {
	case late && !wasLate:
		return t.raise(lateAlert(lot.Release.State), subject, fmt.Sprintf("in state %s since %s", lot.Release.State, event.At(lot.Release.Since)))
	case !late && wasLate:
		return t.clear(lateAlert(was.Release.State), subject)
	}
	return nil
}

func lateAlert(s quality.ReleaseState) event.Name {
	switch s {
	case quality.AwaitingInspection, quality.Evaluating:
		return AlertInspection
	case quality.AwaitingDisposition:
		return AlertDisposition
	}
	return AlertStuck
}

// watchNotice raises and clears the alert of a promised date.
func (t *turn) watchNotice(n *quality.Notice) error {
	if n.Hold != "" {
		return nil
	}
	subject := n.Order + "/" + n.Line + "@" + string(n.Lot)
	if n.Clear == "" && (n.AtRisk == quality.StepWanted || n.AtRisk == quality.StepSent || n.AtRisk == quality.StepFailed) {
		return t.raise(AlertRisk, subject, n.Reason)
	}
	return t.clear(AlertRisk, subject)
}

// listen raises an alert for each agent that a release has waited for too long, and clears those of agents that none
// waits for any more. Nothing is decided by the time that passed.
func (t *turn) listen() error {
	fresh, over, err := t.silence()
	if err != nil {
		return err
	}
	for i := range fresh {
		s := &fresh[i]
		heard := "it never stated how much it has on disk"
		if !s.HeadAt.IsZero() {
			heard = "its newest statement is of " + event.At(s.HeadAt).String()
		}
		detail := fmt.Sprintf("%d lots wait for its answer, the first since %s; %s", s.Lots, event.At(s.Since), heard)
		if err := t.raise(AlertSilent, s.Subject(), detail); err != nil {
			return err
		}
	}
	for _, subject := range over {
		if err := t.clear(AlertSilent, subject); err != nil {
			return err
		}
	}
	return nil
}

// silence returns the agents that have become silent, and the subjects of those that are no longer.
func (t *turn) silence() (fresh []store.SilentAgent, over []string, err error) {
	maxAge := t.engine.cfg.CoverageMaxAge
	if maxAge == 0 {
		maxAge = defaultMaxAge
	}
	silent, err := t.tx.Silent(t.now.Add(-maxAge))
	if err != nil {
		return nil, nil, err
	}
	known, err := t.tx.AlertSubjects(AlertSilent)
	if err != nil {
		return nil, nil, err
	}
	for i := range silent {
		if !slices.Contains(known, silent[i].Subject()) {
			fresh = append(fresh, silent[i])
		}
	}
	for _, subject := range known {
		if !slices.ContainsFunc(silent, func(s store.SilentAgent) bool { return s.Subject() == subject }) {
			over = append(over, subject)
		}
	}
	return fresh, over, nil
}

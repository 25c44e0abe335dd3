package quality

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Decision is what a disposition says about a lot or a part of it.
type Decision = event.Decision

// Decisions (ISO 9000).
const (
	Release            = event.DecisionRelease
	ConditionalRelease = event.DecisionConditionalRelease
	ReworkLot          = event.DecisionRework
	Regrade            = event.DecisionRegrade
	ReturnToSupplier   = event.DecisionReturn
	Scrap              = event.DecisionScrap
	Reject             = event.DecisionReject
)

// Disposition is one signed decision. It is never changed but for the one that takes its place.
type Disposition struct {
	ID           event.ObjectID   `json:"id"`
	Lot          event.LotKey     `json:"lot"`
	Version      int64            `json:"version"`
	Q            event.Quantity   `json:"q"`
	Decision     Decision         `json:"decision"`
	SignedBy     string           `json:"signed_by"`
	Reason       string           `json:"reason"`
	DecidedAt    time.Time        `json:"decided_at"`
	Condition    string           `json:"condition,omitempty"`
	BasedOn      []event.ObjectID `json:"based_on,omitempty"`
	Supersedes   event.ObjectID   `json:"supersedes,omitempty"`
	SupersededBy event.ObjectID   `json:"superseded_by,omitempty"` // empty = it counts
	Cause        event.ID         `json:"cause"`
}

// Name names one disposition of one lot in ledger and store.
func (d *Disposition) Name() string { return string(d.ID) + "@" + string(d.Lot) }

// Counts tells whether no other took its place.
func (d *Disposition) Counts() bool { return d.SupersededBy == "" }

// dispositionMade takes a decision: the first on a quantity, or one that supersedes another, which it has to name.
func dispositionMade(e *event.Event, d *event.Disposition, supersedes event.ObjectID, o Objects) (Change, error) {
	if e.Plant != "" && e.Origin.Agent != "" && o.Plant.QMS != "" && !o.Judged {
		return Change{}, &Refusal{"the QMS decides about lots",
			fmt.Sprintf("plant %s has the QMS %s, which is the system of record for disposition %s", e.Plant, o.Plant.QMS, d.DispositionID)}
	}
	if o.Lot == nil || o.Lot.Stub {
		return Change{}, &Wait{Object: string(d.Lot)}
	}
	if e.Origin.Agent != "" && e.Plant != o.Lot.Plant {
		return Change{}, &Refusal{"a plant decides about its own lots only",
			fmt.Sprintf("lot %s is of plant %q, disposition %s came from plant %s", d.Lot, o.Lot.Plant, d.DispositionID, e.Plant)}
	}
	var c Change
	if supersedes != "" {
		old, err := superseded(d, supersedes, o)
		if err != nil {
			return c, err
		}
		old.SupersededBy = d.DispositionID
		c.Dispositions = append(c.Dispositions, *old)
	}
	made := Disposition{
		ID: d.DispositionID, Lot: d.Lot, Q: d.Q, Decision: d.Decision, SignedBy: string(d.SignedBy), Reason: d.Reason,
		DecidedAt: d.DecidedAt.Time, Condition: d.Condition, BasedOn: d.BasedOn, Supersedes: supersedes, Cause: e.ID,
	}
	c.Dispositions = append(c.Dispositions, made)
	c.Known = append(c.Known, string(made.ID))
	if err := c.settleDecision(e, &made, o); err != nil {
		return Change{}, err
	}
	return c, nil
}

func superseded(d *event.Disposition, id event.ObjectID, o Objects) (*Disposition, error) {
	i := slices.IndexFunc(o.Dispositions, func(x Disposition) bool { return x.ID == id })
	if i < 0 {
		return nil, &Wait{Object: string(id)}
	}
	old := o.Dispositions[i]
	if !old.Counts() {
		return nil, &Refusal{"a decision is revised by naming the one that counts",
			fmt.Sprintf("disposition %s names %s, which %s has superseded", d.DispositionID, id, old.SupersededBy)}
	}
	return &old, nil
}

// settleDecision works out what the lot's dispositions say together: the worst quantity rules.
func (c *Change) settleDecision(e *event.Event, made *Disposition, o Objects) error {
	if slices.ContainsFunc(o.Dispositions, func(x Disposition) bool { return x.ID == made.ID }) {
		return &Refusal{"a decision is never edited", fmt.Sprintf("disposition %s is known; a revision has an id of its own", made.ID)}
	}
	if made.Q.Unit != o.Lot.Q.Unit {
		return &Refusal{"a decision is about a quantity of the lot",
			fmt.Sprintf("disposition %s is about %s, lot %s is counted in %s", made.ID, made.Q.Unit, o.Lot.Key, o.Lot.Q.Unit)}
	}
	lot := *o.Lot
	sum := new(big.Rat)
	lot.Decision = ""
	for _, d := range merge(o.Dispositions, c.Dispositions, (*Disposition).Name) {
		if d.Counts() {
			sum.Add(sum, d.Q.Value.Rat())
			lot.Decision = worseDecision(lot.Decision, d.Decision)
		}
	}
	switch cmp := sum.Cmp(lot.Q.Value.Rat()); {
	case cmp > 0:
		return &Refusal{"a quantity is decided about once",
			fmt.Sprintf("with disposition %s %s %s of %s would be decided about; a revision names the decision that it supersedes",
				made.ID, sum.FloatString(3), lot.Q.Unit, lot.Q.Value)}
	default:
		lot.Remainder = cmp < 0
	}
	c.decided = true
	c.setLot(&lot, e, o)
	c.wantUsage(o, lot.Key, MoreRestrictive(OwnUsage(&lot, o.Open), OwnUsage(o.Lot, o.Open)))
	if rejects(made.Decision) {
		c.wantUsageDecision(made, o) // a release is posted when it was granted
	}
	return nil
}

// wantUsageDecision asks each ERP of the lot's plants to close its inspection lot by the decision. The command at another
// than the lot's own ERP names the system.
func (c *Change) wantUsageDecision(d *Disposition, o Objects) {
	for _, erp := range o.systems(func(p *Plant) string { return p.ERP }) {
		object := string(d.ID)
		if erp != o.home().ERP {
			object += "@" + erp
		}
		c.Intents = append(c.Intents, Intent{
			Kind: UsageDecisionPost, System: erp, Object: string(d.ID), Lot: d.Lot, CommandID: CommandID("w1", object, "usage_decision", 1),
			Urgent: rejects(d.Decision),
		})
	}
}

// rejects tells whether a decision takes the lot out of use.
func rejects(d Decision) bool { return d == Reject || d == Scrap || d == ReturnToSupplier }

// worseDecision orders decisions by what they leave of the lot. No decision is the mildest.
func worseDecision(a, b Decision) Decision {
	for _, d := range []Decision{Scrap, Reject, ReturnToSupplier, ReworkLot, Regrade, ConditionalRelease, Release} {
		if a == d || b == d {
			return d
		}
	}
	return ""
}

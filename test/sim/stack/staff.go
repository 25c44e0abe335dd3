package stack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/gen/company"
	"github.com/holdfast-mesh/holdfast/test/sim/order"
	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	"github.com/holdfast-mesh/holdfast/test/sim/sap"
)

// Staff are the people who work in the business systems.
type Staff struct {
	*Systems
	// Lift lifts all open holds of a lot by the cloud's API. It returns [ErrTooEarly] where the cloud does not know yet what
	// the act needs.
	Lift func(ctx context.Context, a *company.Act) error

	dispositions map[string]string // id in the QMS, by the id in the acts
}

// ErrTooEarly is returned for an act that has to wait for something that is on its way.
var ErrTooEarly = errors.New("what the act is about is not there yet")

// again is how long a person waits before trying again what came too early.
const again = 200 * time.Millisecond

// Prepare makes the lots known to ERP and warehouse before anything is said about them: goods receipts, under an
// inspection lot where the ERP inspects the material, and one task for each, which waits until the lot is freed. What
// will be decided twice goes into free stock: the ERP takes one usage decision on an inspection lot.
func (s *Staff) Prepare(lots []company.Lot, acts []company.Act) error {
	free := map[event.LotKey]bool{}
	for i := range acts {
		free[acts[i].Lot] = free[acts[i].Lot] || acts[i].Kind == company.Revise
	}
	codes := map[string]string{}
	for _, site := range dialect.Sites() {
		codes[site.Plant] = ERPPlant(site)
	}
	for i := range lots {
		l := &lots[i]
		s.WMS.AddTask(string(l.Key), "putaway", "")
		at := codes[l.Plant]
		if free[l.Key] {
			s.ERPOf(l.Plant).AddBatch(l.Material, l.Number, at, "500", "01")
			continue
		}
		if _, err := s.ERPOf(l.Plant).Receive(l.Material, l.Number, at, "500"); err != nil {
			return fmt.Errorf("goods receipt of lot %s: %w", l.Key, err)
		}
	}
	return nil
}

// Play does the acts, each at its offset from start or, where it came too early, as soon as it can be done. It returns
// when all are done, or when ctx ends.
func (s *Staff) Play(ctx context.Context, start time.Time, acts []company.Act) error {
	var later []*company.Act
	retry := time.Now()
	for i := range acts {
		due := start.Add(acts[i].Offset)
		for len(later) > 0 && retry.Before(due) {
			if err := s.retry(ctx, &retry, &later); err != nil {
				return err
			}
		}
		if err := Until(ctx, due); err != nil {
			return err
		}
		if err := s.try(ctx, &acts[i], &later); err != nil {
			return err
		}
	}
	for len(later) > 0 {
		if err := s.retry(ctx, &retry, &later); err != nil {
			return err
		}
	}
	return nil
}

// retry waits for its turn and tries once more what came too early.
func (s *Staff) retry(ctx context.Context, at *time.Time, later *[]*company.Act) error {
	if err := Until(ctx, *at); err != nil {
		return err
	}
	*at = time.Now().Add(again)
	waiting := *later
	*later = nil
	for _, a := range waiting {
		if err := s.try(ctx, a, later); err != nil {
			return err
		}
	}
	return nil
}

func (s *Staff) try(ctx context.Context, a *company.Act, later *[]*company.Act) error {
	err := s.Do(ctx, a)
	if errors.Is(err, ErrTooEarly) {
		*later = append(*later, a)
		return nil
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s of %s in %s: %w", a.Kind, a.Lot, a.In, err)
	}
	return ctx.Err()
}

// Do does one act.
func (s *Staff) Do(ctx context.Context, a *company.Act) (err error) {
	switch a.Kind {
	case company.Allocate:
		o := a.Order
		s.WMS.AddTask(string(a.Lot), "pick", o.ID)
		s.Orders.AddLine(order.Line{Order: o.ID, Line: o.Line, Customer: o.Customer, Promised: o.PromisedAt})
		s.Orders.Allocate(o.ID, o.Line, string(a.Lot), a.Q, "kg")
	case company.Decide:
		id := s.QMS.AwaitDisposition(string(a.Lot), a.Q, "kg")
		s.remember(a.Disposition, id)
		return s.QMS.Sign(id, signature(a))
	case company.Revise:
		id, err := s.QMS.Revise(s.dispositions[a.Supersedes], signature(a))
		s.remember(a.Disposition, id)
		return err
	case company.Restrict:
		return s.ERPOf(a.Plant).Play(sap.Hand{Do: "restrict", Material: a.Material, Batch: a.Number})
	case company.Lift:
		return s.Lift(ctx, a)
	default:
		return fmt.Errorf("nobody knows how to %q", a.Kind)
	}
	return nil
}

func (s *Staff) remember(act, id string) {
	if s.dispositions == nil {
		s.dispositions = map[string]string{}
	}
	s.dispositions[act] = id
}

// signature is the engineer's, in the QMS's own words.
func signature(a *company.Act) qms.Signature {
	words := map[event.Decision]string{
		event.DecisionRelease: qms.Accepted, event.DecisionConditionalRelease: qms.AcceptedWith, event.DecisionRework: qms.Rework,
		event.DecisionRegrade: qms.Downgraded, event.DecisionReturn: qms.Returned, event.DecisionScrap: qms.Scrapped, event.DecisionReject: qms.Rejected,
	}
	return qms.Signature{Decision: words[a.Decision], Name: a.By, Reason: a.Reason}
}

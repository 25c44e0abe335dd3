package quality

import (
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Reasons returns what speaks against moving the lot. None means that it may move.
func (f *Facts) Reasons(erp string) []event.MoveReason {
	reasons := []event.MoveReason{}
	add := func(when bool, r event.MoveReason) {
		if when {
			reasons = append(reasons, r)
		}
	}
	own := OwnUsage(&f.Lot, f.Open)
	usage, verified := f.Lot.UsageIn(erp)
	add(len(f.Open) > 0, event.ReasonOpenHold)
	add(f.Lot.Stub || f.Lot.Decision == "" && f.Lot.InspectionRequired || f.Lot.Remainder, event.ReasonNoDisposition)
	add(f.Lot.Release.State == Asking, event.ReasonBarrier)
	add(f.Evidence.Gap, event.ReasonGap)
	add(f.Evidence.Parked, event.ReasonParked)
	add(f.Evidence.Quarantined, event.ReasonQuarantine)
	add(verified && (usage.Foreign != "" || MoreRestrictive(usage.Usage, own) && MoreRestrictive(usage.Usage, usage.Own)), event.ReasonForeignRestriction)
	// A decision that forbids, perhaps in the place of a release, counts at once and not only when the ERP shows it.
	forbids := f.Lot.Decision != "" && OwnUsage(&f.Lot, nil) != event.Unrestricted
	add(forbids || erp != "" && (!verified || usage.Usage != event.Unrestricted), event.ReasonUsageNotVerified)
	return reasons
}

// Status returns the lot's status as subscribers see it.
func (f *Facts) Status(erp string) *event.LotStatusUpdated {
	s := &event.LotStatusUpdated{
		OfLot: event.OfLot{Lot: f.Lot.Key}, Version: f.Version, Disposition: event.Name(f.Lot.Decision),
		OpenHolds: []event.OpenHold{}, Usage: []event.SystemUsage{}, Reasons: f.Reasons(erp), AsOf: event.At(f.AsOf),
		Cause: f.Lot.Cause,
	}
	s.MayMove = len(s.Reasons) == 0
	s.Provenance.Source = "holdfast"
	for i := range f.Open {
		h := &f.Open[i]
		s.OpenHolds = append(s.OpenHolds, event.OpenHold{HoldID: h.ID, HoldKind: h.Kind, Reason: h.Reason, PlacedAt: event.At(h.PlacedAt)})
	}
	for _, u := range f.Lot.Usage {
		s.Usage = append(s.Usage, event.SystemUsage{System: event.Name(u.System), Usage: u.Usage, Raw: u.Raw, VerifiedAt: event.At(u.VerifiedAt)})
	}
	return s
}

// HoldsSince returns when the oldest open hold was placed; zero if there is none.
func (f *Facts) HoldsSince() (since time.Time) {
	for i := range f.Open {
		if at := f.Open[i].PlacedAt; since.IsZero() || at.Before(since) {
			since = at
		}
	}
	return since
}

package quality

import (
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Facts is all that decides what may be done with a lot.
type Facts struct {
	Lot      Lot
	Open     []Hold // its own and those by scope, sorted by name
	Evidence Evidence
}

// Wanted returns what the ERP should enforce for the lot now.
func (f *Facts) Wanted(seen Seen) event.UsageStatus {
	return WantedUsage(&f.Lot, f.Open, f.Evidence, seen)
}

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
	add(f.Lot.Stub || f.Lot.Decision == "" && f.Lot.InspectionRequired, event.ReasonNoDisposition)
	add(f.Evidence.Parked, event.ReasonParked)
	add(f.Evidence.Quarantined, event.ReasonQuarantine)
	add(verified && (usage.Foreign != "" || MoreRestrictive(usage.Usage, own) && MoreRestrictive(usage.Usage, usage.Own)), event.ReasonForeignRestriction)
	add(erp != "" && (!verified || usage.Usage != event.Unrestricted), event.ReasonUsageNotVerified)
	return reasons
}

// Status returns the lot's status as subscribers see it.
func (f *Facts) Status(erp string) *event.LotStatusUpdated {
	s := &event.LotStatusUpdated{
		OfLot: event.OfLot{Lot: f.Lot.Key}, Version: f.Lot.Version, Disposition: event.Name(f.Lot.Decision),
		OpenHolds: []event.OpenHold{}, Usage: []event.SystemUsage{}, Reasons: f.Reasons(erp), AsOf: event.At(f.Lot.UpdatedAt),
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

package quality

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Lot is a lot's own state. Its holds are computed, never stored in it: its own and the open scope holds that match it.
type Lot struct {
	Key       event.LotKey      `json:"key"`
	Version   int64             `json:"version"` // raised by each change of the lot, its holds or its usage
	Plant     event.PlantID     `json:"plant,omitempty"`
	Stub      bool              `json:"stub,omitempty"` // known only by a hold so far; all else waits for its creation
	Material  string            `json:"material,omitempty"`
	Q         event.Quantity    `json:"q,omitzero"`
	Origin    event.ObjectID    `json:"origin,omitempty"`
	MadeAt    time.Time         `json:"made_at,omitzero"`
	CreatedAt time.Time         `json:"created_at,omitzero"` // of the fact that the lot exists, by its source; zero for a stub
	SeenAt    time.Time         `json:"seen_at,omitzero"`    // when the cloud first knew of it
	Supplier  string            `json:"supplier,omitempty"`
	Sublot    string            `json:"sublot,omitempty"`
	Equipment event.EquipmentID `json:"equipment,omitempty"`
	// InspectionRequired tells whether the material wants an inspection before use. A material that the master does not
	// know wants one.
	InspectionRequired bool                   `json:"inspection_required,omitempty"`
	InspectionTypes    []event.InspectionType `json:"inspection_types,omitempty"` // that have to be complete; none = any one
	// Decision is the worst of the dispositions that count; empty = none yet. Without stock types in an ERP the worst
	// quantity rules the whole lot.
	Decision Decision `json:"decision,omitempty"`
	// Remainder tells that a part of the quantity is not decided about, though another is.
	Remainder  bool       `json:"remainder,omitempty"`
	Release    LotRelease `json:"release,omitzero"`
	Usage      []Usage    `json:"usage,omitempty"`      // sorted by system
	Unenforced bool       `json:"unenforced,omitempty"` // an open hold was not verified in the ERP in time
	// Gates are the warehouses that were told to hold the lot's tasks and were not read to do so yet, sorted by system.
	Gates []GateWait `json:"gates,omitempty"`
	// Takeback is what became of the lot between its release and what took that back; nil = no release was taken back.
	Takeback *Takeback `json:"takeback,omitempty"`
	// Corrected counts the corrected readings of each characteristic that has any, sorted by characteristic.
	Corrected []Corrected `json:"corrected,omitempty"`
	UpdatedAt time.Time   `json:"updated_at"`
	Cause     event.ID    `json:"cause"`
}

// Usage is what one ERP was last verified to enforce.
type Usage struct {
	System     string            `json:"system"`
	Usage      event.UsageStatus `json:"usage"`
	Raw        string            `json:"raw,omitempty"`
	VerifiedAt time.Time         `json:"verified_at"`
	// Own is what our own rules asked for when we last wrote it, or first saw it there; empty = never. What is more
	// restrictive than this was set by someone else.
	Own event.UsageStatus `json:"own,omitempty"`
	// Foreign is what someone else restricted the lot to. It is kept while a stronger hold of ours hides it, until the
	// system shows less; empty = nothing.
	Foreign event.UsageStatus `json:"foreign,omitempty"`
}

// UsageIn returns what was last verified in a system; ok is false if nothing was.
func (l *Lot) UsageIn(system string) (Usage, bool) {
	i := slices.IndexFunc(l.Usage, func(u Usage) bool { return u.System == system })
	if i < 0 {
		return Usage{}, false
	}
	return l.Usage[i], true
}

// setUsage replaces the entry of u's system; entries stay sorted by system.
func (l *Lot) setUsage(u Usage) {
	l.Usage = slices.Clone(l.Usage)
	i, found := slices.BinarySearchFunc(l.Usage, u, func(a, b Usage) int { return cmpText(a.System, b.System) })
	if found {
		l.Usage[i] = u
		return
	}
	l.Usage = slices.Insert(l.Usage, i, u)
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// rank orders usages by how much they forbid.
func rank(u event.UsageStatus) int {
	switch u {
	case event.Unrestricted:
		return 0
	case event.InInspection:
		return 1
	case event.Blocked:
		return 3
	}
	return 2 // restricted, and vendor codes that are not known
}

// MoreRestrictive tells whether a forbids more than b.
func MoreRestrictive(a, b event.UsageStatus) bool { return rank(a) > rank(b) }

// Seen is what an ERP shows right now.
type Seen struct {
	System string
	Usage  event.UsageStatus
	// Plants have stock of the lot there. One that was not asked before the release is asked first.
	Plants []event.PlantID
	// Ours tells whether a write of ours may have led there since the last verification.
	Ours bool
}

// Evidence is what makes a lot's state uncertain.
type Evidence struct {
	Parked      bool // an event of the lot failed and waits for a person
	Quarantined bool // a record of the lot was not understood
	Gap         bool // an open gap touches the lot, which is not released
	Unasked     bool // a plant or an agent in question has not answered for the release
	Late        bool // an open gap or a missing answer came after the release, which is not verified in all ERPs of the lot
}

// Against tells whether anything speaks against a release.
func (e Evidence) Against() bool { return e.Parked || e.Quarantined || e.Gap }

// keeps tells whether anything speaks against loosening what an ERP enforces to a usage. What is known to have been said of
// the lot and was not understood does in any case; only a release waits for what nobody saw.
func (e Evidence) keeps(want event.UsageStatus) bool {
	return e.Parked || e.Quarantined || e.Gap && want == event.Unrestricted
}

// OwnUsage returns what our rules alone ask an ERP to enforce for the lot: the most restrictive of what its open holds,
// its disposition and its material ask for.
func OwnUsage(lot *Lot, open []Hold) event.UsageStatus {
	want := event.Unrestricted
	raise := func(u event.UsageStatus) {
		if MoreRestrictive(u, want) {
			want = u
		}
	}
	for i := range open {
		raise(open[i].Usage())
	}
	switch lot.Decision {
	case Reject, Scrap, ReturnToSupplier:
		raise(event.Blocked)
	case ConditionalRelease, ReworkLot, Regrade:
		raise(event.Restricted)
	case "":
		if lot.InspectionRequired {
			raise(event.InInspection)
		}
	}
	if lot.Remainder {
		raise(event.InInspection)
	}
	return want
}

// WantedUsage returns what the ERP should enforce for the lot now: what our own rules ask for, but never less than what
// it enforces already where something is missing or where someone else restricted the lot there. Only a lot whose release
// was granted is freed, since each plant has answered for it then.
func WantedUsage(lot *Lot, open []Hold, evidence Evidence, seen Seen) event.UsageStatus {
	own := OwnUsage(lot, open)
	want := own
	if f := ForeignUsage(lot, seen); f != "" && MoreRestrictive(f, want) {
		want = f
	}
	if seen.Usage == event.OtherUsage && want != own {
		return seen.Usage // a vendor's code that is not known is kept as it is
	}
	granted := want != event.Unrestricted || lot.Release.Granted() && !evidence.Unasked
	if MoreRestrictive(seen.Usage, want) && (evidence.keeps(want) || lot.Stub || !granted || isForeign(lot, own, seen)) {
		return seen.Usage
	}
	return want
}

// ForeignUsage returns what someone else restricted the lot to in the system, also where a stronger hold of ours hides it
// by now; empty = nothing. It ends when the system shows less.
func ForeignUsage(lot *Lot, seen Seen) event.UsageStatus {
	last, _ := lot.UsageIn(seen.System)
	f := last.Foreign
	if f != "" && MoreRestrictive(f, seen.Usage) {
		f = ""
	}
	restricted := !MoreRestrictive(event.Restricted, seen.Usage)
	base := firstOwn(lot)
	if last.Own != "" {
		base = last.Own
	}
	if restricted && !seen.Ours && !lot.Stub && MoreRestrictive(seen.Usage, base) && (f == "" || MoreRestrictive(seen.Usage, f)) {
		f = known(seen.Usage)
	}
	return f
}

// isForeign tells whether what is seen was set by someone else.
func isForeign(lot *Lot, want event.UsageStatus, seen Seen) bool {
	if seen.Ours {
		return false
	}
	last, _ := lot.UsageIn(seen.System)
	if last.Own == "" {
		return MoreRestrictive(seen.Usage, want) && MoreRestrictive(seen.Usage, firstOwn(lot))
	}
	return MoreRestrictive(seen.Usage, last.Own)
}

// firstOwn returns what a system may show at first contact without anyone having restricted the lot: what our rules ask
// for without any hold, and for a lot that has to be inspected the stock that such lots come to. It may have been decided
// about while the system could not be reached.
func firstOwn(lot *Lot) event.UsageStatus {
	own := OwnUsage(lot, nil)
	if lot.InspectionRequired && MoreRestrictive(event.InInspection, own) {
		return event.InInspection
	}
	return own
}

// known returns the usage that keeps what is seen; a vendor's code that is not known is kept as a restriction.
func known(u event.UsageStatus) event.UsageStatus {
	if u == event.OtherUsage {
		return event.Restricted
	}
	return u
}

func lotCreated(e *event.Event, d *event.LotCreated, o Objects) (Change, error) {
	if o.Lot != nil && !o.Lot.Stub {
		return Change{}, nil
	}
	if o.Material.BaseUnit != "" && d.Q.Unit != o.Material.BaseUnit && !o.Judged {
		return Change{}, fmt.Errorf("quantity is in %s, the base unit of material %s is %s", d.Q.Unit, d.Material, o.Material.BaseUnit)
	}
	lot := Lot{Key: d.Lot}
	if o.Lot != nil {
		lot = *o.Lot
	}
	if e.Plant != "" {
		lot.Plant = e.Plant // a stub may have come from another plant's hold
	}
	lot.Stub, lot.CreatedAt = false, e.Time
	lot.Material, lot.Q, lot.Origin = string(d.Material), d.Q, d.Origin
	lot.MadeAt, lot.Supplier, lot.Sublot, lot.Equipment = d.MadeAt.Time, string(d.Supplier), string(d.Sublot), d.Equipment
	lot.InspectionRequired = o.Material.InspectionRequired || len(o.Material.Inspections) > 0
	lot.InspectionTypes = o.Material.Inspections
	c := Change{Known: []string{string(d.Lot)}}
	c.setLot(&lot, e, o)
	c.wantUsage(o, d.Lot, len(o.Open) > 0)
	return c, nil
}

// lotStatusChanged has the lot looked at again in the system that shows another usage. What someone restricted there
// stays; what someone freed there is restricted again. Nothing is released by what a system shows.
func lotStatusChanged(d *event.LotStatusChanged, o Objects) (Change, error) {
	if o.Lot == nil {
		return Change{}, nil // a lot of the ERP that no plant has spoken of
	}
	if last, ok := o.Lot.UsageIn(string(d.System)); ok && last.Usage == d.Usage {
		return Change{}, nil
	}
	return Change{Intents: []Intent{{
		Kind: LotUsageSet, System: string(d.System), Object: string(d.Lot), Lot: d.Lot,
		Urgent: MoreRestrictive(OwnUsage(o.Lot, o.Open), d.Usage),
	}}}, nil
}

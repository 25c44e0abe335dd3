package event

// LotStatusChanged says that a system shows another usage of a lot than before, whoever changed it there.
type LotStatusChanged struct {
	OfLot
	System     Name        `json:"system"`
	Usage      UsageStatus `json:"usage_status"`
	Raw        string      `json:"raw,omitempty"` // the system's own words
	Q          *Quantity   `json:"q,omitempty"`   // absent = the whole lot
	Location   Name        `json:"location,omitempty"`
	ObservedAt Time        `json:"observed_at"`
	Traced
}

// Type returns [TypeLotStatusChanged].
func (*LotStatusChanged) Type() Type { return TypeLotStatusChanged }

// AllocationChanged says how much of a lot a customer's order line now counts on.
type AllocationChanged struct {
	OfLot
	Order      Name     `json:"order"`
	Line       Name     `json:"line"`
	Customer   Name     `json:"customer"`
	Q          Quantity `json:"q"` // 0 = no longer allocated
	PromisedAt Time     `json:"promised_at,omitzero"`
	Traced
}

// Type returns [TypeAllocationChanged].
func (*AllocationChanged) Type() Type { return TypeAllocationChanged }

package event

// Run is what start and end of a production run say alike. It binds gaps and faults of equipment to the lot.
type Run struct {
	OfLot
	RunID     ObjectID    `json:"run_id"`
	Equipment EquipmentID `json:"equipment"`
	WorkOrder ObjectID    `json:"work_order"`
	At        Time        `json:"at"`
	Traced
}

// RunStarted says that equipment began to work on a lot.
type RunStarted struct{ Run }

// Type returns [TypeRunStarted].
func (*RunStarted) Type() Type { return TypeRunStarted }

// RunEnded says that equipment no longer works on a lot.
type RunEnded struct{ Run }

// Type returns [TypeRunEnded].
func (*RunEnded) Type() Type { return TypeRunEnded }

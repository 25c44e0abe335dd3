package quality

import "github.com/holdfast-mesh/holdfast/pkg/event"

// WantedGate returns what a warehouse may do with the lot's tasks now: nothing, unless the release is verified in the
// ERP and nothing speaks against moving the lot.
func WantedGate(f *Facts, erp string) Gate {
	if len(f.Reasons(erp)) == 0 {
		return GateOpen
	}
	return GateHeld
}

// free tells whether the lot's own state lets it move.
func free(lot *Lot, open []Hold, erp string) bool {
	usage, _ := lot.UsageIn(erp)
	return lot.Release.State == Released && len(open) == 0 && !lot.Stub && usage.Foreign == "" && (erp == "" || usage.Usage == event.Unrestricted)
}

// gate asks the warehouses for what the lot's new state wants: at once and first where a hold was placed, and open only
// after the release.
func (c *Change) gate(lot *Lot, open []Hold, o *Objects) {
	erp := o.home().ERP
	// A lot that was released had no hold; one by scope may stand in o already.
	was := o.Lot != nil && free(o.Lot, nil, erp)
	now := free(lot, open, erp)
	held := len(open) > len(o.Open) || lot.Release.State == Held && (o.Lot == nil || o.Lot.Release.State != Held)
	if was == now && !held {
		return
	}
	for _, wms := range o.systems(func(p *Plant) string { return p.WMS }) {
		c.Intents = append(c.Intents, Intent{Kind: TasksGate, System: wms, Object: string(lot.Key), Lot: lot.Key, Urgent: !now})
	}
}

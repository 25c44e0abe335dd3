package reconcile

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// TestLift_BeforeTheDecision holds a lot that waits in inspection and lifts the hold before anybody decides: the ERP shows the
// lot as it was, in inspection and without the hold's restriction. What someone else restricts there stays.
func TestLift_BeforeTheDecision(t *testing.T) {
	c := newCompany(t)
	const lot = event.LotKey("lot::M:B00")
	_, err := c.erp.Receive("M", "B00", "1010", "100")
	c.must(err)
	c.apply(&event.LotCreated{OfLot: event.OfLot{Lot: lot}, Material: "M", Q: event.Quantity{Value: "100", Unit: "KG"}, Origin: "work_order:mes1:1"}, "created")
	defer c.run("s4")()
	usage := func() quality.Usage { l := c.lot(lot); u, _ := l.UsageIn("s4"); return u }
	shows := func(want event.UsageStatus, restricted bool) func() string {
		return func() string {
			if u := usage(); u.Usage != want || c.erp.Restricted("M", "B00") != restricted || c.erp.Stock("M", "B00", "02") != "100" {
				return fmt.Sprintf("%+v, restricted %t, %s in inspection; want %s", u, c.erp.Restricted("M", "B00"), c.erp.Stock("M", "B00", "02"), want)
			}
			return c.open()
		}
	}
	c.until("before", shows(event.InInspection, false))
	for round, kind := range []event.HoldKind{event.HoldQuality, event.HoldSafety} {
		id := event.ObjectID(fmt.Sprint("hold:q:", round))
		c.apply(&event.HoldPlaced{
			MayLot: event.MayLot{Lot: lot}, HoldID: id, HoldKind: kind, Reason: "oil on the part", PlacedBy: "ann",
			PlacedAt: event.At(time.Now()), Authority: event.AuthorityQuality,
		}, "held", string(id))
		c.until("held", shows([]event.UsageStatus{event.Restricted, event.Blocked}[round], true))
		c.apply(&event.HoldLifted{
			MayLot: event.MayLot{Lot: lot}, HoldID: id, Reason: "cleaned", LiftedBy: "ann", LiftedAt: event.At(time.Now()), Authority: event.AuthorityQuality,
		}, "lifted", string(id))
		c.until("lifted", shows(event.InInspection, false))
	}
	c.must(c.erp.SetByHand("M", "B00", event.Restricted))
	c.until("restricted by hand", func() string {
		if u := usage(); u.Foreign != event.Restricted || !c.erp.Restricted("M", "B00") {
			return fmt.Sprintf("%+v, restricted %t", u, c.erp.Restricted("M", "B00"))
		}
		return c.open()
	})
}

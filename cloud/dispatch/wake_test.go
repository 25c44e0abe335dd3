package dispatch

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// TestDispatcher_NothingWaitsForATimer asks for effects at any moment, also for some that are out, and has them end in all ways
// in which an attempt ends. While a worker is free nothing that is due waits longer than a call takes: no wake-up is lost.
func TestDispatcher_NothingWaitsForATimer(t *testing.T) {
	const (
		lots = 48
		call = 10 * time.Millisecond // of an absent system that is back
	)
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.live()
				r := rand.New(rand.NewPCG(seed, 7))
				s := &absent{system: b.system, back: true}
				b.target("s4").system = s
				b.lots(lots)
				b.run()
				for round := range 20 {
					<-time.After(time.Duration(r.IntN(20)) * time.Millisecond)
					asked := r.Perm(lots)[:r.IntN(8)]
					if round >= 18 { // more than there are workers, and all of them a second time while the first are out
						asked = r.Perm(lots)
					}
					for _, i := range asked {
						lot := event.LotKey(fmt.Sprintf("lot::M:A%d", i))
						b.apply(&event.LotStatusChanged{
							OfLot: event.OfLot{Lot: lot}, System: "s4", Usage: event.Restricted, Raw: "restricted", ObservedAt: event.At(time.Now()),
						})
					}
					if r.IntN(10) == 0 {
						b.hold(event.ObjectID(fmt.Sprint("hold:q:", r.Uint64())), event.HoldSafety)
					}
				}
				// All workers, one lot after the other: one call for what is seen as it should be, two more where it is written.
				<-time.After(call * (3*lots/16 + 4))
				if n := b.waiting("s4"); n != 0 {
					t.Errorf("%d effects wait, although every worker is free", n)
				}
			})
		})
	}
}

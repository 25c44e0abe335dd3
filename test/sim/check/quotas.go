package check

import (
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/history"
)

// Quotas is I11: a lane stays within its quota; while lane quality takes nothing more, its sources are not told that
// something is kept, but for urgent facts; it is never shed; what telemetry shed is declared, each record once.
func Quotas(r *Run) Finding {
	f := &finder{invariant: "I11"}
	full := map[string]time.Time{} // since when, by plant
	for i := range r.History {
		x := &r.History[i]
		switch {
		case x.Kind == history.Queue:
			f.judge()
			if x.Quota > 0 && x.Size > x.Quota {
				f.wrong(x, "lane %s has %d bytes, its quota is %d", x.Origin.Lane, x.Size, x.Quota)
			}
			if x.Origin.Lane != event.LaneQuality {
				break
			}
			if delete(full, x.Plant); x.State == history.Full {
				full[x.Plant] = x.At
			}
		case x.Kind == history.Acknowledged && !x.Urgent && x.Origin.Lane != event.LaneTelemetry:
			f.judge()
			if since, is := full[x.Plant]; is {
				f.wrong(x, "it was acknowledged although lane quality takes nothing more since %s", since.Format(time.TimeOnly))
			}
		case x.Kind == history.Gap && x.Reason == string(event.LossShed):
			f.judge()
			if x.Origin.Lane == event.LaneQuality {
				f.wrong(x, "lane quality was shed")
			}
			if x.Count < x.ToSeq-x.Origin.Seq+1 {
				f.wrong(x, "%d records are declared as shed, seqs %d to %d are gone", x.Count, x.Origin.Seq, x.ToSeq)
			}
		}
	}
	return f.found
}

package store

import (
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// TestTx_Facts_KeptRecord keeps a record of a press that the cloud did not understand, long after what it tells of.
func TestTx_Facts_KeptRecord(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		hour := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
		for _, c := range []struct {
			name string
			time string // ce_time
			from time.Time
			want []event.LotKey // touched, of one that ran until one, and one that ran from two to three
		}{
			{"with its own time", event.At(hour(2)).String(), hour(2), []event.LotKey{"lot::M:2"}},
			{"from before both", event.At(noon.Add(time.Minute)).String(), noon.Add(time.Minute), []event.LotKey{"lot::M:1", "lot::M:2"}},
			{"without a time", "", time.Time{}, []event.LotKey{"lot::M:1", "lot::M:2"}},
			{"with one that is none", "yesterday", time.Time{}, []event.LotKey{"lot::M:1", "lot::M:2"}},
			{"with one after its arrival", event.At(hour(9)).String(), time.Time{}, []event.LotKey{"lot::M:1", "lot::M:2"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				s := open(t)
				update(t, s, func(tx *Tx) error {
					for i, ran := range [][2]int{{0, 1}, {2, 3}} {
						lot := quality.Lot{Key: event.LotKey([]string{"lot::M:1", "lot::M:2"}[i]), Plant: "p1", MadeAt: noon, CreatedAt: noon, SeenAt: noon}
						run := quality.Run{ID: "run:mes:1", Lot: lot.Key, Plant: "p1", Equipment: "press1", From: hour(ran[0]), To: hour(ran[1])}
						if err := tx.PutLot(&lot); err != nil {
							return err
						}
						if err := tx.PutRun(&run); err != nil {
							return err
						}
					}
					kept := DeadletterRow{State: Quarantined, Key: "press1", Plant: "p1", Code: "E-1", At: hour(5), Updated: hour(5), Message: event.Message{
						Key: []byte("press1"), Value: []byte("{"), Headers: []event.Header{{Key: event.HeaderTime, Value: []byte(c.time)}},
					}}
					return tx.AddDeadletter(&kept)
				})
				var touched []event.LotKey
				view(t, s, func(tx *Tx) error {
					gaps, err := tx.GapsAt("p1")
					if err != nil || len(gaps) != 1 || !gaps[0].From.Equal(c.from) || !gaps[0].To.Equal(hour(5)) {
						t.Errorf("gaps %+v, %v", gaps, err)
					}
					for _, lot := range []event.LotKey{"lot::M:1", "lot::M:2"} {
						f, err := tx.Facts(lot)
						if err != nil {
							return err
						}
						if len(f.Gaps) > 0 {
							touched = append(touched, lot)
						}
					}
					return nil
				})
				if len(touched) != len(c.want) || touched[0] != c.want[0] {
					t.Errorf("it may concern %v, want %v", touched, c.want)
				}
			})
		}
	})
}

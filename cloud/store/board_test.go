package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestTx_Board(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		lot := func(n int) event.LotKey { return event.LotKey(fmt.Sprintf("lot::M:%d", n)) }
		update(t, s, func(tx *Tx) error {
			for n := range 6 {
				l := quality.Lot{Key: lot(n), Plant: event.PlantID(fmt.Sprintf("p%d", n%2+1)), Release: quality.LotRelease{
					State: quality.Held, Since: noon.Add(-time.Duration(n) * time.Minute), // the last one is there longest
				}}
				if n == 5 {
					l.Release.State = quality.Released
				}
				if err := tx.PutLot(&l); err != nil {
					return err
				}
			}
			return nil
		})
		view(t, s, func(tx *Tx) error {
			counts, err := tx.CountStages()
			if err != nil {
				return err
			}
			if want := []StageCount{{quality.Held, "p1", 3}, {quality.Held, "p2", 2}, {quality.Released, "p2", 1}}; !slices.Equal(counts, want) {
				t.Errorf("counts are %v, want %v", counts, want)
			}
			third := BoardPlace{noon.Add(-3 * time.Minute), lot(3)}
			for _, c := range []struct {
				what string
				keys func() ([]BoardPlace, error)
				want []event.LotKey
			}{
				{"oldest first", func() ([]BoardPlace, error) { return tx.StageLots(quality.Held, "", BoardPlace{}, 3) }, []event.LotKey{lot(4), lot(3), lot(2)}},
				{"behind a place", func() ([]BoardPlace, error) { return tx.StageLots(quality.Held, "", third, 3) }, []event.LotKey{lot(2), lot(1), lot(0)}},
				{"of a plant", func() ([]BoardPlace, error) { return tx.StageLots(quality.Held, "p2", BoardPlace{}, 3) }, []event.LotKey{lot(3), lot(1)}},
				{"newest first", func() ([]BoardPlace, error) { return tx.NewestLots(quality.Held, "", BoardPlace{}, 3) }, []event.LotKey{lot(0), lot(1), lot(2)}},
				{"newest before a place", func() ([]BoardPlace, error) { return tx.NewestLots(quality.Held, "", third, 3) }, []event.LotKey{lot(4)}},
			} {
				got, err := c.keys()
				var keys []event.LotKey
				for _, p := range got {
					keys = append(keys, p.Key)
				}
				if err != nil || !slices.Equal(keys, c.want) {
					t.Errorf("%s: %v, %v, want %v", c.what, keys, err, c.want)
				}
			}
			return nil
		})
	})
}

// TestTx_Board_Plan: a look at the board goes through no more lots than it shows.
func TestTx_Board_Plan(t *testing.T) {
	s := openFile(t)
	for _, q := range record(t, s, func(tx *Tx) error {
		_, err := tx.StageLots(quality.Held, "", BoardPlace{}, 3)
		if err == nil {
			_, err = tx.NewestLots(quality.Held, "", BoardPlace{}, 3)
		}
		if err == nil {
			_, err = tx.CountStages()
		}
		return err
	}) {
		for _, step := range plan(t, s, q) {
			if !strings.Contains(step, "COVERING INDEX lot_board") && !strings.Contains(step, "COVERING INDEX lot_release") {
				t.Errorf("all lots are gone through or sorted: %s in\n%s", step, q)
			}
		}
	}
}

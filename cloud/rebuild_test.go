package cloud

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	_ "modernc.org/sqlite" // to change what the product never changes

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// lived writes a database in which a lot was made and held, and returns its configuration.
func lived(t *testing.T) (cfg Config, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "holdfast.db")
	cfg.Database.URL = "sqlite:" + file
	cfg.Plants = []Plant{{ID: "p1", ERP: "s4", QMS: "qms1"}}
	cfg.Materials = []Material{{ID: "M", BaseUnit: "kg"}}
	s, err := store.Open(t.Context(), cfg.Database.URL)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	engine := workflow.New(s, workflow.Config{Plants: cfg.plants(), Materials: cfg.materials()}, func() time.Time { return now }, zerolog.Nop(), nil)
	for i, data := range []event.Data{
		&event.LotCreated{OfLot: event.OfLot{Lot: "lot::M:1"}, Material: "M", Q: event.Quantity{Value: "500", Unit: "kg"}, Origin: "work_order:mes1:1"},
		&event.HoldPlaced{
			MayLot: event.MayLot{Lot: "lot::M:1"}, HoldID: "hold:mes1:1", HoldKind: event.HoldQuality, Reason: "oil", PlacedBy: "ann", PlacedAt: event.At(now),
			Authority: event.AuthorityQuality,
		},
	} {
		data.ReadBy().Source = "mes"
		e := &event.Event{
			ID: event.NaturalID("p1", "mes1", []string{fmt.Sprint(i)}, data.Type(), 0), Source: "/p1/mes1", Time: now, Recorded: now, Plant: "p1", Data: data,
			Origin: event.Origin{Agent: "gw1", Epoch: event.Epoch(strings.Repeat("1", 32)), Prev: event.NoPrev, Lane: event.LaneQuality, Seq: uint64(i + 1)},
		}
		if err := e.Seal("gw1"); err != nil {
			t.Fatal(err)
		}
		in := workflow.Input{Message: e.Message(), Plant: "p1", Place: store.Place{Topic: "holdfast.p1.quality.v1", Offset: int64(i)}}
		if r, err := engine.Apply(t.Context(), []workflow.Input{in}, nil); err != nil || r[0].Outcome != workflow.Accepted {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg, file
}

func TestRebuild(t *testing.T) {
	cfg, file := lived(t)
	t.Run("OK", func(t *testing.T) {
		keep := filepath.Join(t.TempDir(), "rebuilt.db")
		r, err := Rebuild(t.Context(), cfg, keep, zerolog.Nop())
		if err != nil || !r.Same || r.Events != 2 || r.Stored != r.Rebuilt || len(r.Stored) != 64 || r.Kept != keep {
			t.Fatalf("got %+v, %v", r, err)
		}
		s, err := store.Open(t.Context(), "sqlite:"+keep)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		if err := s.View(t.Context(), func(tx *store.Tx) error {
			offs, err := tx.DispatchOffs()
			if len(offs) != 1 || !offs[0].Restored {
				t.Errorf("dispatch is on in a rebuilt database: %+v", offs)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("ErrInUse", func(t *testing.T) {
		s, err := store.Open(t.Context(), cfg.Database.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Rebuild(t.Context(), cfg, "", zerolog.Nop()); err == nil {
			t.Error("the database of a running cloud is read")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("ErrTampered", func(t *testing.T) {
		db, err := sql.Open("sqlite", "file:"+file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), `UPDATE lot SET doc = replace(doc, '"500"', '"501"')`); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if r, err := Rebuild(t.Context(), cfg, "", zerolog.Nop()); err != nil || r.Same || r.Stored == r.Rebuilt {
			t.Errorf("got %+v, %v", r, err)
		}
	})
}

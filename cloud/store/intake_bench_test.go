package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver called pgx
	"github.com/rs/zerolog"
	_ "modernc.org/sqlite" // the driver called sqlite

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/store/storetest"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

const (
	benchPages = 20
	benchPage  = 500 // records in one transaction, as the intake takes them
	benchTopic = "holdfast.p1.quality.v1"
	perLot     = 10 // one is made, nine are measured; of one lot in ten the last fails
)

// BenchmarkIntake applies pages of records with all that belongs to them: state, ledger, effects, outbox, offset. Beside it
// stands what inserts the rows that are left of that, and nothing else, in as many transactions on the same database.
func BenchmarkIntake(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		compare(b, func() (string, string, string) {
			file := filepath.Join(b.TempDir(), "holdfast.db")
			return "sqlite:" + file, "sqlite", "file:" + file + "?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)"
		})
	})
	b.Run("postgres", func(b *testing.B) {
		if os.Getenv("HOLDFAST_PEER_POSTGRES") == "" {
			b.Skip("PEER SKIPPED name=postgres reason=HOLDFAST_PEER_POSTGRES is not set: it names the folder of PostgreSQL's programs")
		}
		compare(b, func() (string, string, string) { url := storetest.Peer(b); return url, "pgx", url })
	})
}

// compare measures both on databases that fresh makes: it returns a URL for the store, and driver and address for others.
func compare(b *testing.B, fresh func() (url, driver, dsn string)) {
	var whole, bare time.Duration
	rows := 0
	for b.Loop() {
		url, driver, dsn := fresh()
		pages := records(b)
		whole += intake(b, url, pages)
		left := readAll(b, driver, dsn)
		_, driver, dsn = made(b, fresh)
		took := insert(b, driver, dsn, left)
		bare += took
		for _, t := range left {
			rows += len(t.rows)
		}
	}
	events := float64(b.N * benchPages * benchPage)
	b.ReportMetric(events/whole.Seconds(), "events/s")
	b.ReportMetric(events/bare.Seconds(), "bare-events/s")
	b.ReportMetric(bare.Seconds()/whole.Seconds(), "of-bare")
	b.ReportMetric(float64(rows)/events, "rows/event")
	b.ReportMetric(0, "ns/op") // says nothing
}

// made makes a database with its tables.
func made(b *testing.B, fresh func() (url, driver, dsn string)) (url, driver, dsn string) {
	b.Helper()
	url, driver, dsn = fresh()
	s, err := store.Open(b.Context(), url)
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	return url, driver, dsn
}

// records returns pages of what one agent sends about lots that it makes and measures.
func records(b *testing.B) (pages [][]workflow.Input) {
	b.Helper()
	at := time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC)
	traced := event.Traced{Provenance: event.Provenance{Source: "mes", RawSHA256: event.Hash(strings.Repeat("a", 64))}}
	var page []workflow.Input
	for n := range benchPages * benchPage {
		lot := n / perLot
		of := event.OfLot{Lot: event.LotKey(fmt.Sprintf("lot::M:%07d", lot))}
		var data event.Data = &event.LotCreated{OfLot: of, Material: "M", Q: event.Quantity{Value: "500", Unit: "kg"}, Origin: "work_order:mes1:1", Traced: traced}
		if i := n % perLot; i > 0 {
			value, verdict := "45.10", event.Pass
			if i == perLot-1 && lot%10 == 0 {
				value, verdict = "61.20", event.Fail
			}
			data = &event.CharacteristicRecorded{
				OfLot: of, InspectionID: event.ObjectID(fmt.Sprint("inspection:mes1:", lot)), Characteristic: "torque", SampleNo: int64(i), Kind: event.Variable,
				Value: event.Name(value), Unit: "N.m", LSL: "40", USL: "50", Evaluation: verdict, MeasuredAt: event.At(at), Traced: traced,
			}
		}
		e := &event.Event{
			ID:     event.NaturalID("p1", "mes1", []string{strconv.Itoa(n)}, data.Type(), 0),
			Source: "/p1/mes1", Time: at, Recorded: at, Plant: "p1", Data: data,
			Origin: event.Origin{Agent: "gw1", Epoch: event.Epoch(strings.Repeat("1", 32)), Prev: event.NoPrev, Lane: event.LaneQuality, Seq: uint64(n + 1)},
		}
		if err := e.Seal("gw1"); err != nil {
			b.Fatal(err)
		}
		page = append(page, workflow.Input{Message: e.Message(), Plant: "p1", Place: store.Place{Topic: benchTopic, Offset: int64(n)}})
		if len(page) == benchPage {
			pages, page = append(pages, page), nil
		}
	}
	return pages
}

// intake applies the pages and returns how long that took.
func intake(b *testing.B, url string, pages [][]workflow.Input) time.Duration {
	b.Helper()
	s, err := store.Open(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	engine := workflow.New(s, workflow.Config{
		Plants:    map[event.PlantID]quality.Plant{"p1": {ID: "p1", ERP: "s4", QMS: "qms1", WMS: "wms1"}},
		Materials: map[string]quality.Material{"M": {BaseUnit: "kg"}},
	}, time.Now, zerolog.Nop(), nil)
	began := time.Now()
	for i, page := range pages {
		offset := workflow.Offset{Topic: benchTopic, From: int64(i * benchPage), To: int64((i + 1) * benchPage)}
		results, err := engine.Apply(b.Context(), page, []workflow.Offset{offset})
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range results {
			if r.Outcome != workflow.Accepted {
				b.Fatalf("a record was %s: %v", r.Outcome, r.Cause)
			}
		}
	}
	return time.Since(began)
}

// table is what a table holds, but for the numbers that the database gives.
type table struct {
	name    string
	columns []string
	rows    [][]any
}

// readAll returns all that is left in the tables that rows were written into.
func readAll(b *testing.B, driver, dsn string) (all []table) {
	b.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, name := range []string{
		"inbox", "lot", "lot_plant", "lot_origin", "lot_status", "hold", "nonconformance", "nonconformance_lot", "inspection", "timer", "effect",
		"ledger", "outbox", "coverage", "epoch", "agent", "release_wait", "kafka_offset",
	} {
		t := table{name: name}
		if err := t.read(b.Context(), db); err != nil {
			b.Fatal(err)
		}
		all = append(all, t)
	}
	return all
}

func (t *table) read(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT * FROM `+t.name)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	given := slices.Index(names, "pos")
	if given < 0 && (t.name == "ledger" || t.name == "outbox") {
		given = slices.Index(names, "id")
	}
	for rows.Next() {
		row, into := make([]any, len(names)), make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if given >= 0 {
			row = slices.Delete(row, given, given+1)
		}
		t.rows = append(t.rows, row)
	}
	t.columns = names
	if given >= 0 {
		t.columns = slices.Delete(names, given, given+1)
	}
	return rows.Err()
}

// statement returns what inserts a row.
func (t *table) statement(driver string) string {
	marks := make([]string, len(t.columns))
	for i := range marks {
		if marks[i] = "?"; driver == "pgx" {
			marks[i] = "$" + strconv.Itoa(i+1)
		}
	}
	return `INSERT INTO ` + t.name + ` (` + strings.Join(t.columns, ", ") + `) VALUES (` + strings.Join(marks, ", ") + `)`
}

// insert inserts the rows in as many transactions as the intake needs, and returns how long that took.
func insert(b *testing.B, driver, dsn string, all []table) time.Duration {
	b.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	began := time.Now()
	statements := map[string]*sql.Stmt{}
	for _, t := range all {
		if statements[t.name], err = db.PrepareContext(b.Context(), t.statement(driver)); err != nil {
			b.Fatal(err)
		}
	}
	for page := range benchPages {
		tx, err := db.BeginTx(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		for _, t := range all {
			st := tx.StmtContext(b.Context(), statements[t.name])
			for _, row := range t.rows[page*len(t.rows)/benchPages : (page+1)*len(t.rows)/benchPages] {
				if _, err := st.ExecContext(b.Context(), row...); err != nil {
					b.Fatalf("insert into %s: %v", t.name, err)
				}
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	took := time.Since(began)
	for _, st := range statements {
		_ = st.Close()
	}
	return took
}

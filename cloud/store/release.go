package store

import (
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// put inserts an object's document under its key, or replaces it. The columns before doc are the key's first, then
// version and what is looked for.
func (t *Tx) put(table string, key, columns []string, doc any, args ...any) error {
	text, err := encodeDoc(doc)
	if err != nil {
		return err
	}
	all := append(append(slices.Clone(key), columns...), "doc")
	query := `INSERT INTO ` + table + ` (` + strings.Join(all, ", ") + `) VALUES (?` + strings.Repeat(", ?", len(all)-1) + `)
		ON CONFLICT (` + strings.Join(key, ", ") + `) DO UPDATE SET `
	for i, c := range all[len(key):] {
		if i > 0 {
			query += `, `
		}
		query += c + ` = excluded.` + c
	}
	return t.exec(query, append(args, text)...)
}

// PutInspection stores an inspection.
func (t *Tx) PutInspection(i *quality.Inspection) error {
	return t.put("inspection", []string{"lot", "id"}, []string{"version"}, i, i.Lot, i.ID, i.Version)
}

// InspectionsOf returns a lot's inspections, sorted by id.
func (t *Tx) InspectionsOf(lot event.LotKey) ([]quality.Inspection, error) {
	return docs[quality.Inspection](t, `SELECT doc FROM inspection WHERE lot = ? ORDER BY id`, lot)
}

// PutDisposition appends a disposition, or stores what superseded it.
func (t *Tx) PutDisposition(d *quality.Disposition) error {
	doc, err := encodeDoc(d)
	if err != nil {
		return err
	}
	return t.exec(`INSERT INTO disposition (lot, id, place, version, doc)
		VALUES (?, ?, (SELECT COUNT(*) + 1 FROM disposition WHERE lot = ?), ?, ?)
		ON CONFLICT (lot, id) DO UPDATE SET version = excluded.version, doc = excluded.doc`, d.Lot, d.ID, d.Lot, d.Version, doc)
}

// DispositionsOf returns a lot's dispositions in the order in which they were decided.
func (t *Tx) DispositionsOf(lot event.LotKey) ([]quality.Disposition, error) {
	return docs[quality.Disposition](t, `SELECT doc FROM disposition WHERE lot = ? ORDER BY place`, lot)
}

// PutRun stores a run.
func (t *Tx) PutRun(r *quality.Run) error {
	return t.put("run", []string{"lot", "id"}, []string{"plant", "equipment", "ended", "version"}, r,
		r.Lot, r.ID, r.Plant, r.Equipment, text(r.To), r.Version)
}

// Run returns a run of a lot, nil if it is not known.
func (t *Tx) Run(id event.ObjectID, lot event.LotKey) (*quality.Run, error) {
	return optional(scanDoc[quality.Run](t.row(`SELECT doc FROM run WHERE lot = ? AND id = ?`, lot, id)))
}

// RunsOf returns a lot's runs, sorted by id.
func (t *Tx) RunsOf(lot event.LotKey) ([]quality.Run, error) {
	return docs[quality.Run](t, `SELECT doc FROM run WHERE lot = ? ORDER BY id`, lot)
}

// RunBefore returns the run that ended last on a run's equipment before it ended, nil if none is known.
func (t *Tx) RunBefore(r *quality.Run) (*quality.Run, error) {
	limit := text(r.To)
	if limit == "" {
		limit = "~" // after every time
	}
	return optional(scanDoc[quality.Run](t.row(`SELECT doc FROM run WHERE plant = ? AND equipment = ? AND ended <> '' AND ended < ?
		AND NOT (lot = ? AND id = ?) ORDER BY ended DESC LIMIT 1`, r.Plant, r.Equipment, limit, r.Lot, r.ID)))
}

// PutCertificate stores a certificate.
func (t *Tx) PutCertificate(c *quality.Certificate) error {
	return t.put("certificate", []string{"id", "lot"}, []string{"version"}, c, c.ID, c.Lot, c.Version)
}

// Certificate returns a certificate, nil if it is not known.
func (t *Tx) Certificate(id event.ObjectID, lot event.LotKey) (*quality.Certificate, error) {
	return optional(scanDoc[quality.Certificate](t.row(`SELECT doc FROM certificate WHERE id = ? AND lot = ?`, id, lot)))
}

// PutAcceptance stores a signature.
func (t *Tx) PutAcceptance(a *quality.Acceptance) error {
	return t.put("acceptance", []string{"id"}, []string{"lot", "plant", "agent", "barrier", "version"}, a,
		a.ID, a.Lot, a.Plant, a.Agent, a.Barrier, a.Version)
}

// AcceptancesOf returns what was signed for a lot, oldest first.
func (t *Tx) AcceptancesOf(lot event.LotKey) ([]quality.Acceptance, error) {
	all, err := docs[quality.Acceptance](t, `SELECT doc FROM acceptance WHERE lot = ? ORDER BY id`, lot)
	slices.SortStableFunc(all, func(a, b quality.Acceptance) int { return a.At.Compare(b.At) })
	return all, err
}

// PutAllocation stores how much an order line counts on a lot.
func (t *Tx) PutAllocation(a *quality.Allocation) error {
	return t.put("allocation", []string{"lot", "name"}, []string{"version"}, a, a.Lot, a.Name(), a.Version)
}

// AllocationsOf returns the order lines that count on a lot, or did, sorted.
func (t *Tx) AllocationsOf(lot event.LotKey) ([]quality.Allocation, error) {
	return docs[quality.Allocation](t, `SELECT doc FROM allocation WHERE lot = ? ORDER BY name`, lot)
}

// PutNotice stores a notice.
func (t *Tx) PutNotice(n *quality.Notice) error {
	return t.put("notice", []string{"id"}, []string{"lot", "version"}, n, n.ID, n.Lot, n.Version)
}

// Notice returns a notice, nil if it is not known.
func (t *Tx) Notice(id event.ObjectID) (*quality.Notice, error) {
	return optional(scanDoc[quality.Notice](t.row(`SELECT doc FROM notice WHERE id = ?`, id)))
}

// NoticesOf returns a lot's notices, sorted by id.
func (t *Tx) NoticesOf(lot event.LotKey) ([]quality.Notice, error) {
	return docs[quality.Notice](t, `SELECT doc FROM notice WHERE lot = ? ORDER BY id`, lot)
}

// AddLotPlant notes that a plant has an event or stock of a lot. It returns false if that was known.
func (t *Tx) AddLotPlant(lot event.LotKey, plant event.PlantID) (bool, error) {
	return t.changed(`INSERT INTO lot_plant (lot, plant) VALUES (?, ?) ON CONFLICT DO NOTHING`, lot, plant)
}

// LotPlants returns the plants that have an event or stock of a lot, sorted.
func (t *Tx) LotPlants(lot event.LotKey) ([]event.PlantID, error) {
	var all []event.PlantID
	err := t.each(func(rows *sql.Rows) error {
		var p event.PlantID
		err := rows.Scan(&p)
		all = append(all, p)
		return err
	}, `SELECT plant FROM lot_plant WHERE lot = ? ORDER BY plant`, lot)
	return all, err
}

// Ask returns a lot's question; the zero Ask if it has none.
func (t *Tx) Ask(lot event.LotKey) (a quality.Ask, err error) {
	var at string
	err = t.row(`SELECT barrier, round, at FROM ask WHERE lot = ?`, lot).Scan(&a.Barrier, &a.Round, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return quality.Ask{}, nil
	}
	if err == nil {
		a.At, err = parse(at)
	}
	return a, err
}

// PutAsk stores a lot's question, where it is not stored as it is. Granted tells that it was answered.
func (t *Tx) PutAsk(lot event.LotKey, a quality.Ask, granted bool) error {
	var same bool
	if err := t.row(`SELECT EXISTS (SELECT 1 FROM ask WHERE lot = ? AND barrier = ? AND round = ? AND granted = ? AND at = ?)`,
		lot, a.Barrier, a.Round, flag(granted), text(a.At)).Scan(&same); err != nil || same {
		return err
	}
	return t.exec(`INSERT INTO ask (lot, barrier, round, granted, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (lot) DO UPDATE SET
		barrier = excluded.barrier, round = excluded.round, granted = excluded.granted, at = excluded.at`, lot, a.Barrier, a.Round, flag(granted), text(a.At))
}

// DropAsk removes a lot's question.
func (t *Tx) DropAsk(lot event.LotKey) error { return t.exec(`DELETE FROM ask WHERE lot = ?`, lot) }

// AskingLots returns the lots that ask, or were granted and are not released, and that have an event or stock at the
// plant. Few lots ask at a time, so that they are looked through rather than the plant's.
func (t *Tx) AskingLots(plant event.PlantID) ([]event.LotKey, error) {
	return t.lotKeys(`SELECT a.lot FROM ask a CROSS JOIN lot_plant p WHERE p.lot = a.lot AND p.plant = ? ORDER BY a.lot`, plant)
}

// LotsAnswered returns the lots whose question, put by a barrier behind after and up to barrier, the plant has answered:
// none of its agents in question has still to do so. An answer to barrier by an agent that had answered after was the
// last one that they waited for at the plant.
func (t *Tx) LotsAnswered(plant event.PlantID, after, barrier int64) ([]event.LotKey, error) {
	return t.lotKeys(`SELECT a.lot FROM ask a CROSS JOIN lot_plant p WHERE a.granted = 0 AND a.barrier > ? AND a.barrier <= ?
		AND p.lot = a.lot AND p.plant = ?
		AND NOT EXISTS (SELECT 1 FROM epoch e LEFT JOIN agent g ON g.plant = e.plant AND g.agent = e.agent
			WHERE e.plant = p.plant AND e.closed = 0 AND e.superseded = 0 AND COALESCE(g.answered, 0) < a.barrier
			AND NOT EXISTS (SELECT 1 FROM acceptance x WHERE x.lot = a.lot AND x.agent = e.agent AND x.plant = e.plant AND x.barrier >= a.barrier))
		ORDER BY a.lot`, after, barrier, plant)
}

// AskingAfter returns at most limit lots behind a key that ask, or were granted and are not released.
func (t *Tx) AskingAfter(after event.LotKey, limit int) ([]event.LotKey, error) {
	return t.lotKeys(`SELECT lot FROM ask WHERE lot > ? ORDER BY lot LIMIT ?`, after, limit)
}

func (t *Tx) lotKeys(query string, args ...any) ([]event.LotKey, error) {
	var all []event.LotKey
	err := t.each(func(rows *sql.Rows) error {
		var k event.LotKey
		err := rows.Scan(&k)
		all = append(all, k)
		return err
	}, query, args...)
	return all, err
}

// NextBarrier raises the one counter of all barriers and returns it. It grows with the clock, so that in a database that
// was rebuilt or restored no agent can have answered the next number already, by one that it had read before.
func (t *Tx) NextBarrier(now time.Time) (int64, error) {
	last, err := t.Barrier()
	if err != nil {
		return 0, err
	}
	n := max(last+1, now.UnixMicro())
	return n, t.exec(`INSERT INTO meta (name, value) VALUES ('barrier', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, strconv.FormatInt(n, 10))
}

// Barrier returns the newest barrier, 0 if there is none.
func (t *Tx) Barrier() (n int64, err error) {
	err = t.row(`SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'barrier'`).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

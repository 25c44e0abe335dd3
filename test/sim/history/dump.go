package history

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Dump is the state of the cloud at one moment, in a form that two runs can be compared by.
type Dump struct {
	Name     string                    // when it was taken
	Objects  map[string]string         // content by table and key
	Versions map[string]int64          // of each object that has one, by the name under which the ledger keeps it
	Coverage map[string]string         // seqs by agent, epoch and lane
	Inbox    map[event.ID]event.Hash   // of the plants' door
	Writes   map[string]map[string]int // effects counted at each target, by kind; filled in by whoever has the books
}

// Hash returns one hash of all objects.
func (d *Dump) Hash() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(d.Objects)) {
		h.Write([]byte(name + "\x00" + d.Objects[name] + "\x00"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// aggregates are the tables that hold quality state as documents, each with the name under which the ledger keeps an
// object of it, as SQL.
func aggregates() []aggregate {
	const ofLot = "CASE lot WHEN '' THEN id ELSE id || '@' || lot END"
	return []aggregate{
		{"lot", "key"}, {"hold", ofLot}, {"nonconformance", "id"}, {"inspection", ofLot}, {"disposition", ofLot}, {"run", ofLot}, {"gap", "id"},
		{"certificate", ofLot}, {"acceptance", "'acceptance:' || id"}, {"allocation", "'allocation:' || name"}, {"notice", "id"},
	}
}

type aggregate struct{ table, name string }

// Dump returns the state that the database holds now.
func (s *Store) Dump(ctx context.Context, name string) (*Dump, error) {
	tx, err := s.view(ctx)
	if err != nil {
		return nil, fmt.Errorf("dump store: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	r := &reader{ctx: ctx, tx: tx}
	d := &Dump{
		Name: name, Objects: map[string]string{}, Versions: map[string]int64{}, Coverage: map[string]string{}, Inbox: map[event.ID]event.Hash{},
		Writes: map[string]map[string]int{},
	}
	if err := r.dump(d); err != nil {
		return nil, fmt.Errorf("dump store: %w", err)
	}
	return d, nil
}

func (r *reader) dump(d *Dump) error {
	for _, a := range aggregates() {
		if err := r.objects(d, a); err != nil {
			return err
		}
	}
	err := r.each(`SELECT plant, agent, epoch, lane, ranges FROM coverage`, func(rows *sql.Rows) error {
		var plant, agent, epoch, lane, ranges string
		if err := rows.Scan(&plant, &agent, &epoch, &lane, &ranges); err != nil {
			return err
		}
		key := plant + "/" + agent + " " + epoch + " " + lane
		before, err := ParseSeqs(d.Coverage[key])
		if err != nil {
			return err
		}
		more, err := ParseSeqs(ranges)
		d.Coverage[key] = before.And(more...).String()
		return err
	})
	if err != nil {
		return err
	}
	return r.each(`SELECT id, hash FROM inbox WHERE door = 'P'`, func(rows *sql.Rows) error {
		var id event.ID
		var hash event.Hash
		err := rows.Scan(&id, &hash)
		d.Inbox[id] = hash
		return err
	})
}

func (r *reader) objects(d *Dump, a aggregate) error {
	return r.each(`SELECT `+a.name+`, version, doc FROM `+a.table, func(rows *sql.Rows) error {
		var name, doc string
		var version int64
		if err := rows.Scan(&name, &version, &doc); err != nil {
			return err
		}
		d.Objects[a.table+" "+name] = doc
		d.Versions[name] = version
		return nil
	})
}

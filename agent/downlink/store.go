package downlink

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// fileName is the store in the data folder.
const fileName = "downlink.db"

const (
	bucketLot  = "lot"  // lot key -> lotRow
	bucketMeta = "meta" // keyControl, keyFresh

	keyControl = "control" // value of the newest control record
	keyFresh   = "fresh"   // Instant up to which lot status is known whole
)

// lockWait is how long another process may still hold the file.
const lockWait = time.Second

// lotRow is what is kept of a lot.
type lotRow struct {
	Status json.RawMessage `json:"status,omitempty"` // value of the newest record that was understood
	Fault  string          `json:"fault,omitempty"`  // why a newer one was not; "" = there is none
}

// store is downlink.db: a copy of what the topics hold. It can be thrown away, and is where it is damaged: nothing is
// free then until the topics are read again.
type store struct{ db *bbolt.DB }

// openStore opens the store in dir, a new one where there is none. A file that check refuses is set aside, which damaged
// tells.
func openStore(dir string, check func(path string) error) (s *store, damaged error, err error) {
	path := filepath.Join(dir, fileName)
	if _, err := os.Stat(path); err == nil {
		damaged = check(path)
	}
	if damaged != nil {
		if err := os.Rename(path, path+".damaged"); err != nil {
			return nil, damaged, problem.New(problem.DiskWrite, "set aside %s: %w", path, err)
		}
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, damaged, problem.New(problem.QueueLocked, "another process has %s: %w", path, err)
	}
	if err != nil {
		return nil, damaged, problem.New(problem.DiskWrite, "open %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte(bucketLot))
		if err == nil {
			_, err = tx.CreateBucketIfNotExists([]byte(bucketMeta))
		}
		return err
	})
	if err != nil {
		return nil, damaged, errors.Join(problem.New(problem.DiskWrite, "prepare %s: %w", path, err), db.Close())
	}
	return &store{db}, damaged, nil
}

// CheckFile reads a store file whole, writes to it, and tells whether it is sound. A damaged one can end the process or
// take all of its memory, so that it is best called in a process of its own; what can be caught is an error.
func CheckFile(path string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s is damaged: %v", path, r)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil // another process has it, which who opens it next will be told
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.View(checkAll); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	// A commit uses the list of free pages, which no reading touches.
	return db.Update(func(*bbolt.Tx) error { return nil })
}

// checkAll checks every page and every pair.
func checkAll(tx *bbolt.Tx) error {
	var errs []error
	for err := range tx.Check() {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return errs[0]
	}
	for _, name := range []string{bucketLot, bucketMeta} {
		if b := tx.Bucket([]byte(name)); b != nil {
			if err := b.ForEach(check); err != nil {
				return err
			}
		}
	}
	return nil
}

// check reads a pair whole.
func check(key, value []byte) error {
	if !json.Valid(value) {
		return fmt.Errorf("value of %.120q is no JSON", key)
	}
	return nil
}

// load returns the control record, if any, the instant up to which lot status is whole, and the number of lots.
func (s *store) load() (control *event.ControlSet, fresh Instant, lots int, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte(bucketMeta))
		if value := meta.Get([]byte(keyControl)); value != nil {
			data, err := event.DecodeData(event.TypeControlSet, value)
			if err != nil {
				return fmt.Errorf("stored control record: %w", err)
			}
			control = data.(*event.ControlSet)
		}
		if value := meta.Get([]byte(keyFresh)); value != nil {
			if err := json.Unmarshal(value, &fresh); err != nil {
				return fmt.Errorf("stored instant: %w", err)
			}
		}
		lots = tx.Bucket([]byte(bucketLot)).Stats().KeyN
		return nil
	})
	return control, fresh, lots, err
}

// lot returns what is kept of a lot; false if nothing is.
func (s *store) lot(key event.LotKey) (row lotRow, ok bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		row, ok, err = getLot(tx, key)
		return err
	})
	return row, ok, err
}

func getLot(tx *bbolt.Tx, key event.LotKey) (row lotRow, ok bool, err error) {
	value := tx.Bucket([]byte(bucketLot)).Get([]byte(key))
	if value == nil {
		return row, false, nil
	}
	if err := json.Unmarshal(value, &row); err != nil {
		return row, false, fmt.Errorf("stored status of %s: %w", key, err)
	}
	return row, true, nil
}

func putLot(tx *bbolt.Tx, key event.LotKey, row lotRow) error {
	value, err := json.Marshal(row)
	if err != nil {
		return err
	}
	return tx.Bucket([]byte(bucketLot)).Put([]byte(key), value)
}

// keys returns up to limit lot keys that follow after, in the order of their bytes, for which keep is true.
func (s *store) keys(after event.LotKey, limit int, keep func(event.LotKey) bool) (keys []event.LotKey, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(bucketLot)).Cursor()
		for k, _ := c.Seek([]byte(after)); k != nil && len(keys) < limit; k, _ = c.Next() {
			if key := event.LotKey(k); key != after && keep(key) {
				keys = append(keys, key)
			}
		}
		return nil
	})
	return keys, err
}

func (s *store) setFresh(fresh Instant) error {
	value, err := json.Marshal(fresh)
	if err != nil {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyFresh), value) })
}

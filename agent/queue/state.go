package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const (
	stateFile   = "meta.db"
	bucketState = "state"
	keyState    = "lane"

	maxEpochs   = 64   // runs remembered, beyond those that still have segments
	maxDeclared = 1024 // declared damages remembered
)

// state is what meta.db holds, one frame, written whole each time.
type state struct {
	Version  int        `json:"version"`
	Oldest   uint64     `json:"oldest"` // every segment with a lower ordinal was deleted on purpose
	Newest   string     `json:"newest"` // the newest segment, written before its first record
	Acked    Position   `json:"acked"`
	Epochs   []epochEnd `json:"epochs"`   // oldest first
	Declared []string   `json:"declared"` // keys of damages
}

// epochEnd is what is remembered of a run.
type epochEnd struct {
	Epoch string `json:"epoch"`
	Prev  string `json:"prev"`
	Last  uint64 `json:"last"` // last seq in the segments deleted so far
}

// epoch returns the entry of epoch, making one at the end where there is none.
func (s *state) epoch(name string) *epochEnd {
	for i := range s.Epochs {
		if s.Epochs[i].Epoch == name {
			return &s.Epochs[i]
		}
	}
	s.Epochs = append(s.Epochs, epochEnd{Epoch: name})
	return &s.Epochs[len(s.Epochs)-1]
}

// find returns what is remembered of epoch, the zero epochEnd for an unknown one.
func (s *state) find(name string) epochEnd {
	for _, end := range s.Epochs {
		if end.Epoch == name {
			return end
		}
	}
	return epochEnd{}
}

// prune forgets the oldest runs beyond maxEpochs, but none from the one called keep on.
func (s *state) prune(keep string) {
	for len(s.Epochs) > maxEpochs && s.Epochs[0].Epoch != keep {
		s.Epochs = slices.Delete(s.Epochs, 0, 1)
	}
}

// indexOf returns the place of epoch in the order of runs, -1 for an unknown one.
func (s *state) indexOf(epoch string) int {
	for i := len(s.Epochs) - 1; i >= 0; i-- {
		if s.Epochs[i].Epoch == epoch {
			return i
		}
	}
	return -1
}

// isSent tells whether the acked position has reached p.
func (s *state) isSent(p Position) bool {
	if p.Epoch == s.Acked.Epoch {
		return p.Seq <= s.Acked.Seq
	}
	return s.indexOf(p.Epoch) < s.indexOf(s.Acked.Epoch)
}

func (s *state) declare(key string) {
	s.Declared = append(s.Declared, key)
	if extra := len(s.Declared) - maxDeclared; extra > 0 {
		s.Declared = slices.Delete(s.Declared, 0, extra)
	}
}

func (s state) clone() state {
	s.Epochs = slices.Clone(s.Epochs)
	s.Declared = slices.Clone(s.Declared)
	return s
}

// readState reads meta.db in dir by plain reads. A file that is not there gives the zero state.
func readState(dir string) (state, error) {
	path := filepath.Join(dir, stateFile)
	p, err := openPages(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state{Version: formatVersion}, nil
	}
	if err != nil {
		return state{}, err
	}
	defer func() { _ = p.Close() }()
	var s state
	found := false
	err = p.each(bucketState, func(key, value []byte) error {
		body, err := openFrame(value, kindState, "")
		if err != nil {
			return err
		}
		if string(key) != keyState || json.Unmarshal(body, &s) != nil {
			return errBody
		}
		found = true
		return nil
	})
	switch {
	case err != nil:
		return state{}, err
	case !found:
		return state{}, pageErr("no state in %s", stateFile)
	case s.Version > formatVersion:
		return state{}, problem.New(problem.QueueVersion, "queue in %s has format %d, this version knows %d", dir, s.Version, formatVersion)
	}
	return s, nil
}

// createState writes a new meta.db in dir: under a temporary name, synced, renamed.
func createState(dir string, s state) error {
	temp := filepath.Join(dir, tempPrefix+stateFile)
	db, err := bbolt.Open(temp, 0o600, boltOptions(false))
	if err != nil {
		return err
	}
	if err := errors.Join(writeState(db, s), db.Close()); err != nil {
		return fmt.Errorf("create %s: %w", stateFile, err)
	}
	if err := os.Rename(temp, filepath.Join(dir, stateFile)); err != nil {
		return err
	}
	return syncDir(dir)
}

func writeState(db *bbolt.DB, s state) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	frame := append(beginFrame(nil, kindState), body...)
	endFrame(frame, 0, "")
	return db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte(bucketState))
		if err != nil {
			return err
		}
		return bucket.Put([]byte(keyState), frame)
	})
}

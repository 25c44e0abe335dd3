package ledger

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Loss says that entries of the chain are known outside of the database that it does not have: it was restored from an
// older copy, or made anew. The zero Loss says that nothing is known to be lost.
type Loss struct {
	Kept int64  // entries that the chain has
	Head string // hash of the last of them
	Lost int64  // the newest entry that it had once and has not; 0 = none is known
	At   string // when that was said, where an anchor says it
}

// Words says what was found.
func (l *Loss) Words() string {
	text := fmt.Sprintf("the database ends at entry %d of the ledger, and entry %d is known outside of it", l.Kept, l.Lost)
	if l.Lost <= l.Kept {
		text = fmt.Sprintf("entry %d of the ledger is not the one that is known outside of the database", l.Lost)
	}
	if l.At != "" {
		text += ", anchored at " + l.At
	}
	return text + ": it was restored from an older copy, or made anew"
}

// head is the newest place of the chain, kept beside the anchor file. It is written after each seal and proves nothing: it
// only shows a restore within the minute that no anchor tells of yet.
type head struct {
	Place int64  `json:"place"`
	Hash  string `json:"hash"`
}

// HeadFile returns the file that the newest place of the chain is kept in.
func (c *Config) HeadFile() string { return string(c.AnchorFile) + ".head" }

// writeHead keeps the newest place of the chain. It is not synced: a power cut that takes it leaves an older one.
func (l *Sealer) writeHead(place int64, hash string) error {
	b, err := json.Marshal(head{place, hash})
	if err != nil {
		return err
	}
	path := l.cfg.HeadFile()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, werr := f.Write(append(b, '\n'))
	if err := errors.Join(werr, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

// Loss compares the database with what is known of it outside. Call it before anything is sealed.
func (l *Sealer) Loss(ctx context.Context) (loss Loss, err error) {
	known, err := l.known()
	if err != nil {
		return loss, err
	}
	err = l.store.View(ctx, func(tx *store.Tx) error {
		last, err := tx.LastCheckpoint()
		if err == nil {
			err = l.ours(last)
		}
		if err != nil {
			return err
		}
		if loss.Kept, loss.Head, err = tx.ChainHead(); err != nil {
			return err
		}
		for _, k := range known {
			has, err := tx.SealedAfter(k.Lost-1, 1)
			if err != nil {
				return err
			}
			if (len(has) == 0 || has[0].Hash != k.Head) && k.Lost > loss.Lost {
				loss.Lost, loss.At = k.Lost, k.At
			}
		}
		return nil
	})
	return loss, err
}

// known returns the newest place of the chain with its hash, as anchor file and head file say; a file that is missing says
// nothing.
func (l *Sealer) known() (all []Loss, err error) {
	a, err := lastAnchor(string(l.cfg.AnchorFile), l.key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	if a != nil && a.Count > 0 {
		all = append(all, Loss{Lost: a.Count, Head: a.Head, At: a.At})
	}
	b, err := os.ReadFile(l.cfg.HeadFile())
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, problem.New(problem.LedgerUnanchored, "read newest place of the ledger: %w", err)
	}
	var h head
	if json.Unmarshal(b, &h) == nil && h.Place > 0 { // one that was torn says nothing
		all = append(all, Loss{Lost: h.Place, Head: h.Hash})
	}
	return all, nil
}

// anchorTail is how much of the anchor file's end is looked through first. It holds thousands of anchors.
const anchorTail = 1 << 20

// lastAnchor returns the newest anchor that the key signed, nil if there is none. A line that was torn by a crash is
// passed over.
func lastAnchor(path string, key ed25519.PublicKey) (last *Anchor, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, problem.New(problem.LedgerUnanchored, "read anchor file: %w", err)
	}
	defer func() { _ = f.Close() }()                           // it was read only
	if _, err := f.Seek(-anchorTail, io.SeekEnd); err == nil { // else it is shorter
		if last, err = newest(f, key); last != nil || err != nil {
			return last, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, problem.New(problem.LedgerUnanchored, "read anchor file: %w", err)
		}
	}
	return newest(f, key)
}

// newest returns the last anchor of r that the key signed.
func newest(r io.Reader, key ed25519.PublicKey) (last *Anchor, err error) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if a := new(Anchor); json.Unmarshal(bytes.TrimSpace(line), a) == nil && a.signed(key) {
			last = a
		}
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return nil, problem.New(problem.LedgerUnanchored, "read anchor file: %w", err)
		}
	}
}

// Acknowledge signs in the anchor file that entries are lost, and from where the chain goes on: [Verify] tells of it from
// then on, and no longer takes the anchors of the lost entries for those of this chain.
func (l *Sealer) Acknowledge(loss Loss) error {
	a := Anchor{
		Count: loss.Kept, Head: loss.Head, Lost: loss.Lost, At: event.At(l.now()).String(), KeyID: KeyID(l.key.Public().(ed25519.PublicKey)),
	}
	a.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(l.key, a.Text()))
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := appendSynced(string(l.cfg.AnchorFile), append(line, '\n')); err != nil {
		return problem.New(problem.LedgerUnanchored, "append to anchor file: %w", err)
	}
	if err := l.writeHead(loss.Kept, loss.Head); err != nil {
		return problem.New(problem.LedgerUnanchored, "write newest place of the ledger: %w", err)
	}
	return nil
}

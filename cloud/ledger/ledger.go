// Package ledger makes one chain of the audit entries and proves it.
//
// An entry is inserted in the transaction that it records. One sealer, under a lease, gives new entries their place and
// hash within a second; each minute, while there is something new, it signs a checkpoint (count, head, Merkle root) for
// the audit topic and an anchor file outside the database. A chain alone shows edits, not a truncation or a rewrite of
// all: the anchors do. [Verify] needs the entries, the anchors and the public key, no database.
package ledger

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

// Config says where key and anchors are.
type Config struct {
	KeyFile    config.Path `yaml:"key_file" doc:"Ed25519 key of the checkpoints, made at first start with mode 0600"`
	AnchorFile config.Path `yaml:"anchor_file" doc:"file that each checkpoint is appended to; belongs on another volume"`
}

// DefaultConfig keeps both beside the database.
var DefaultConfig = Config{KeyFile: "ledger.key", AnchorFile: "anchors.jsonl"}

const (
	sealEvery       = 500 * time.Millisecond
	checkpointEvery = time.Minute
	page            = 1000
	leaseName       = "ledger"
	leaseLength     = 15 * time.Second
)

// TopicAudit is the logical topic of checkpoints in the outbox.
const TopicAudit = "audit"

// Sealer chains and signs.
type Sealer struct {
	cfg   Config
	owner string
	store *store.Store
	now   func() time.Time
	log   zerolog.Logger
	key   ed25519.PrivateKey
	last  time.Time

	sealed   int64            // newest place that was seen in the database
	headless *telemetry.Quiet // about the head file
}

// New reads or makes the key. Owner names this process in the lease.
func New(cfg Config, owner string, s *store.Store, now func() time.Time, log zerolog.Logger, reg prometheus.Registerer) (*Sealer, error) {
	key, err := loadKey(string(cfg.KeyFile))
	if err != nil {
		return nil, err
	}
	l := &Sealer{cfg: cfg, owner: owner, store: s, now: now, log: log, key: key, headless: &telemetry.Quiet{Log: log, Now: now}}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "holdfast_cloud_ledger_unanchored_seconds", Help: "Age of the oldest entry that is in no checkpoint; 0 = all are.",
	}, l.unanchored))
	return l, nil
}

// PublicKey returns the key that verifies checkpoints, in base64.
func (l *Sealer) PublicKey() string {
	return base64.StdEncoding.EncodeToString(l.key.Public().(ed25519.PublicKey))
}

// unanchored returns the age of the oldest entry that is in no checkpoint. What cannot be read now is no age: a monitor
// sees that the metric is missing.
func (l *Sealer) unanchored() float64 {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var oldest []store.Sealed
	err := l.store.View(ctx, func(tx *store.Tx) error {
		c, err := tx.LastCheckpoint()
		if err != nil {
			return err
		}
		if oldest, err = tx.SealedAfter(c.Place, 1); err != nil || len(oldest) > 0 {
			return err
		}
		oldest, err = tx.Unsealed(1)
		return err
	})
	switch {
	case err != nil:
		return math.NaN()
	case len(oldest) == 0:
		return 0
	}
	return max(0, l.now().Sub(oldest[0].At).Seconds())
}

// errReplaced is returned where the database has forgotten what this process has seen in it. A start looks what that means.
var errReplaced = errors.New("the database was restored while the program ran")

// Run seals until ctx ends, with a last checkpoint at the end. It returns an error only where the database was replaced.
func (l *Sealer) Run(ctx context.Context) error {
	quiet := telemetry.Quiet{Log: l.log, Now: l.now}
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			// What was sealed is anchored before the process goes; a later start would do it, too.
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
			defer cancel()
			if err := l.turn(stop, true); err != nil {
				l.log.Warn().Err(err).Msg("last checkpoint was not written")
			}
			return nil
		case <-tick.C:
		}
		err := l.turn(ctx, l.now().Sub(l.last) >= checkpointEvery)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, errReplaced):
			return err
		case err != nil:
			quiet.Failed(err, "ledger waits")
		default:
			quiet.Recovered("ledger goes on")
		}
	}
}

// turn seals what is new, and signs a checkpoint if one is due.
func (l *Sealer) turn(ctx context.Context, checkpoint bool) error {
	for {
		n, err := l.seal(ctx)
		if err != nil {
			return fmt.Errorf("seal ledger: %w", err)
		}
		if n < page {
			break
		}
	}
	if !checkpoint {
		return nil
	}
	if err := l.checkpoint(ctx); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	l.last = l.now()
	return nil
}

// seal gives at most one page of entries their places. It does nothing while another process has the lease.
func (l *Sealer) seal(ctx context.Context) (n int, err error) {
	waiting := 0
	if err := l.store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Unsealed(1)
		waiting = len(rows)
		return err
	}); err != nil || waiting == 0 {
		return 0, err
	}
	var place int64
	var head string
	err = l.store.Update(ctx, func(tx *store.Tx) error {
		if _, ours, err := tx.TakeLease(leaseName, l.owner, l.now(), leaseLength); err != nil || !ours {
			return err
		}
		if place, head, err = tx.ChainHead(); err != nil {
			return err
		}
		if place < l.sealed {
			return problem.New(problem.LedgerBroken, "it ends at place %d and had %d: %w", place, l.sealed, errReplaced)
		}
		rows, err := tx.Unsealed(page)
		if err != nil {
			return err
		}
		for i := range rows {
			place++
			hash := EntryHash(place, head, &rows[i].Entry)
			if err := tx.PutSeal(place, rows[i].ID, head, hash); err != nil {
				return err
			}
			head = hash
		}
		n = len(rows)
		return nil
	})
	if err != nil || n == 0 {
		return n, err
	}
	l.sealed = place
	// It is only a help to see a restore sooner: entries are sealed and anchored without it.
	if err := l.writeHead(place, head); err != nil {
		l.headless.Failed(err, "newest place of the ledger is not kept outside of the database")
	} else {
		l.headless.Recovered("newest place of the ledger is kept outside of the database again")
	}
	return n, nil
}

// hashed is the form of an entry that its hash covers.
type hashed struct {
	Place     int64  `json:"place"`
	Prev      string `json:"prev"`
	At        string `json:"at"`
	Principal string `json:"principal"`
	Act       string `json:"act"`
	Object    string `json:"object"`
	Version   int64  `json:"version"`
	EventID   string `json:"event_id"`
	Lot       string `json:"lot"`
	Reason    string `json:"reason"`
	Was       string `json:"was"`
	Now       string `json:"now"`
}

// EntryHash returns the hash of an entry at a place of the chain: SHA-256 in hex over its canonical JSON, the hash of
// the entry before included.
func EntryHash(place int64, prev string, e *store.Entry) string {
	b, err := json.Marshal(hashed{
		place, prev, event.At(e.At).String(), e.Principal, e.Act, e.Object, e.Version, string(e.EventID), string(e.Lot), e.Reason, e.Was, e.Now,
	})
	if err != nil {
		panic(fmt.Sprintf("ledger: an entry of texts and numbers does not encode: %v", err))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Anchor is one line of the anchor file: a signed statement that the chain had Count entries, the last with hash Head.
type Anchor struct {
	Count int64  `json:"count"`
	Head  string `json:"head"`
	Root  string `json:"root"` // Merkle root of the hashes since the anchor before
	// Lost makes it a statement that the database was restored: the chain goes on behind Count, and the entries up to Lost
	// that were anchored before are gone. 0 = nothing is.
	Lost      int64  `json:"lost,omitempty"`
	At        string `json:"at"`
	KeyID     string `json:"key_id"`
	Signature string `json:"signature"` // Ed25519 over Text, base64
}

// signed tells whether the signature is that of a key.
func (a *Anchor) signed(key ed25519.PublicKey) bool {
	signature, err := base64.StdEncoding.DecodeString(a.Signature)
	return err == nil && ed25519.Verify(key, a.Text(), signature)
}

// Text is what the signature covers.
func (a *Anchor) Text() []byte {
	if a.Lost > 0 {
		return fmt.Appendf(nil, "holdfast ledger restored\n%d\n%s\n%d\n%s\n", a.Count, a.Head, a.Lost, a.At)
	}
	return fmt.Appendf(nil, "holdfast ledger\n%d\n%s\n%s\n%s\n", a.Count, a.Head, a.Root, a.At)
}

// checkpoint signs the head of the chain if it moved, and leaves it in the anchor file, the database and the outbox. The
// file comes first: an anchor that the database does not know does no harm, the other way round a tail would look
// anchored that is not. It does nothing while another process has the lease.
func (l *Sealer) checkpoint(ctx context.Context) error {
	var hashes []string
	var last store.Checkpoint
	if err := l.adopt(ctx); err != nil {
		return err
	}
	fence, ours, err := l.lease(ctx)
	if err != nil || !ours {
		return err
	}
	if err := l.store.View(ctx, func(tx *store.Tx) (err error) {
		if last, err = tx.LastCheckpoint(); err != nil {
			return err
		}
		for after := last.Place; ; {
			rows, err := tx.SealedAfter(after, page)
			if err != nil || len(rows) == 0 {
				return err
			}
			for i := range rows {
				hashes = append(hashes, rows[i].Hash)
			}
			after = rows[len(rows)-1].Place
		}
	}); err != nil || len(hashes) == 0 {
		return err
	}
	if err := l.ours(last); err != nil {
		return err
	}
	a := Anchor{
		Count: last.Place + int64(len(hashes)), Head: hashes[len(hashes)-1], Root: merkle(hashes), At: event.At(l.now()).String(),
		KeyID: KeyID(l.key.Public().(ed25519.PublicKey)),
	}
	a.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(l.key, a.Text()))
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := appendSynced(string(l.cfg.AnchorFile), append(line, '\n')); err != nil {
		return problem.New(problem.LedgerUnanchored, "append to anchor file: %w", err)
	}
	return l.record(ctx, &a, string(line), fence)
}

// lease takes or keeps the lease of the one who seals and signs.
func (l *Sealer) lease(ctx context.Context) (fence int64, ours bool, err error) {
	err = l.store.Update(ctx, func(tx *store.Tx) (err error) {
		fence, ours, err = tx.TakeLease(leaseName, l.owner, l.now(), leaseLength)
		return err
	})
	return fence, ours, err
}

// errLease is returned where the lease went to another process while the anchor file was being written: that process
// signs the same entries again, and the line in the file does no harm.
var errLease = errors.New("another process seals the ledger now")

// record leaves a checkpoint in database and outbox, while the lease is the one that it was signed under.
func (l *Sealer) record(ctx context.Context, a *Anchor, line string, fence int64) error {
	at, err := event.ParseTime(a.At)
	if err != nil {
		return err
	}
	data := &event.AuditHeadPublished{
		Count: a.Count, Head: event.Hash(a.Head), Root: event.Hash(a.Root), At: at, KeyID: event.Name(a.KeyID), Signature: a.Signature,
	}
	data.Provenance.Source = "holdfast"
	e := &event.Event{
		ID:     event.NaturalID("", "holdfast", []string{"ledger", fmt.Sprint(a.Count)}, data.Type(), 0),
		Source: "/holdfast", Time: at.Time, Recorded: at.Time, Data: data,
	}
	if err := e.Seal("holdfast"); err != nil {
		return err
	}
	return l.store.Update(ctx, func(tx *store.Tx) error {
		if now, ours, err := tx.TakeLease(leaseName, l.owner, l.now(), leaseLength); err != nil || !ours || now != fence {
			return cmp.Or(err, errLease)
		}
		if err := tx.PutCheckpoint(store.Checkpoint{Place: a.Count, At: at.Time, Note: line}); err != nil {
			return err
		}
		return tx.PutOutbox(TopicAudit, e.Message())
	})
}

func appendSynced(path string, line []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, werr := f.Write(line)
	return errors.Join(werr, f.Sync(), f.Close())
}

// merkle returns the root over hashes: pairs are hashed together, an odd one goes up as it is.
func merkle(hashes []string) string {
	level := hashes
	for len(level) > 1 {
		var next []string
		for i := 0; i < len(level); i += 2 {
			if i+1 == len(level) {
				next = append(next, level[i])
				break
			}
			sum := sha256.Sum256([]byte(level[i] + level[i+1]))
			next = append(next, hex.EncodeToString(sum[:]))
		}
		level = next
	}
	return level[0]
}

package store

import (
	"context"
	"database/sql"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

const (
	// watchEvery is how often a copy looks whether the others live, and missedFor how many looks in a row have to miss one:
	// all of them come back by then where the database itself was away.
	watchEvery = time.Second
	missedFor  = 3
	// callLimit outlasts a call that was under way when its process died, with the time that it gets to land.
	callLimit = 15 * time.Second
)

// lifeKey is the second half of the key of the lock that a copy holds while it lives. Two copies with one key would at the
// worst wait for each other's leases to end by time.
func lifeKey(owner string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(owner)) // never fails
	return int32(h.Sum32())
}

// live takes the lock that shows that this copy lives. It ends with the connection, so with the process.
func (s *Store) live(ctx context.Context) error {
	st, err := s.life.stmt(ctx, `SELECT pg_try_advisory_lock(?, ?)`)
	if err != nil {
		return err
	}
	var ok bool // false = a connection of ours that broke still has it
	return st.QueryRowContext(ctx, lockLife, lifeKey(s.owner)).Scan(&ok)
}

// Run ends the leases of copies that died, until ctx ends, so that what they had in hand need not wait for its time. A
// lease is ended early only where that is safe: another holder of a named one is told from the former by its fence, and an
// effect of which a write may have left gets the time that this one takes. A copy that only lost its connection finds its
// leases gone before it does anything by them. Where nobody else can have the database open it does nothing.
func (s *Store) Run(ctx context.Context, now func() time.Time, log zerolog.Logger) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	quiet := telemetry.Quiet{Log: log, Now: now}
	missed := map[string]int{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !s.Shared() {
			continue
		}
		dead, err := s.watch(ctx, missed)
		for _, owner := range dead {
			if err == nil {
				err = s.Update(ctx, func(t *Tx) error { return t.bury(owner, now()) })
			}
			if err == nil {
				delete(missed, owner)
				log.Warn().Str("owner", owner).Msg("another copy is gone: what it had in hand is taken over")
			}
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			quiet.Failed(err, "other copies are not watched")
		default:
			quiet.Recovered("other copies are watched again")
		}
	}
}

// watch shows that this copy lives and returns the owners of leases that do not. Missed counts the looks that missed one.
func (s *Store) watch(ctx context.Context, missed map[string]int) (dead []string, err error) {
	if err := s.keepLife(ctx); err != nil {
		clear(missed) // the others may be cut off like this one
		return nil, err
	}
	var owners []string
	living := map[int32]bool{}
	if err := s.View(ctx, func(t *Tx) error {
		if owners, err = t.leaseOwners(); err != nil {
			return err
		}
		return t.each(func(rows *sql.Rows) error {
			var key int64
			err := rows.Scan(&key)
			living[int32(uint32(key))] = true
			return err
		}, `SELECT CAST(objid AS BIGINT) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND CAST(classid AS BIGINT) = ?
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, lockLife)
	}); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, owner := range owners {
		if seen[owner] = true; owner == s.owner || living[lifeKey(owner)] {
			delete(missed, owner)
		} else if missed[owner]++; missed[owner] >= missedFor {
			dead = append(dead, owner)
		}
	}
	for owner := range missed {
		if !seen[owner] {
			delete(missed, owner)
		}
	}
	return dead, nil
}

// keepLife takes the lock anew where its connection broke.
func (s *Store) keepLife(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !s.life.broken {
		if st, err := s.life.stmt(ctx, `SELECT 1`); err == nil {
			if _, err = st.ExecContext(ctx); err == nil {
				return nil
			}
		}
	}
	if ctx.Err() != nil {
		s.life.broken = true
		return ctx.Err()
	}
	if err := s.life.renew(ctx); err != nil {
		return err
	}
	err := s.live(ctx)
	s.life.broken = s.life.broken || err != nil
	return err
}

// processOf returns the owner of a lease without what tells its claims apart.
func processOf(owner string) string {
	process, _, _ := strings.Cut(owner, "/")
	return process
}

// leaseOwners returns the processes that have a lease which has not been ended, each once.
func (t *Tx) leaseOwners() (owners []string, err error) {
	err = t.each(func(rows *sql.Rows) error {
		var owner string
		err := rows.Scan(&owner)
		owners = append(owners, processOf(owner))
		return err
	}, `SELECT owner FROM lease WHERE expires > ? UNION SELECT owner FROM effect WHERE state = 'leased' AND lease > ?`, past, past)
	slices.Sort(owners)
	return slices.Compact(owners), err
}

// giveBack ends our own leases where other copies, or the next start, would else wait until we are missed. An effect of which
// a write may have left keeps its time. What fails costs that wait and nothing else.
func (s *Store) giveBack() {
	if !s.Shared() || s.write == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), watchEvery)
	defer cancel()
	_ = s.Update(ctx, func(t *Tx) error { return t.letGo(s.owner) })
}

// letGo ends the leases of a process, but for those of effects of which a write may have left.
func (t *Tx) letGo(owner string) error {
	if err := t.exec(`UPDATE lease SET expires = ? WHERE owner = ?`, past, owner); err != nil {
		return err
	}
	return t.exec(`UPDATE effect SET lease = ? WHERE state = 'leased' AND wrote = 0 AND substr(owner, 1, ?) = ?`, past, len(owner)+1, owner+"/")
}

// bury ends the leases of a process that died.
func (t *Tx) bury(owner string, now time.Time) error {
	if err := t.letGo(owner); err != nil {
		return err
	}
	soon := text(now.Add(callLimit))
	return t.exec(`UPDATE effect SET lease = ? WHERE state = 'leased' AND wrote = 1 AND lease > ? AND substr(owner, 1, ?) = ?`,
		soon, soon, len(owner)+1, owner+"/")
}

// past is the end of a lease that was ended.
var past = text(time.Unix(0, 0))

// endLeases ends all leases.
func (t *Tx) endLeases() error {
	if err := t.exec(`UPDATE effect SET lease = ? WHERE state = 'leased'`, past); err != nil {
		return err
	}
	return t.exec(`UPDATE lease SET expires = ?`, past)
}

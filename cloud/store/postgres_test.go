package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestCheckURL(t *testing.T) {
	for _, c := range []struct {
		url  string
		code problem.Code // empty = good
	}{
		{"sqlite:data/holdfast.db", ""},
		{"postgres://holdfast@db.plant.example/holdfast", ""},
		{"postgres://holdfast@db:6432/holdfast?sslmode=verify-ca&sslrootcert=/etc/holdfast/ca.pem", problem.ConfigValue}, // no such file
		{"postgres://holdfast@127.0.0.1/holdfast?sslmode=disable&connect_timeout=5", ""},
		{"postgres://holdfast@[::1]:5432/holdfast", ""},
		{"", problem.ConfigValue},
		{"sqlite:", problem.ConfigValue},
		{"mysql://holdfast@db/holdfast", problem.ConfigValue},
		{"postgres://db/holdfast", problem.ConfigValue},
		{"postgres://holdfast@db", problem.ConfigValue},
		{"postgres://holdfast@db/holdfast?fsync=off", problem.ConfigValue},
		{"postgres://holdfast@db/holdfast?sslmode=perhaps", problem.ConfigValue},
		{"postgres://holdfast:canary-7@db/holdfast", problem.ConfigSecret},
		{"postgres://holdfast@db/holdfast?password=canary-7", problem.ConfigSecret},
		{"postgres://holdfast:canary-7@db:port/holdfast", problem.ConfigValue},
	} {
		err := CheckURL(c.url)
		if (err != nil) != (c.code != "") || err != nil && problem.CodeOf(err) != c.code {
			t.Errorf("%s: got %v, want %q", c.url, err, c.code)
		}
		if err != nil && strings.Contains(err.Error(), "canary-7") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}

func TestConfig_Postgres(t *testing.T) {
	for url, verified := range map[string]bool{
		"postgres://holdfast@db.plant.example/holdfast":                 true,
		"postgres://holdfast@db.plant.example/holdfast?sslmode=disable": false,
		"postgres://holdfast@localhost/holdfast":                        false,
		"postgres://holdfast@localhost/holdfast?sslmode=verify-full":    true,
		"postgres://holdfast@10.0.0.7:5433/holdfast?connect_timeout=10": true,
	} {
		cfg, err := Config{URL: url, Password: config.NewSecret("canary-7")}.postgres()
		if err != nil {
			t.Fatal(err)
		}
		got := cfg.TLSConfig != nil && !cfg.TLSConfig.InsecureSkipVerify && cfg.TLSConfig.ServerName == cfg.Host && len(cfg.Fallbacks) == 0
		if got != verified || cfg.Password != "canary-7" {
			t.Errorf("%s: the server is verified: %t, want %t", url, got, verified)
		}
	}
}

// onPeer runs a test with two open stores on one PostgreSQL database.
func onPeer(t *testing.T, f func(t *testing.T, a, b *Store)) {
	t.Helper()
	openPeer(t) // skips without one
	url := createPeer(t)
	var both [2]*Store
	for i := range both {
		s, err := Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		both[i] = s
		t.Cleanup(func() { _ = s.Close() }) // the test may have closed it
	}
	f(t, both[0], both[1])
}

// columns returns all columns with their kind, by table and name.
func columns(t *testing.T, s *Store, query string) map[string]string {
	t.Helper()
	all := map[string]string{}
	kinds := map[string]string{"bytea": "BLOB", "bigint": "BIGINT", "integer": "INTEGER", "text": "TEXT"}
	view(t, s, func(tx *Tx) error {
		return tx.each(func(rows *sql.Rows) error {
			var table, name, kind, null string
			err := rows.Scan(&table, &name, &kind, &null)
			if k, ok := kinds[kind]; ok {
				kind = k
			}
			all[table+"."+name] = kind + null
			return err
		}, query)
	})
	return all
}

func TestPostgres_SameTables(t *testing.T) {
	there := openPeer(t)(t)
	here := openFile(t)
	want := columns(t, here, `SELECT m.name, c.name, CASE WHEN m.sql LIKE '%' || c.name || ' %AUTOINCREMENT%' AND c.pk = 1 THEN 'BIGINT' ELSE c.type END,
		CASE WHEN c."notnull" = 1 OR c.pk > 0 THEN '' ELSE ' null' END
		FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE 'goose%'`)
	got := columns(t, there, `SELECT table_name, column_name, data_type, CASE is_nullable WHEN 'YES' THEN ' null' ELSE '' END
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'`)
	if len(want) < 100 || !maps.Equal(got, want) {
		for _, k := range slices.Sorted(maps.Keys(want)) {
			if got[k] != want[k] {
				t.Errorf("%s is %q, in SQLite %q", k, got[k], want[k])
			}
		}
		t.Errorf("%d columns, %d in SQLite", len(got), len(want))
	}
	loose := columns(t, there, `SELECT table_name, column_name, collation_name, '' FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`)
	if len(loose) > 0 {
		t.Errorf("texts that are not ordered by their bytes: %v", loose)
	}
}

func TestPostgres_Open(t *testing.T) {
	t.Run("several copies make the tables at once", func(t *testing.T) {
		server := peerServer(t)
		url, err := server.Create(t.Context(), "fresh", "")
		if err != nil {
			t.Fatal(err)
		}
		ids := make([]string, 4)
		var wait sync.WaitGroup
		for i := range ids {
			wait.Go(func() {
				s, err := Open(t.Context(), url)
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = s.ID()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if slices.Sort(ids); len(ids[0]) != 16 || len(slices.Compact(ids)) != 1 {
			t.Errorf("ids are %q", ids)
		}
	})
	t.Run("a server that would lose what it confirms is refused", func(t *testing.T) {
		openPeer(t)
		url := createPeer(t)
		s, err := Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		update(t, s, func(tx *Tx) error {
			return tx.exec(`ALTER DATABASE ` + url[strings.LastIndexByte(url, '/')+1:strings.IndexByte(url, '?')] + ` SET synchronous_commit = off`)
		})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := Open(t.Context(), url); problem.CodeOf(err) != problem.DatabaseUnfit {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a server that is away is named without a secret", func(t *testing.T) {
		_, err := Config{URL: "postgres://holdfast@127.0.0.1:1/holdfast", Password: config.NewSecret("canary-7")}.Open(t.Context())
		if problem.CodeOf(err) != problem.DatabaseDown || strings.Contains(err.Error(), "canary-7") {
			t.Errorf("got %v", err)
		}
	})
}

// TestPostgres_Copies: what one copy does while another lives.
func TestPostgres_Copies(t *testing.T) {
	onPeer(t, func(t *testing.T, a, b *Store) {
		if a.ID() != b.ID() || a.Owner() == b.Owner() || !a.Shared() {
			t.Errorf("ids %q and %q, owners %q and %q", a.ID(), b.ID(), a.Owner(), b.Owner())
		}
		t.Run("a lease is not ended by the start of another", func(t *testing.T) {
			update(t, a, func(tx *Tx) error { _, _, err := tx.TakeLease("outbox", a.Owner(), noon, time.Hour); return err })
			c, err := Open(t.Context(), addressOf(t, a))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			update(t, c, func(tx *Tx) error {
				if _, ours, err := tx.TakeLease("outbox", c.Owner(), noon, time.Hour); err != nil || ours {
					t.Errorf("taken: %t, %v", ours, err)
				}
				return nil
			})
		})
		t.Run("writers follow one another, and readers see the order of numbers", func(t *testing.T) { inOrder(t, a, b) })
	})
}

// addressOf returns the address of a store's database.
func addressOf(t *testing.T, s *Store) (address string) {
	t.Helper()
	var name string
	view(t, s, func(tx *Tx) error { return tx.row(`SELECT current_database()`).Scan(&name) })
	return peerServer(t).URL(name)
}

// inOrder has two copies write while somebody reads on behind the newest number that he saw.
func inOrder(t *testing.T, a, b *Store) {
	const each = 60
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writers sync.WaitGroup
	for _, s := range []*Store{a, b} {
		writers.Go(func() {
			for i := range each {
				if err := s.Update(ctx, func(tx *Tx) error { return tx.PutOutbox("t", event.Message{Value: []byte(fmt.Sprint(s.Owner(), i))}) }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	seen, last := 0, int64(0)
	look := func() {
		view(t, b, func(tx *Tx) error {
			return tx.each(func(rows *sql.Rows) error {
				seen++
				return rows.Scan(&last)
			}, `SELECT id FROM outbox WHERE id > ? ORDER BY id`, last)
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		look()
	}
	if seen != 2*each {
		t.Errorf("%d of %d rows were seen: a number became visible behind a higher one", seen, 2*each)
	}
}

// TestPostgres_Dead: a copy that dies leaves its leases to the others at once, but for the time that a write may take.
func TestPostgres_Dead(t *testing.T) {
	onPeer(t, func(t *testing.T, a, b *Store) {
		var wrote, not EffectRow
		update(t, b, func(tx *Tx) error {
			for _, lot := range []string{"1", "2"} {
				if _, err := tx.WantEffect(usageOf(lot, true), 1, &event.Event{ID: "c"}, noon); err != nil {
					return err
				}
			}
			rows, err := tx.ClaimEffects(b.Owner()+"/1", []string{"s4"}, 2, noon, time.Hour)
			if err != nil || len(rows) != 2 {
				t.Fatalf("claimed %+v, %v", rows, err)
			}
			wrote, not = rows[0], rows[1]
			if _, err := tx.MarkWrite(wrote.ID, wrote.Owner, noon.Add(time.Hour)); err != nil {
				return err
			}
			_, _, err = tx.TakeLease("feed/qms", b.Owner(), noon, time.Hour)
			return err
		})
		missed := map[string]int{}
		look := func() []string {
			t.Helper()
			dead, err := a.watch(t.Context(), missed)
			if err != nil {
				t.Fatal(err)
			}
			return dead
		}
		for range 2 * missedFor {
			if dead := look(); len(dead) != 0 {
				t.Fatalf("%v counts as dead and lives", dead)
			}
		}
		if err := errors.Join(b.life.close(), b.db.Close()); err != nil { // a process that is gone gives nothing back
			t.Fatal(err)
		}
		var dead []string
		looks := 0
		for ; len(dead) == 0 && looks < 500; looks++ { // the server takes a moment to see that the connection is gone
			dead = look()
		}
		if !slices.Equal(dead, []string{b.Owner()}) || looks < missedFor {
			t.Fatalf("dead are %v after %d looks, want %s", dead, looks, b.Owner())
		}
		update(t, a, func(tx *Tx) error { return tx.bury(b.Owner(), noon) })
		claim := func(now time.Time) (ids []string) {
			update(t, a, func(tx *Tx) error {
				rows, err := tx.ClaimEffects(a.Owner()+"/1", []string{"s4"}, 5, now, time.Hour)
				for i := range rows {
					ids = append(ids, rows[i].ID)
				}
				return err
			})
			return ids
		}
		if got := claim(noon); !slices.Equal(got, []string{not.ID}) {
			t.Errorf("claimed at once: %v, want %s", got, not.ID)
		}
		if got := claim(noon.Add(callLimit)); !slices.Equal(got, []string{wrote.ID}) {
			t.Errorf("claimed after the time of a call: %v, want %s", got, wrote.ID)
		}
		update(t, a, func(tx *Tx) error {
			if fence, ours, err := tx.TakeLease("feed/qms", a.Owner(), noon, time.Hour); err != nil || !ours || fence != 2 {
				t.Errorf("lease: fence %d, %t, %v", fence, ours, err)
			}
			if ours, err := tx.MarkWrite(not.ID, not.Owner, noon.Add(time.Hour)); err != nil || ours {
				t.Errorf("the former owner may write: %t, %v", ours, err)
			}
			return nil
		})
	})
}

// TestPostgres_GivenBack: a copy that is stopped leaves what it has in hand to the others, and to its own next start, at once.
func TestPostgres_GivenBack(t *testing.T) {
	onPeer(t, func(t *testing.T, a, b *Store) {
		update(t, b, func(tx *Tx) error {
			if _, err := tx.WantEffect(usageOf("1", true), 1, &event.Event{ID: "c"}, noon); err != nil {
				return err
			}
			if rows, err := tx.ClaimEffects(b.Owner()+"/1", []string{"s4"}, 1, noon, time.Hour); err != nil || len(rows) != 1 {
				t.Fatalf("claimed %+v, %v", rows, err)
			}
			_, _, err := tx.TakeLease("ledger", b.Owner(), noon, time.Hour)
			return err
		})
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		update(t, a, func(tx *Tx) error {
			if _, ours, err := tx.TakeLease("ledger", a.Owner(), noon, time.Hour); err != nil || !ours {
				t.Errorf("lease: %t, %v", ours, err)
			}
			if rows, err := tx.ClaimEffects(a.Owner()+"/1", []string{"s4"}, 1, noon, time.Hour); err != nil || len(rows) != 1 {
				t.Errorf("claimed %+v, %v", rows, err)
			}
			return nil
		})
	})
}

// TestPostgres_Cut: a connection that the server ends is replaced, and what was not committed is not there.
func TestPostgres_Cut(t *testing.T) {
	onPeer(t, func(t *testing.T, a, b *Store) {
		cut := func() {
			t.Helper()
			update(t, b, func(tx *Tx) error {
				return tx.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			})
		}
		move := func(tx *Tx) error { _, err := tx.MoveOffset("t", 0, 0, 5); return err }
		if err := a.Update(t.Context(), func(tx *Tx) error {
			if err := move(tx); err != nil {
				return err
			}
			// The lock is ours, so that the other copy can't write: its reader cuts us off.
			return b.View(t.Context(), func(tx *Tx) error {
				var ended int64
				return tx.row(`SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()
					AND pid <> pg_backend_pid() AND state = 'idle in transaction'`).Scan(&ended)
			})
		}); err == nil {
			t.Error("a transaction whose connection broke was committed")
		}
		cut()
		for range 2 * readers {
			view(t, a, func(tx *Tx) error {
				next, err := tx.Offset("t", 0)
				if next != 0 {
					t.Errorf("offset is %d", next)
				}
				return err
			})
		}
		update(t, a, move)
		cut()
		if err := a.keepLife(t.Context()); err != nil {
			t.Error(err)
		}
		update(t, a, func(tx *Tx) error { _, _, err := tx.TakeLease("x", a.Owner(), noon, time.Hour); return err })
		missed := map[string]int{}
		for range missedFor {
			if dead, err := b.watch(t.Context(), missed); err != nil || len(dead) != 0 {
				t.Errorf("dead are %v, %v", dead, err)
			}
		}
	})
}

// TestPostgres_Frozen: a copy that stops in the middle of a transaction can't keep the others from writing for long.
func TestPostgres_Frozen(t *testing.T) {
	onPeer(t, func(t *testing.T, a, b *Store) {
		update(t, a, func(tx *Tx) error {
			var limit string
			err := tx.row(`SHOW idle_in_transaction_session_timeout`).Scan(&limit)
			if limit != "15s" {
				t.Errorf("a transaction may idle for %s", limit)
			}
			if err == nil {
				err = tx.exec(`SET idle_in_transaction_session_timeout = '200ms'`)
			}
			return err
		})
		move := func(tx *Tx) error { _, err := tx.MoveOffset("t", 0, 0, 5); return err }
		err := a.Update(t.Context(), func(tx *Tx) error {
			if err := move(tx); err != nil {
				return err
			}
			return b.Update(t.Context(), move) // waits until the server has ended the other one
		})
		if err == nil {
			t.Error("both copies moved one offset")
		}
		view(t, a, func(tx *Tx) error {
			next, err := tx.Offset("t", 0)
			if next != 5 {
				t.Errorf("offset is %d", next)
			}
			return err
		})
	})
}

// TestStore_Update_FailedStatement: what f makes of an error of the database does not make half a transaction.
func TestStore_Update_FailedStatement(t *testing.T) {
	onEach(t, func(t *testing.T, open opener) {
		s := open(t)
		err := s.Update(t.Context(), func(tx *Tx) error {
			if _, err := tx.MoveOffset("t", 0, 0, 5); err != nil {
				return err
			}
			if err := tx.PutRetired(&RetiredRow{Plant: "p1"}); err == nil {
				return errors.New("an agent was retired by nobody")
			}
			return nil
		})
		if err == nil {
			t.Error("committed")
		}
		view(t, s, func(tx *Tx) error {
			next, err := tx.Offset("t", 0)
			if next != 0 {
				t.Errorf("offset is %d", next)
			}
			return err
		})
		update(t, s, func(tx *Tx) error { return tx.PutLot(&quality.Lot{Key: "lot::M:1", Plant: "p1"}) })
	})
}

package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const postgresScheme = "postgres://"

// Keys of advisory locks, which are a database's own. Nobody else has tables in it.
const (
	lockMigrate = 0x686f6c64 + iota // one copy makes the tables
	lockWrite                       // one transaction writes
	lockLife                        // first half of the key that each copy holds while it lives
)

// postgres has one transaction write at a time, as SQLite does. A finer lock would let more write at once, but rows would
// then become visible in another order than that of their numbers, and everyone who reads on behind a number would have to
// wait for those in between. The lock is given back after the commit can be seen, and what reads committed rows begins
// behind it, so that each transaction sees all that came before.
var postgres = dialect{
	goose: goose.DialectPostgres, folder: "postgres",
	write: []string{"BEGIN ISOLATION LEVEL READ COMMITTED", fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", lockWrite)},
	read:  []string{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"},
	limit: time.Minute,
}

// settings are what each connection asks the server for.
//
//   - A copy that froze in the middle of a transaction loses it, and with it the lock that all others wait for.
//   - A copy whose host is gone is missed within some 15 s, instead of the operating system's two hours.
var settings = map[string]string{
	"idle_in_transaction_session_timeout": "15s",
	"tcp_keepalives_idle":                 "5",
	"tcp_keepalives_interval":             "3",
	"tcp_keepalives_count":                "3",
}

// parameters are those of a URL that have a meaning here. None of them is a secret or names a file with one but sslkey,
// which the server's operator hands out as a file anyway.
var parameters = []string{"connect_timeout", "sslcert", "sslkey", "sslmode", "sslnegotiation", "sslrootcert", "target_session_attrs"}

// postgres returns how to connect. Where the URL does not say how the server proves who it is, it has to do so by a
// certificate for its name, unless it is on this host.
func (c Config) postgres() (*pgx.ConnConfig, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, problem.New(problem.ConfigValue, "this is no URL: want postgres://user@host/name") // the cause may quote a password
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") || u.Query().Has("sslpassword") {
		return nil, problem.New(problem.ConfigSecret, "the URL holds a password: put it into a file and name that as password_file")
	}
	if u.User.Username() == "" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return nil, problem.New(problem.ConfigValue, "want user, host and name: postgres://user@host/name")
	}
	query := u.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(parameters, name) {
			return nil, problem.New(problem.ConfigValue, "parameter %q is not known: want one of %s", name, strings.Join(parameters, ", "))
		}
	}
	if !query.Has("sslmode") && !local(u.Hostname()) {
		query.Set("sslmode", "verify-full")
		u.RawQuery = query.Encode()
	}
	cfg, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, problem.New(problem.ConfigValue, "%w", err)
	}
	if !c.Password.IsZero() {
		cfg.Password = c.Password.Reveal()
	}
	maps.Copy(cfg.RuntimeParams, settings)
	cfg.RuntimeParams["application_name"] = "holdfast-cloud"
	return cfg, nil
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// openPostgres connects, checks that the server keeps what it confirms, makes the tables, and shows the other copies that
// this one lives.
func (s *Store) openPostgres(ctx context.Context, c Config) error {
	cfg, err := c.postgres()
	if err != nil {
		return err
	}
	plain := stdlib.OpenDB(*cfg)
	err = makeTables(ctx, plain)
	if cerr := plain.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	connector := stdlib.GetConnector(*cfg)
	s.db, s.read = sql.OpenDB(translator{connector}), sql.OpenDB(translator{connector})
	s.life, err = newSession(ctx, s.db, nil)
	if err != nil {
		return err
	}
	return s.live(ctx)
}

// makeTables makes the tables while no other copy does.
func makeTables(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return problem.New(problem.DatabaseDown, "%w", err)
	}
	defer func() { _ = conn.Close() }() // before the database is closed, which gives the lock back
	if err := fit(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", lockMigrate); err != nil {
		return err
	}
	return postgres.migrate(ctx, db)
}

// fit refuses a server that would lose what it has confirmed, or could not keep every text.
func fit(ctx context.Context, conn *sql.Conn) error {
	for _, x := range []struct {
		setting string
		bad     []string
		want    string
	}{
		{"fsync", []string{"off"}, "on"},
		{"full_page_writes", []string{"off"}, "on"},
		{"synchronous_commit", []string{"off"}, "on"},
		{"default_transaction_read_only", []string{"on"}, "off, on a server that is not a standby"},
	} {
		var is string
		if err := conn.QueryRowContext(ctx, "SHOW "+x.setting).Scan(&is); err != nil {
			return err
		}
		if slices.Contains(x.bad, is) {
			return problem.New(problem.DatabaseUnfit, "%s is %s: want %s", x.setting, is, x.want)
		}
	}
	var encoding string
	if err := conn.QueryRowContext(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return problem.New(problem.DatabaseUnfit, "its encoding is %s: want a database made with ENCODING 'UTF8'", encoding)
	}
	return nil
}

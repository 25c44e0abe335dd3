package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

//go:embed migrations
var migrations embed.FS

// dialect is what differs between the databases, once one is open.
type dialect struct {
	goose  goose.Dialect
	folder string        // of its migrations
	write  []string      // statements that begin a transaction that writes
	read   []string      // statements that begin one that reads one state of the database
	limit  time.Duration // for a transaction that writes; 0 = none
}

// bound returns a context for a transaction that writes.
func (d *dialect) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.limit == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d.limit)
}

// migrate brings the tables up to date.
func (d *dialect) migrate(ctx context.Context, db *sql.DB) error {
	p, err := d.migrations(db)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func (d *dialect) migrations(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/"+d.folder)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(d.goose, db, files)
}

// CheckURL refuses what can't be the URL of a database ([problem.ConfigValue]), and one that holds a secret
// ([problem.ConfigSecret]). It makes no call.
func CheckURL(url string) error {
	switch {
	case strings.HasPrefix(url, sqliteScheme) && url != sqliteScheme:
		return nil
	case strings.HasPrefix(url, postgresScheme):
		_, err := Config{URL: url}.postgres()
		return err
	}
	return problem.New(problem.ConfigValue, "want sqlite: and a path, or postgres://user@host/name")
}

// IsFile returns the path of an SQLite database; ok is false for another one.
func IsFile(url string) (path string, ok bool) { return strings.CutPrefix(url, sqliteScheme) }

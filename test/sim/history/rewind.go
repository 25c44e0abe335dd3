package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
)

// Rewind copies the database of a cloud that has ended to a new path, without how far each topic was read: a cloud that
// opens the copy reads them all from their beginning.
func Rewind(ctx context.Context, from, to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("copy store: %w", err)
	}
	// What was committed last may still stand in the log beside the database.
	for _, part := range []string{"", "-wal"} {
		if err := copyFile(from+part, to+part); err != nil && (part == "" || !errors.Is(err, os.ErrNotExist)) {
			return fmt.Errorf("copy store: %w", err)
		}
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: to}).EscapedPath())
	if err != nil {
		return fmt.Errorf("rewind store: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, `DELETE FROM kafka_offset`); err != nil {
		return fmt.Errorf("rewind store: %w", err)
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// Read returns how far the cloud has read each partition: the Offset is that of the next record.
func (s *Store) Read(ctx context.Context) ([]Place, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT topic, part, next FROM kafka_offset ORDER BY topic, part`)
	if err != nil {
		return nil, fmt.Errorf("read offsets of store: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []Place
	for rows.Next() {
		var p Place
		if err := rows.Scan(&p.Topic, &p.Partition, &p.Offset); err != nil {
			return nil, fmt.Errorf("read offsets of store: %w", err)
		}
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read offsets of store: %w", err)
	}
	return all, nil
}

// Unread returns the places in front of which not all of what a history has on topics was read.
func Unread(h History, read []Place) []Place {
	next := map[Place]int64{}
	for _, p := range read {
		next[Place{Topic: p.Topic, Partition: p.Partition}] = p.Offset
	}
	ends := map[Place]int64{}
	for i := range h {
		if p := h[i].Place; p.Topic != "" {
			at := Place{Topic: p.Topic, Partition: p.Partition}
			ends[at] = max(ends[at], p.Offset+1)
		}
	}
	var unread []Place
	for at, end := range ends {
		if next[at] < end {
			unread = append(unread, Place{Topic: at.Topic, Partition: at.Partition, Offset: next[at]})
		}
	}
	return unread
}

package store

import (
	"context"
	"database/sql/driver"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/stdlib"
)

// translator makes connections to PostgreSQL that take the statements and texts of this package as they are.
type translator struct{ driver.Connector }

// Connect implements driver.Connector.
func (t translator) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := t.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return translatedConn{conn.(*stdlib.Conn)}, nil
}

type translatedConn struct{ *stdlib.Conn }

// PrepareContext implements driver.ConnPrepareContext.
func (c translatedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	st, err := c.Conn.PrepareContext(ctx, numbered(query))
	if err != nil {
		return nil, err
	}
	return translatedStmt{st.(*stdlib.Stmt)}, nil
}

// QueryContext implements driver.QueryerContext.
func (c translatedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return translatedRows(c.Conn.QueryContext(ctx, numbered(query), args))
}

// ExecContext implements driver.ExecerContext.
func (c translatedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.ExecContext(ctx, numbered(query), args)
}

// CheckNamedValue implements driver.NamedValueChecker. What has a type of its own goes as the text or number that it is.
func (translatedConn) CheckNamedValue(v *driver.NamedValue) (err error) {
	if v.Value, err = driver.DefaultParameterConverter.ConvertValue(v.Value); err != nil {
		return err
	}
	switch x := v.Value.(type) {
	case string:
		v.Value = storable(x)
	case []byte:
		if x == nil {
			v.Value = nil
		}
	}
	return nil
}

type translatedStmt struct{ *stdlib.Stmt }

// QueryContext implements driver.StmtQueryContext.
func (s translatedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return translatedRows(s.Stmt.QueryContext(ctx, args))
}

// Close leaves the statement to the end of its connection, which it lives as long as.
func (s translatedStmt) Close() error { return nil }

func translatedRows(rows driver.Rows, err error) (driver.Rows, error) {
	if err != nil {
		return nil, err
	}
	return rowsOf{rows.(*stdlib.Rows)}, nil
}

type rowsOf struct{ *stdlib.Rows }

// Next implements driver.Rows.
func (r rowsOf) Next(row []driver.Value) error {
	err := r.Rows.Next(row)
	for i, v := range row {
		if s, ok := v.(string); ok && err == nil {
			row[i] = original(s)
		}
	}
	return err
}

// numbered writes the question marks of a statement as $1, $2 and so on, but for those in quotes.
func numbered(query string) string {
	var b strings.Builder
	n, quoted := 0, false
	for i := range len(query) {
		switch c := query[i]; {
		case c == '?' && !quoted:
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		default:
			quoted = quoted != (c == '\'')
			b.WriteByte(c)
		}
	}
	return b.String()
}

// PostgreSQL keeps no text that holds a NUL or is not UTF-8; what a sender wrote may be both. Each byte of that is kept as
// one of the 256 last code points, which nobody uses; so is each byte of those code points themselves, so that every text
// comes back as it was and equal texts stay equal.
const (
	firstByte  = 0x10FF00
	bytePrefix = "\xf4\x8f" // of all code points from 0x10F000
)

// storable returns a text as PostgreSQL can keep it.
func storable(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, "\x00") && !strings.Contains(s, bytePrefix) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == 0 || r >= firstByte || r == utf8.RuneError && size == 1 {
			for _, c := range []byte(s[i : i+size]) {
				b.WriteRune(firstByte + rune(c))
			}
		} else {
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// original returns the text of which [storable] made s.
func original(s string) string {
	if !strings.Contains(s, bytePrefix) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r >= firstByte {
			b.WriteByte(byte(r - firstByte))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

package e2e

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // to look at the cloud's database while it runs
	_ "modernc.org/sqlite"             // the same

	"github.com/holdfast-mesh/holdfast/test/sim/history"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// ownDatabase gives the cloud of a stack that was not started yet a database of its own on PostgreSQL, where the environment
// says HOLDFAST_TEST_DATABASE=postgres. Else it keeps what the stack has, a file.
func ownDatabase(t *testing.T, s *stack.Stack) {
	t.Helper()
	if os.Getenv("HOLDFAST_TEST_DATABASE") != "postgres" {
		return
	}
	text, err := os.ReadFile(s.Path("cloud.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	with := bytes.Replace(text, []byte(databaseURL(t, s)), []byte(peerDatabase(t)), 1)
	if err := os.WriteFile(s.Path("cloud.yaml"), with, 0o600); err != nil {
		t.Fatal(err)
	}
}

// databaseURL returns where the configuration of a stack's cloud says that its database is.
func databaseURL(t *testing.T, s *stack.Stack) string {
	t.Helper()
	text, err := os.ReadFile(s.Path("cloud.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), `database: { url: "`)
	url, _, found := strings.Cut(after, `"`)
	if !found {
		t.Fatalf("cloud.yaml names no database:\n%s", text)
	}
	return url
}

// openDatabase opens the database of a stack's cloud beside the cloud. A file is opened in a mode, ro or rw.
func openDatabase(t *testing.T, s *stack.Stack, mode string) *sql.DB {
	t.Helper()
	driver, source := "pgx", databaseURL(t, s)
	if file, ok := strings.CutPrefix(source, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+s.Path(file)+"?mode="+mode+"&_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// openHistory opens what the cloud of a stack has kept of a run.
func openHistory(t *testing.T, s *stack.Stack) *history.Store {
	t.Helper()
	return history.Of(openDatabase(t, s, "ro"))
}

// backUp copies the database of a cloud that is stopped, and returns what puts the copy in its place again.
func backUp(t *testing.T, s *stack.Stack) (restore func()) {
	t.Helper()
	file, ok := strings.CutPrefix(databaseURL(t, s), "sqlite:")
	if !ok {
		return backUpPeer(t, databaseURL(t, s))
	}
	data, backup := filepath.Dir(s.Path(file)), filepath.Join(t.TempDir(), "backup")
	copyFolder(t, data, backup)
	return func() {
		t.Helper()
		copyFolder(t, backup, data)
	}
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

//go:build unix

package rt

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/rest"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

const peerEnv = "HOLDFAST_PEER_RT"

// bin is the directory of the programs under test, built once.
var bin string

func TestMain(m *testing.M) {
	if os.Getenv(peerEnv) == "" {
		os.Exit(m.Run()) // each test says that it is skipped
	}
	os.Exit(stack.WithPrograms(func(dir string) int {
		bin = dir
		return m.Run()
	}))
}

// run starts a server for a test, or skips aloud.
func run(t *testing.T, changes ...string) *Server {
	t.Helper()
	program := os.Getenv(peerEnv)
	if program == "" {
		t.Skip("PEER SKIPPED name=rt reason=" + peerEnv + " names no program; make peers sets it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := Start(ctx, program, changes...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of RT, but for its calls:\n%s", complaints(s.Log()))
		}
		s.Close()
	})
	return s
}

// complaints returns what a log says beside the calls.
func complaints(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, ` HTTP/1.1" `) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// journal is a log that several clients write.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// bench is a server behind a door that fails on demand, for one case of the suite.
type bench struct {
	t      *testing.T
	server *Server
	door   *httptest.Server
	faults *fault.Set
	logs   *journal

	refused atomic.Int64 // log-ins

	saved  Database // last snapshot; empty = none
	newest int      // newest transaction in it
	lost   Database // what a restore took back; empty = nothing
}

func newBench(t *testing.T, server *Server) *bench {
	t.Helper()
	b := &bench{t: t, server: server, faults: &fault.Set{}, logs: &journal{}}
	target, err := url.Parse("http://" + server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode == http.StatusUnauthorized {
				b.refused.Add(1)
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0), // what fails is the client's to tell
	}
	b.door = httptest.NewServer(b.faults.Wrap(proxy))
	t.Cleanup(b.door.Close)
	return b
}

// connect returns a client with a session of its own.
func (b *bench) connect(t *testing.T, secret string) connector.System {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := rest.DefaultConfig()
	cfg.URL, cfg.Mapping, cfg.User, cfg.PasswordFile = b.door.URL+API, config.Path(Mapping()), User, config.SecretFile(file)
	client, err := rest.New(cfg, rest.Deps{System: "qms1", Log: zerolog.New(b.logs)})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// must ends the test on an error of the rig's own.
func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// number counts in RT's database.
func (b *bench) number(query string, args ...any) int {
	b.t.Helper()
	return b.numberIn(b.server.Database(), query, args...)
}

func (b *bench) numberIn(d Database, query string, args ...any) int {
	b.t.Helper()
	n, err := d.Number(b.t.Context(), query, args...)
	b.must(err)
	return n
}

// effects counts the entries in the histories of an effect's tickets by which it took place: by which our user made one, or
// anybody contained one. A ticket is an effect's by the field that names its object, or by its title where RT lost the fields.
const effects = `SELECT count(*) FROM Transactions x JOIN Tickets t ON x.ObjectType = 'RT::Ticket' AND x.ObjectId = t.id
	WHERE (x.Type = 'Create' AND x.Creator = (SELECT id FROM Users WHERE Name = ?) OR x.Type = 'Status' AND x.NewValue = ?)
	AND (t.Subject = ? OR EXISTS (SELECT 1 FROM ObjectCustomFieldValues v JOIN CustomFields f ON f.id = v.CustomField
		WHERE v.ObjectType = 'RT::Ticket' AND v.ObjectId = t.id AND v.Disabled = 0 AND f.Name = 'holdfast_object' AND v.Content = ?))
	AND x.id > ?`

// count returns how often an effect took place, with what a restore has taken back.
func (b *bench) count(e quality.Effect) int {
	b.t.Helper()
	creator, state, title := User, "", "a title that none has"
	if e.Kind == quality.NonconformanceAdvance {
		creator, state = "", string(e.Record.State)
	} else if e.Record != nil {
		title = e.Record.Title
	}
	n := b.number(effects, creator, state, title, e.Object, 0)
	if b.lost != "" {
		n += b.numberIn(b.lost, effects, creator, state, title, e.Object, b.newest)
	}
	return n
}

// snapshot keeps the database, and restore brings it back.
func (b *bench) snapshot() {
	b.saved = Database(filepath.Join(b.t.TempDir(), "saved"))
	b.newest = b.number(`SELECT max(id) FROM Transactions`)
	b.must(b.server.Database().Save(b.t.Context(), b.saved))
}

func (b *bench) restore() {
	b.lost = Database(filepath.Join(b.t.TempDir(), "lost"))
	b.must(b.server.Database().Save(b.t.Context(), b.lost))
	b.must(b.server.Database().Restore(b.t.Context(), b.saved))
}

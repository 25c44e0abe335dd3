package arch

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// row says what the non-test files of a package may import besides the standard library.
type row struct {
	pkg   string   // folder from the root; a name ending in /... stands for all below it that have no row of their own
	ours  []string // packages of this module; /... at the end takes in what is below, "..." everything
	third []string // paths of modules or packages; "..." everything
	pure  bool     // no I/O, clock, goroutine or randomness, and nothing of everywhere
	why   string
}

// everywhere may be imported by every package that is not pure: each says what it does in words or figures.
func everywhere() (ours, third []string) {
	return []string{"pkg/config", "pkg/telemetry", "pkg/problem", "pkg/failpoint"},
		[]string{"github.com/rs/zerolog", "github.com/prometheus/client_golang", "golang.org/x/time/rate", "golang.org/x/sync/errgroup"}
}

// wall has one row per package, in the order of the tree.
func wall() []row {
	kgo := []string{"github.com/twmb/franz-go/pkg/kadm", "github.com/twmb/franz-go/pkg/kerr", "github.com/twmb/franz-go/pkg/kgo", "github.com/twmb/franz-go/pkg/kmsg"}
	return []row{
		{pkg: "schemas", why: "the contract is owned by neither side"},
		{pkg: "pkg/event", ours: []string{"schemas"}, pure: true, why: "both sides and users read events; they must not pull in more"},
		{pkg: "pkg/config", ours: []string{"pkg/problem"}, third: []string{"github.com/goccy/go-yaml"}, why: "the one place that knows YAML"},
		{pkg: "pkg/telemetry", ours: []string{"pkg/problem"}, why: "logger and registry are made here and handed down"},
		{pkg: "pkg/cli", why: "what a script may rely on is the same for both programs"},
		{pkg: "pkg/problem", pure: true, why: "everything imports it"},
		{pkg: "pkg/failpoint", why: "everything imports it"},
		{pkg: "pkg/kafka", third: append([]string{"github.com/twmb/franz-go/pkg/sasl/scram", "github.com/twmb/franz-go/plugin/kprom"}, kgo...), why: "the one place that knows how a client is built"},

		{pkg: "agent", ours: []string{"agent/...", "pkg/..."}, why: "wires the agent together"},
		{pkg: "agent/cmd/holdfast-agent", ours: []string{"agent", "agent/...", "pkg/..."}, third: []string{"github.com/spf13/cobra"}, why: "flags and exit codes only"},
		{pkg: "agent/source", why: "the contract that every source fulfils"},
		{pkg: "agent/source/sourcetest", ours: []string{"agent/source"}, why: "what the tests of all kinds of sources share; no program imports it"},
		{pkg: "agent/source/mqtt", ours: []string{"agent/source"}, third: []string{"github.com/eclipse/paho.mqtt.golang"}, why: "only importer of paho, whose traps are guarded here"},
		{pkg: "agent/source/opcua", ours: []string{"agent/source"}, third: []string{"github.com/gopcua/opcua"}, why: "only importer of gopcua, whose traps are guarded here"},
		{pkg: "agent/mapping", ours: []string{"agent/source", "pkg/event"}, third: []string{"github.com/expr-lang/expr"}, pure: true, why: "the same signal always gives the same events"},
		{pkg: "agent/queue", third: []string{"go.etcd.io/bbolt"}, why: "stores bytes and knows nothing of events"},
		{pkg: "agent/uplink", ours: []string{"agent/queue", "pkg/event", "pkg/kafka"}, third: kgo, why: "carries what the queue holds to Kafka"},
		{pkg: "agent/downlink", ours: []string{"pkg/event", "pkg/kafka"}, third: append([]string{"go.etcd.io/bbolt"}, kgo...), why: "keeps what the cloud says, and knows nothing of what goes up"},
		{pkg: "agent/localapi", ours: []string{"pkg/event", "agent/source", "agent/mapping", "agent/queue", "agent/uplink", "agent/downlink"}, why: "shows what the others do"},

		{pkg: "cloud", ours: []string{"cloud/...", "pkg/..."}, why: "wires the cloud together"},
		{pkg: "cloud/cmd/holdfast-cloud", ours: []string{"cloud", "cloud/...", "pkg/..."}, third: []string{"github.com/spf13/cobra"}, why: "flags and exit codes only"},
		{pkg: "cloud/quality", ours: []string{"pkg/event"}, pure: true, why: "a decision is repeatable, with time as a parameter"},
		{pkg: "cloud/store", ours: []string{"cloud/quality", "pkg/event"}, third: []string{"modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5/stdlib", "github.com/pressly/goose/v3"}, why: "only importer of database drivers"},
		{pkg: "cloud/store/storetest", ours: []string{"cloud/store", "test/peers/postgres"}, why: "gives tests a database of either kind, made the way the product makes it"},
		{pkg: "cloud/workflow", ours: []string{"cloud/store", "cloud/quality", "pkg/event"}, why: "the only way that state changes"},
		{pkg: "cloud/connector", ours: []string{"cloud/quality", "pkg/event"}, third: []string{"github.com/sony/gobreaker/v2"}, why: "the contract that every system's connector fulfils, with its guard"},
		{pkg: "cloud/connector/httpcall", ours: []string{"cloud/connector", "cloud/quality", "pkg/event"}, third: []string{"github.com/hashicorp/go-retryablehttp"}, why: "one rule for what an HTTP call may repeat, for all connectors that speak HTTP"},
		{pkg: "cloud/connector/sap", ours: []string{"cloud/connector", "cloud/connector/httpcall", "cloud/quality", "pkg/event"}, why: "knows SAP, and nothing of when to write"},
		{pkg: "cloud/connector/rest", ours: []string{"cloud/connector", "cloud/connector/httpcall", "cloud/quality", "pkg/event"}, why: "knows a system by its mapping file, and nothing of when to write"},
		{pkg: "cloud/connector/connectortest", ours: []string{"cloud/connector", "cloud/dispatch", "cloud/quality", "pkg/event"}, why: "judges a connector under the dispatcher's own protocol"},
		{pkg: "cloud/dispatch", ours: []string{"cloud/connector", "cloud/workflow", "cloud/store", "cloud/quality", "pkg/event"}, why: "the write protocol stands here once, for all systems"},
		{pkg: "cloud/reconcile", ours: []string{"cloud/connector", "cloud/workflow", "cloud/store", "cloud/quality", "pkg/event"}, why: "brings in what other systems decided, through the engine's door; writes to none"},
		{pkg: "cloud/intake", ours: []string{"cloud/workflow", "pkg/event", "pkg/kafka"}, third: kgo, why: "Kafka's door, and nothing of SQL"},
		{pkg: "cloud/outbox", ours: []string{"cloud/store", "cloud/quality", "pkg/event", "pkg/kafka"}, third: kgo, why: "sends what a commit left to send"},
		{pkg: "cloud/ledger", ours: []string{"cloud/store", "pkg/event"}, why: "seals what is there; cannot change state"},
		{pkg: "cloud/api", ours: []string{"cloud/workflow", "cloud/store", "cloud/ledger", "cloud/quality", "pkg/cli", "pkg/event", "schemas"}, third: []string{"github.com/danielgtaylor/huma/v2", "github.com/danielgtaylor/huma/v2/adapters/humago", "golang.org/x/crypto/argon2"}, why: "a door like the intake, and as thin"},
		{pkg: "cloud/console", ours: []string{"cloud/api", "cloud/workflow", "cloud/store", "cloud/ledger", "cloud/quality", "pkg/event", "schemas"}, why: "pages are clients of the API; nothing third, so that nothing of a page comes from elsewhere"},

		{pkg: "test/sim/...", ours: []string{"pkg/...", "schemas", "test/sim/..."}, third: []string{"..."}, why: "a fake imports nothing of the side that it judges"},
		{pkg: "test/peers/...", ours: []string{"..."}, third: []string{"..."}, why: "judges what we have against servers of others"},
		{pkg: "test/bench", ours: []string{"..."}, third: []string{"..."}, why: "measures what we have beside the libraries themselves"},
		{pkg: "test/e2e/journey", ours: []string{"pkg/...", "test/sim/..."}, why: "walks as an engineer does, by the program alone"},
		{pkg: "test/mutant", why: "patches and builds, and knows nothing of what it patches"},
		{pkg: "test/holdfast-demo", ours: []string{"..."}, third: []string{"..."}, why: "shows all that there is"},
	}
}

// rowOf returns the row of a package: its own, else the longest that takes it in.
func rowOf(rows []row, pkg string) (row, bool) {
	best, found := row{}, false
	for _, r := range rows {
		if r.pkg == pkg {
			return r, true
		}
		if strings.HasSuffix(r.pkg, "/...") && allowed([]string{r.pkg}, pkg) && len(r.pkg) > len(best.pkg) {
			best, found = r, true
		}
	}
	return best, found
}

// allowed tells whether path is in a list of paths; /... at the end of an entry takes in everything below it.
func allowed(list []string, path string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		if base, deep := strings.CutSuffix(entry, "/..."); deep {
			return strings.HasPrefix(path, base+"/")
		}
		return entry == "..." || entry == path
	})
}

// allowedThird is like allowed for paths of others: an entry takes in the packages below it.
func allowedThird(list []string, path string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		return entry == "..." || entry == path || strings.HasPrefix(path, entry+"/")
	})
}

func TestWall(t *testing.T) {
	rows := wall()
	used, unknown := map[string]bool{}, map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		r, ok := rowOf(rows, s.dir)
		if !ok {
			unknown[s.dir] = true
			continue
		}
		used[r.pkg] = true
		for _, path := range s.imports() {
			if why := r.refuses(path); why != "" {
				t.Errorf("%s imports %s: %s (%s: %s)", s.name, path, why, r.pkg, r.why)
			}
		}
	}
	for pkg := range unknown {
		t.Errorf("package %s has no row in the import wall; add one with its reason", pkg)
	}
	for _, r := range rows {
		if r.why == "" {
			t.Errorf("row %s of the import wall gives no reason", r.pkg)
		}
		if !used[r.pkg] {
			t.Errorf("row %s of the import wall has no package any more; remove it", r.pkg)
		}
	}
}

// refuses says why the row does not allow an import; nothing means that it does.
func (r row) refuses(path string) string {
	ours, third := everywhere()
	if r.pure {
		ours, third = nil, nil
	}
	if inner, ok := strings.CutPrefix(path, module+"/"); ok {
		switch {
		case strings.HasSuffix(inner, "test") && !strings.HasPrefix(r.pkg, "test/"):
			return "nothing but tests imports what serves tests"
		case allowed(r.ours, inner) || allowed(ours, inner):
			return ""
		case strings.HasPrefix(inner, "test/"):
			return "nothing but tests imports test"
		}
		return "not among what it may import of ours"
	}
	if !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
		if r.pure && impure(path) {
			return "a pure package does no I/O and reads no clock"
		}
		return ""
	}
	if allowedThird(r.third, path) || allowedThird(third, path) {
		return ""
	}
	return "not among the modules that it may import"
}

// impure tells whether a package of the standard library does I/O, or gives another answer each time.
func impure(path string) bool {
	return allowedThird([]string{
		"crypto/rand", "database/sql", "log", "math/rand", "net/http", "os", "syscall",
	}, path) || path == "net"
}

// TestWall_Pure looks at what an import does not show: time is in the standard library's one package with durations,
// and a goroutine needs no import.
func TestWall_Pure(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	rows := wall()
	for _, s := range sources(t) {
		r, _ := rowOf(rows, s.dir)
		if s.test || !r.pure {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s: a pure package starts no goroutine", s.at(n))
			}
			if selects(n, "time", clock...) {
				t.Errorf("%s: a pure package reads no clock; time is a parameter", s.at(n))
			}
			return true
		})
	}
}

func TestRow_Refuses(t *testing.T) {
	rows := []row{
		{pkg: "pkg/event", ours: []string{"schemas"}, pure: true},
		{pkg: "pkg/config", third: []string{"github.com/goccy/go-yaml"}},
		{pkg: "agent/queue", third: []string{"go.etcd.io/bbolt"}},
		{pkg: "cloud", ours: []string{"cloud/..."}},
		{pkg: "test/sim/...", ours: []string{"pkg/...", "test/sim/..."}, third: []string{"..."}},
		{pkg: "test/...", ours: []string{"..."}, third: []string{"..."}},
	}
	for _, c := range []struct {
		pkg, path string
		refused   bool
	}{
		{"pkg/event", "encoding/json", false},
		{"pkg/event", "os", true},
		{"pkg/event", "net/url", false},
		{"pkg/event", "github.com/rs/zerolog", true},
		{"pkg/config", "github.com/goccy/go-yaml/ast", false},
		{"pkg/config", "gopkg.in/yaml.v3", true},
		{"pkg/config", module + "/agent/queue", true},
		{"agent/queue", module + "/pkg/failpoint", false},
		{"agent/queue", module + "/pkg/event", true},
		{"agent/queue", module + "/cloud/store", true},
		{"agent/queue", "go.etcd.io/bbolt", false},
		{"agent/queue", "go.etcd.io/bboltx", true},
		{"agent/queue", "github.com/eclipse/paho.mqtt.golang", true},
		{"agent/queue", module + "/test/sim/broker", true},
		{"cloud", module + "/cloud/store", false},
		{"cloud", module + "/cloud/store/storetest", true},
		{"test/sim/broker", module + "/pkg/kafka", false},
		{"test/sim/broker", module + "/cloud/quality", true},
		{"pkg/event", module + "/schemas", false},
		{"pkg/event", module + "/pkg/problem", true},
		{"agent/queue", "github.com/twmb/franz-go/pkg/kgo", true},
		{"test/e2e", module + "/cloud/quality", false},
		{"test/e2e", "github.com/nats-io/nats-server/v2/server", false},
	} {
		r, ok := rowOf(rows, c.pkg)
		if why := r.refuses(c.path); !ok || (why != "") != c.refused {
			t.Errorf("%s importing %s: refused %q, want %t", c.pkg, c.path, why, c.refused)
		}
	}
}

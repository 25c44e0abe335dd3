package arch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pins are the versions whose traps have been read and are guarded against. Raising one means to read the library's
// changelog and our list of its traps again, to run crash, e2e and bench, and to put changed figures into the commit.
func pins() map[string]string {
	return map[string]string{
		"github.com/chromedp/cdproto":              "v0.159.0",
		"github.com/chromedp/chromedp":             "v0.23.0", // another API before v0.20: steps are run by Do, values by Run
		"github.com/danielgtaylor/huma/v2":         "v2.37.2",
		"github.com/eclipse/paho.mqtt.golang":      "v1.5.1", // a 5-byte header allocates 256 MiB
		"github.com/expr-lang/expr":                "v1.17.8",
		"github.com/goccy/go-yaml":                 "v1.19.2",
		"github.com/google/go-cmp":                 "v0.7.0",
		"github.com/gopcua/opcua":                  "v0.9.1", // @latest gives v0.8.0; 4 bytes in an answer end its process
		"github.com/hashicorp/go-retryablehttp":    "v0.7.8", // retries POST unless told not to
		"github.com/jackc/pgx/v5":                  "v5.12.0",
		"github.com/nats-io/nats-server/v2":        "v2.15.2",
		"github.com/pressly/goose/v3":              "v3.24.1",
		"github.com/prometheus/client_golang":      "v1.25.0",
		"github.com/rs/zerolog":                    "v1.35.1",
		"github.com/santhosh-tekuri/jsonschema/v6": "v6.0.3",
		"github.com/sony/gobreaker/v2":             "v2.4.0",
		"github.com/spf13/cobra":                   "v1.10.2",
		"github.com/twmb/franz-go":                 "v1.22.2", // below it acknowledges records that were never written
		"github.com/twmb/franz-go/pkg/kadm":        "v1.19.0",
		"github.com/twmb/franz-go/pkg/kfake":       "v0.0.0-20260918054303-01f206a7e32c",
		"github.com/twmb/franz-go/pkg/kmsg":        "v1.15.0",
		"github.com/twmb/franz-go/plugin/kprom":    "v1.5.0",
		"go.etcd.io/bbolt":                         "v1.5.0", // opens a truncated file without an error
		"go.uber.org/goleak":                       "v1.3.0",
		"golang.org/x/crypto":                      "v0.58.0", // argon2 only
		"golang.org/x/sync":                        "v0.24.0", // errgroup only
		"golang.org/x/time":                        "v0.16.0",
		"modernc.org/sqlite":                       "v1.55.0",
		"pgregory.net/rapid":                       "v1.3.0",
	}
}

func TestPins(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	want := pins()
	for path, version := range required(string(raw)) {
		switch pin, ok := want[path]; {
		case !ok:
			t.Errorf("%s %s has no pin: read what it is bad at, then add it here", path, version)
		case pin != version:
			t.Errorf("%s moved from %s to %s: read the trap list again", path, pin, version)
		}
		delete(want, path)
	}
	for path := range want {
		t.Errorf("%s is pinned but not required any more; remove its pin", path)
	}
}

// required returns the direct requirements of a go.mod.
func required(mod string) map[string]string {
	out := map[string]string{}
	block := false
	for line := range strings.Lines(mod) {
		line = strings.TrimSpace(line)
		switch line {
		case "require (":
			block = true
			continue
		case ")":
			block = false
			continue
		}
		single, isSingle := strings.CutPrefix(line, "require ")
		if !block && !isSingle || strings.HasSuffix(line, "// indirect") {
			continue
		}
		if isSingle {
			line = single
		}
		if f := strings.Fields(line); len(f) >= 2 && f[0] != "//" {
			out[f[0]] = f[1]
		}
	}
	return out
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/agent/queue"
	"github.com/holdfast-mesh/holdfast/pkg/cli"
)

// TestMain stands in for the program where it runs itself to check a queue file.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && strings.HasPrefix(os.Args[1], "check-") {
		main()
	}
	os.Exit(m.Run())
}

// TestQueueStat_Stopped reads the files of an agent that does not run.
func TestQueueStat_Stopped(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "agent.yaml")
	text := "plant: p1\nagent: gw1\nqueue: { allow_tmpfs: true }\nkafka: { brokers: [\"127.0.0.1:1\"] }\n" +
		"sources: [{ id: press, mqtt: { broker: \"tcp://127.0.0.1:1\", subscribe: [a] } }]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"queue", "stat", "--config", file, "--socket", filepath.Join(dir, "none")}

	t.Run("ErrNoQueue", func(t *testing.T) {
		r := call(t, "", nil, args...)
		if r.code != cli.ExitUnreachable || !strings.Contains(r.err, "the agent has not run yet") {
			t.Errorf("exit %d: %s", r.code, r.err)
		}
	})
	for _, lane := range []string{"quality", "telemetry"} {
		fill(t, filepath.Join(dir, "data", "queue", lane), lane)
	}
	t.Run("OK", func(t *testing.T) {
		r := call(t, "", nil, args...)
		if r.code != cli.ExitOK || !strings.Contains(r.err, "the agent does not run") || strings.Count(r.out, "  7  ") != 2 {
			t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
		}
	})
	t.Run("OK, with a damaged file", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(dir, "data", "queue", "quality", "0*.db"))
		if err != nil || len(files) != 1 {
			t.Fatalf("files are %v, %v", files, err)
		}
		if err := os.Truncate(files[0], 5000); err != nil {
			t.Fatal(err)
		}
		r := call(t, "", nil, args...)
		if r.code != cli.ExitOK || !strings.Contains(r.out, "quality: damaged file "+filepath.Base(files[0])) {
			t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
		}
	})
}

// fill makes a lane with seven records.
func fill(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := queue.Open(t.Context(), queue.Config{Dir: dir, Name: name, Quota: 64 << 20, AllowTmpfs: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Begin("0123456789abcdef0123456789abcdef", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Put(t.Context(), queue.Batch{Records: make([]queue.Record, 7)}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

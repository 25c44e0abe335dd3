package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestExitOf(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"OK":             {nil, ExitOK},
		"Partial":        {fmt.Errorf("redrive: %w", ErrPartial), ExitPartial},
		"Findings":       {config.Errors{}, ExitConfig},
		"Usage":          {problem.New(problem.Usage, "x"), ExitUsage},
		"UnknownCommand": {errors.New(`unknown command "x"`), ExitUsage},
		"NoReason":       {problem.New(problem.ReasonNeeded, "x"), ExitUsage},
		"Unreachable":    {problem.New(problem.APIUnreachable, "x"), ExitUnreachable},
		"Unanchored":     {problem.New(problem.LedgerUnanchored, "x"), ExitPartial},
		"Hidden":         {problem.New(problem.ObjectHidden, "x"), ExitFailed},
		"Role":           {problem.New(problem.RoleRefused, "x"), ExitRefused},
		"Rule":           {problem.New(problem.RuleRefused, "x"), ExitRefused},
		"NewerQueue":     {problem.New(problem.QueueVersion, "x"), ExitRefused},
		"ExposedSecret":  {problem.New(problem.ConfigSecret, "x"), ExitRefused},
		"Config":         {fmt.Errorf("load: %w", problem.New(problem.ConfigFile, "x")), ExitConfig},
		"Other":          {problem.New(problem.KafkaUnreachable, "x"), ExitFailed},
		"Fault":          {errors.New("x"), ExitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ExitOf(c.err); got != c.want {
				t.Errorf("%v exits with %d, want %d", c.err, got, c.want)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"Problem":        {fmt.Errorf("read lot: %w", problem.New(problem.StateMoved, "version 4")), []string{"read lot: version 4 (E-8005)", "so:   nothing was changed", "next: read it again"}},
		"UnknownCommand": {errors.New(`unknown command "lot"`), []string{`unknown command "lot" (E-1201)`, "--help"}},
		"Partial":        {fmt.Errorf("page 3: %w", ErrPartial), []string{"page 3: not everything was done\n"}},
		"Fault":          {errors.New("slipped"), []string{"slipped (E-9001)", "next: report it"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			Explain(&b, c.err)
			if strings.Contains(b.String(), "E-9001") != (name == "Fault") {
				t.Errorf("%q takes it for a fault of ours, or does not", b.String())
			}
			for _, want := range c.want {
				if !strings.Contains(b.String(), want) {
					t.Errorf("%q does not say %q", b.String(), want)
				}
			}
		})
	}
}

func TestIsTerminal(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{&bytes.Buffer{}, file, null} {
		if IsTerminal(v) {
			t.Errorf("%T %v is no terminal", v, v)
		}
	}
	if err := errors.Join(file.Close(), null.Close()); err != nil {
		t.Error(err)
	}
}

func TestVersion_Line(t *testing.T) {
	v := Version{Version: "v1.2.3", Commit: "abc", Changed: true, Go: "go1.26", OS: "linux", Arch: "arm64"}
	if got, want := v.Line("holdfast-agent"), "holdfast-agent v1.2.3 abc with changes go1.26 linux/arm64"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if b := BuildVersion(); b.Go == "" || b.OS == "" || b.Arch == "" || b.Version == "" {
		t.Errorf("this build is %+v", b)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/cli"
)

func TestExplain(t *testing.T) {
	run := func(args ...string) (code int, out, errs string) {
		var o, e bytes.Buffer
		p := program{in: strings.NewReader(""), out: &o, err: &e, lookupEnv: os.LookupEnv, now: now}
		code = p.main(context.Background(), args)
		return code, o.String(), e.String()
	}
	page, _ := cli.ParseCode("E-7101")
	if code, out, errs := run("explain", "7101"); code != cli.ExitOK || out != page.Text() {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := run("explain", "E-7199"); code != cli.ExitUsage || !strings.Contains(errs, "E-7199") {
		t.Errorf("a code that is none: exit %d: %s", code, errs)
	}
	code, out, _ := run("explain", "-o", "jsonl")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var first cli.Page
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || code != cli.ExitOK || len(lines) != len(cli.Pages()) || first != cli.Pages()[0] {
		t.Errorf("exit %d, %d lines, the first is %+v, %v", code, len(lines), first, err)
	}
	if code, out, _ := run("explain"); code != cli.ExitOK || !strings.Contains(out, "\n"+string(page.Code)+"  "+page.Title) {
		t.Errorf("exit %d: %s", code, out)
	}
	if _, out, _ := run("__complete", "explain", ""); !strings.Contains(out, "E-7101\t") || !strings.HasSuffix(strings.TrimSpace(out), ":4") {
		t.Errorf("completion offers %s", out)
	}
}

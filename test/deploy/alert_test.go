package deploy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rules is the form of holdfast.rules.yaml.
type rules struct {
	Groups []struct {
		Name  string
		Rules []rule
	}
}

type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) (all []rule) {
	t.Helper()
	var r rules
	decode(t, "prometheus/holdfast.rules.yaml", &r)
	for _, g := range r.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 20 {
		t.Fatalf("only %d alerts were read", len(all))
	}
	return all
}

func TestAlerts_Promtool(t *testing.T) {
	for _, args := range [][]string{
		{"check", "rules", "holdfast.rules.yaml"}, {"test", "rules", "holdfast.rules.test.yaml"}, {"check", "config", "prometheus.yaml"},
	} {
		if said, err := tool(t, shipped+"/prometheus", "promtool", args...); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, said)
		}
	}
}

// section is a part of the runbooks, under its heading.
type section struct{ title, text string }

func sections(t *testing.T) (all []section) {
	t.Helper()
	for i, part := range strings.Split("\n"+read(t, "docs/runbooks.md"), "\n## ") {
		if title, text, _ := strings.Cut(part, "\n"); i > 0 {
			all = append(all, section{strings.TrimSpace(title), text})
		}
	}
	return all
}

// TestAlerts_Runbook holds that each alert leads to a section that says all that a person needs at night, and that no section
// is about an alert that there is none of.
func TestAlerts_Runbook(t *testing.T) {
	of := map[string]section{}
	for _, s := range sections(t) {
		of[s.title] = s
	}
	names := map[string]bool{}
	for _, a := range alerts(t) {
		names[a.Alert] = true
		if a.Labels["severity"] != "critical" && a.Labels["severity"] != "warning" {
			t.Errorf("%s has severity %q", a.Alert, a.Labels["severity"])
		}
		if want := "/deploy/docs/runbooks.md#" + strings.ToLower(a.Alert); !strings.HasSuffix(a.Annotations["runbook_url"], want) {
			t.Errorf("%s leads to %q, want an address that ends in %s", a.Alert, a.Annotations["runbook_url"], want)
		}
		for _, text := range []string{"summary", "description"} {
			if a.Annotations[text] == "" {
				t.Errorf("%s has no %s", a.Alert, text)
			}
		}
		s, found := of[a.Alert]
		if !found {
			t.Errorf("no runbook has the heading %s", a.Alert)
			continue
		}
		at := 0
		for _, lead := range []string{"Means", "Costs", "Check", "Fix", "Verify", "Call"} {
			next := strings.Index(s.text[at:], "\n**"+lead+".** ")
			if next < 0 && lead == "Check" { // a check may be commands alone
				next = strings.Index(s.text[at:], "\n**Check.**\n")
			}
			if next < 0 {
				t.Errorf("runbook %s does not say, in its place, what stands under %s", a.Alert, lead)
				continue
			}
			at += next + 1
		}
	}
	for title := range of {
		if strings.HasPrefix(title, "Holdfast") && !names[title] {
			t.Errorf("runbook %s is about no alert", title)
		}
	}
}

// TestRunbook_Links holds that what a runbook refers to is there.
func TestRunbook_Links(t *testing.T) {
	anchors := map[string]bool{}
	for _, s := range sections(t) {
		anchors["#"+strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(s.title, "'", "")), " ", "-")] = true
	}
	for _, link := range regexp.MustCompile(`\]\((#[^)]+)\)`).FindAllStringSubmatch(read(t, "docs/runbooks.md"), -1) {
		if !anchors[link[1]] {
			t.Errorf("no section has the anchor %s", link[1])
		}
	}
}

// TestRunbook_Codes holds that a code that a runbook names is one that the programs have.
func TestRunbook_Codes(t *testing.T) {
	codes := slices.Compact(slices.Sorted(slices.Values(regexp.MustCompile(`E-\d{4}`).FindAllString(read(t, "docs/runbooks.md"), -1))))
	if len(codes) == 0 {
		t.Fatal("no code was read")
	}
	for _, code := range codes {
		if said, err := program(t, "", "holdfast-agent", "explain", code); err != nil {
			t.Errorf("%s: %v\n%s", code, err, said)
		}
	}
}

// TestRunbook_Commands holds that each command of ours in the guides is one that its program has, with each of its flags, and
// that as many arguments are given as it takes.
func TestRunbook_Commands(t *testing.T) {
	for _, name := range []string{"docs/runbooks.md", "docs/getting-started.md"} {
		seen := 0
		for _, command := range commands(read(t, name)) {
			seen++
			if err := judge(t, command); err != nil {
				t.Errorf("%s: %s: %v", name, strings.Join(command, " "), err)
			}
		}
		if seen < 10 {
			t.Errorf("%s: only %d commands were found", name, seen)
		}
	}
}

// commands returns the commands of ours in a text: in blocks of code, and between backticks.
func commands(text string) (all [][]string) {
	inline := regexp.MustCompile("`(holdfast-(?:agent|cloud) [^`]+)`")
	for _, m := range inline.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.Fields(m[1]))
	}
	for _, b := range blocks(text) {
		for line := range strings.Lines(strings.ReplaceAll(b.text, "\\\n", " ")) {
			line = regexp.MustCompile(`-u holdfast-\w+`).ReplaceAllString(line, "") // as a user, or of a unit
			at := regexp.MustCompile(`(?:^|[\s(])(holdfast-(?:agent|cloud) [a-z].*)`).FindStringSubmatch(line)
			if at == nil {
				continue
			}
			command, _, _ := strings.Cut(at[1], " |")
			command, _, _ = strings.Cut(command, " >")
			command, _, _ = strings.Cut(command, " &")
			command, _, _ = strings.Cut(command, "  #")
			all = append(all, words(command))
		}
	}
	return all
}

// words splits a command line; what stands in quotes is one word.
func words(line string) []string {
	return regexp.MustCompile(`"[^"]*"|'[^']*'|[^\s;)]+`).FindAllString(line, -1)
}

// judge asks a program for its help on a command and compares.
func judge(t *testing.T, command []string) error {
	var verbs, flags []string
	for _, w := range command[1:] {
		switch {
		case strings.HasPrefix(w, "-"):
			name, _, _ := strings.Cut(w, "=")
			flags = append(flags, name)
		case len(flags) == 0 && regexp.MustCompile(`^[a-z-]+$`).MatchString(w):
			verbs = append(verbs, w)
		}
	}
	if len(verbs) == 0 {
		return errors.New("it has no verb")
	}
	help, err := program(t, "", command[0], append(verbs, "--help")...)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, help)
	}
	usage := regexp.MustCompile(`(?m)^Usage:\n\s+(.*)$`).FindStringSubmatch(help)
	if usage == nil || !strings.HasPrefix(usage[1], command[0]+" "+verbs[0]) {
		return fmt.Errorf("there is no such command:\n%s", help)
	}
	for _, f := range flags {
		if !regexp.MustCompile(`(?m)^\s+(-\w, )?`+regexp.QuoteMeta(f)+`\b`).MatchString(help) && f != "-o" {
			return fmt.Errorf("there is no flag %s:\n%s", f, help)
		}
	}
	return nil
}

package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestPages(t *testing.T) {
	all := Pages()
	if len(all) != len(problem.Codes()) || !slices.IsSortedFunc(all, func(a, b Page) int { return strings.Compare(string(a.Code), string(b.Code)) }) {
		t.Errorf("%d pages of %d codes, or not in order", len(all), len(problem.Codes()))
	}
	for _, p := range all {
		if p.Area == "" || p.Title == "" || p.Consequence == "" || p.Next == "" {
			t.Errorf("page of %s has an empty field: %+v", p.Code, p)
		}
	}
}

func TestParseCode(t *testing.T) {
	for text, want := range map[string]problem.Code{
		"E-2101": problem.KafkaUnreachable, "e-2101": problem.KafkaUnreachable, "E2101": problem.KafkaUnreachable, "2101": problem.KafkaUnreachable,
		"(E-2101)": problem.KafkaUnreachable, "E-2199": "", "": "", "E-": "", "kafka": "", "E-21010": "",
	} {
		p, err := ParseCode(text)
		if p.Code != want || (err == nil) != (want != "") || err != nil && ExitOf(err) != ExitUsage {
			t.Errorf("%q gives %s, %v; want %s", text, p.Code, err, want)
		}
	}
	p, _ := ParseCode("2101")
	if want := "E-2101   Kafka cannot be reached\n  area: links, TLS, certificates\n  so:   events stay"; !strings.HasPrefix(p.Text(), want) {
		t.Errorf("page reads\n%s", p.Text())
	}
}

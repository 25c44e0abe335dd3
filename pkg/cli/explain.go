package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Page is what the programs know of a code without asking anyone.
type Page struct {
	Code        problem.Code `json:"code"`
	Area        string       `json:"area"`
	Title       string       `json:"title"`
	Consequence string       `json:"consequence"`
	Next        string       `json:"next"`
}

// area names what the codes of one thousand are about.
func area(code problem.Code) string {
	return map[byte]string{
		'1': "configuration, mapping, usage", '2': "links, TLS, certificates", '3': "this host: clock, disk, memory", '4': "sources",
		'5': "queue, epoch, salvage", '6': "events, schema, quarantine", '7': "effects and connectors", '8': "identity, policy", '9': "internal",
	}[code[2]]
}

func pageOf(code problem.Code) Page {
	p := problem.Explain(code)
	return Page{code, area(code), p.Title, p.Consequence, p.Next}
}

// Pages returns the pages of all codes, by code.
func Pages() []Page {
	codes := problem.Codes()
	slices.Sort(codes)
	all := make([]Page, len(codes))
	for i, code := range codes {
		all[i] = pageOf(code)
	}
	return all
}

// ParseCode reads a code as people write it, such as E-2101, e2101 or 2101, and returns its page.
func ParseCode(text string) (Page, error) {
	digits := strings.TrimLeft(strings.Trim(text, " ()"), "eE-")
	code := problem.Code("E-" + digits)
	if !slices.Contains(problem.Codes(), code) {
		return Page{}, &problem.Problem{
			Code: problem.Usage, Cause: fmt.Sprintf("there is no code %.20q", text), Consequence: "nothing was explained",
			Next: "see explain without a code for all of them; a newer version of the program may know more",
		}
	}
	return pageOf(code), nil
}

// Text returns the page for a person.
func (p Page) Text() string {
	return fmt.Sprintf("%s   %s\n  area: %s\n  so:   %s\n  next: %s\n", p.Code, p.Title, p.Area, p.Consequence, p.Next)
}

package deploy

import (
	"strings"
	"testing"
)

// block is a piece of code in a guide.
type block struct {
	language string
	words    []string // behind the language, which tell when it can be run
	text     string
	line     int
}

// blocks returns the pieces of code of a Markdown text, in their order.
func blocks(text string) (all []block) {
	var open *block
	number := 0
	for line := range strings.Lines(text) {
		number++
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open == nil:
			open = &block{line: number + 1}
			if f := strings.Fields(fence); len(f) > 0 {
				open.language, open.words = f[0], f[1:]
			}
		case isFence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line
		}
	}
	return all
}

func TestBlocks(t *testing.T) {
	got := blocks("a\n```sh live kafka\nls\n\ndf\n```\nb\n```\nx\n```\n")
	if len(got) != 2 || got[0].language != "sh" || strings.Join(got[0].words, ",") != "live,kafka" || got[0].text != "ls\n\ndf\n" || got[0].line != 3 || got[1].text != "x\n" {
		t.Errorf("%+v", got)
	}
}

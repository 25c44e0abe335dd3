package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestAPI_Lots(t *testing.T) {
	f := newFixture(t)
	f.seed()
	list := func(query string) string {
		var page api.LotPage
		f.get("viewer", "/lots?"+query).into(t, &page)
		var numbers []string
		for _, l := range page.Lots {
			numbers = append(numbers, l.Number)
		}
		return strings.Join(numbers, " ")
	}
	tests := map[string]string{
		"":                    "L-88213 L-88214 L-9",
		"state=held":          "L-88213",
		"state=in_inspection": "L-9",
		"state=waiting":       "",
		"plant=p2":            "L-9",
		"number=L-88214":      "L-88214",
		"number=88214":        "",
		"number=L%25":         "",
		"state=held&plant=p2": "",
		"limit=2":             "L-88213 L-88214",
		"limit=2&cursor=" + url.QueryEscape(string(lotA)): "L-88214 L-9",
	}
	for query, want := range tests {
		t.Run(query, func(t *testing.T) {
			if got := list(query); got != want {
				t.Errorf("lots %q, want %q", got, want)
			}
		})
	}
	t.Run("ErrState", func(t *testing.T) {
		f.get("viewer", "/lots?state=sold").refused(t, http.StatusUnprocessableEntity, problem.Usage)
	})
	t.Run("ErrUnknownParameter", func(t *testing.T) {
		f.get("viewer", "/lots?sort=key").refused(t, http.StatusUnprocessableEntity, problem.Usage)
	})
	t.Run("Pages", func(t *testing.T) {
		cursor, seen := "", 0
		for {
			var page api.LotPage
			f.get("viewer", "/lots?limit=1&cursor="+url.QueryEscape(cursor)).into(t, &page)
			seen += len(page.Lots)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if seen != 3 {
			t.Errorf("%d lots in pages of one, want 3", seen)
		}
	})
}

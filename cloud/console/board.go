package console

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
)

// cardsPerColumn is what one sees of a column without going to its list.
const cardsPerColumn = 8

// boardData is what the board shows.
type boardData struct {
	api.Board
	Plant string
	Total int64
}

// plantQuery reads which plant is asked for; empty = all.
func (v *visit) plantQuery() string { return v.r.URL.Query().Get("plant") }

func (v *visit) boardPage() error {
	d := boardData{Plant: v.plantQuery()}
	q := url.Values{"limit": {strconv.Itoa(cardsPerColumn)}}
	if d.Plant != "" {
		q.Set("plant", d.Plant)
	}
	if err := v.get("/board?"+q.Encode(), &d.Board); err != nil {
		return err
	}
	v.Now = d.At
	for i := range d.Columns {
		d.Total += d.Columns[i].Count
	}
	title, err := v.T("board.title")
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "board", view{Title: title, Section: "lots", Live: v.liveAll(), Data: d})
}

// listData is what the list of a column shows: the board's twin as a table.
type listData struct {
	api.BoardList
	Plant  string
	Stages []api.BoardStage
	Cursor string
}

func stageQuery(cursor string, q url.Values) string {
	out := url.Values{}
	if plant := q.Get("plant"); plant != "" {
		out.Set("plant", plant)
	}
	if cursor != "" {
		out.Set("cursor", cursor)
	}
	return "/board/" + url.PathEscape(stageOf(q)) + "?" + out.Encode()
}

// stageOf returns the column that is asked for, the first where none is.
func stageOf(q url.Values) string {
	if s := q.Get("stage"); s != "" {
		return s
	}
	return string(api.BoardHeld)
}

func (v *visit) lotList() error {
	q := v.r.URL.Query()
	d := listData{Plant: q.Get("plant"), Cursor: q.Get("cursor"), Stages: api.BoardStages()}
	if err := v.get(stageQuery(d.Cursor, q), &d.BoardList); err != nil {
		return err
	}
	title, err := v.T("stage." + string(d.Stage))
	if err != nil {
		return err
	}
	x := view{Title: title, Section: "lots", Data: d}
	if d.Cursor == "" { // a page behind the first stays what one is reading
		x.Live = v.liveAll()
	}
	return v.show(http.StatusOK, "lots", x)
}

// lotCSV streams all lots of a column, page by page.
func (v *visit) lotCSV() error {
	q := v.r.URL.Query()
	var page api.BoardColumn
	if err := v.get(stageQuery("", q), &page); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	v.w.Header().Set("Content-Disposition", `attachment; filename="lots-`+string(page.Stage)+`.csv"`)
	out := csv.NewWriter(v.w)
	_ = out.Write([]string{"lot", "key", "material", "plant", "state", "since", "late", "disposition", "holds", "held_since", "held_by", "held_for", "usage", "may_move", "waits_for"})
	for {
		for i := range page.Lots {
			_ = out.Write(csvLine(&page.Lots[i])) // kept by the writer, and asked for below
		}
		out.Flush()
		if page.Next == "" || out.Error() != nil {
			return nil // the visitor may have gone
		}
		next := page.Next
		page = api.BoardColumn{}
		if err := v.get(stageQuery(next, q), &page); err != nil {
			v.c.Log.Error().Err(err).Msg("list cut off")
			panic(http.ErrAbortHandler) // so that nobody takes half a list for the whole
		}
	}
}

func csvLine(l *api.LotLine) []string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	usage := ""
	for _, u := range l.Usage {
		usage = strings.TrimSpace(usage + " " + u.System + "=" + string(u.Usage))
	}
	var waits []string
	for i := range l.WaitsFor {
		waits = append(waits, l.WaitsFor[i].Words)
	}
	return plainCells([]string{
		l.Number, string(l.Key), l.Material, string(l.Plant), string(l.Release), at(l.ReleaseSince), strconv.FormatBool(l.ReleaseLate),
		string(l.Disposition), strconv.Itoa(l.Holds), at(l.HeldSince), l.HeldBy, l.HeldFor, usage, strconv.FormatBool(l.MayMove), strings.Join(waits, "; "),
	})
}

// plainCells keeps a spreadsheet from taking a text for a formula.
func plainCells(line []string) []string {
	for i, s := range line {
		if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
			line[i] = "'" + s
		}
	}
	return line
}

// search finds a lot by its number or key.
func (v *visit) search() error {
	text := strings.TrimSpace(v.r.URL.Query().Get("q"))
	if text == "" {
		return v.goTo("/lots")
	}
	d := searchData{Text: text}
	if strings.HasPrefix(text, "lot:") {
		var l api.Lot
		if err := v.get("/lots/"+url.PathEscape(text), &l); err == nil {
			http.Redirect(v.w, v.r, v.LotURL(l.Key), http.StatusSeeOther)
			return nil
		}
	} else {
		var page api.LotPage
		if err := v.get("/lots?number="+url.QueryEscape(text), &page); err != nil {
			return err
		}
		if len(page.Lots) == 1 {
			http.Redirect(v.w, v.r, v.LotURL(page.Lots[0].Key), http.StatusSeeOther)
			return nil
		}
		d.Lots = page.Lots
	}
	title, err := v.T("search.title")
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "search", view{Title: title, Section: "lots", Data: d})
}

// searchData is what a search has found.
type searchData struct {
	Text string
	Lots []api.LotLine
}

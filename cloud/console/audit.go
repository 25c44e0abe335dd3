package console

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// auditData is what the page of the ledger shows.
type auditData struct {
	State   api.LedgerState
	Page    api.AuditPage
	Query   url.Values // as the form sent it
	ByLot   bool       // this user sees the ledger lot by lot, and named none
	Failure *api.Failure
}

// Filtered tells whether less than all is looked for.
func (d auditData) Filtered() bool {
	for _, name := range auditFields() {
		if d.Query.Get(name) != "" {
			return true
		}
	}
	return false
}

// auditFields are the names of what may be looked for.
func auditFields() []string {
	return []string{"principal", "act", "object", "lot", "since", "before", "text"}
}

// AuditLink returns the address of a search in another form, or of another page of it.
func (v *visit) AuditLink(d auditData, path string, from int64) string {
	var query []string
	for _, name := range auditFields() {
		query = append(query, name, d.Query.Get(name))
	}
	if from > 0 {
		query = append(query, "from", strconv.FormatInt(from, 10))
	}
	return v.URL(path, query...)
}

const auditRows = 50

func (v *visit) auditPage() error {
	d := auditData{Query: v.r.URL.Query()}
	if err := v.get("/ledger/state", &d.State); err != nil {
		return err
	}
	q, err := v.auditQuery()
	if err == nil {
		q.Set("limit", strconv.Itoa(auditRows))
		q.Set("from", v.r.URL.Query().Get("from"))
		if d.ByLot = len(v.User.Plants) > 0 && q.Get("lot") == ""; !d.ByLot {
			err = v.get("/ledger/search?"+encode(q), &d.Page)
		}
	}
	status := http.StatusOK
	if err != nil {
		d.Failure = v.failureOf(err)
		status = d.Failure.Status
	}
	title, err := v.T("audit.title")
	if err != nil {
		return err
	}
	x := view{Title: title, Section: "audit", Data: d}
	if d.Query.Get("from") == "" && d.Failure == nil { // a page behind the first stays what one is reading
		x.Live = v.liveAll()
	}
	return v.show(status, "audit", x)
}

// encode leaves out what is empty.
func encode(q url.Values) string {
	for name := range q {
		if q.Get(name) == "" {
			q.Del(name)
		}
	}
	return q.Encode()
}

// auditQuery makes a search of what the form sent: times as a browser writes them, a lot by its number or its key.
func (v *visit) auditQuery() (url.Values, error) {
	in, out := v.r.URL.Query(), url.Values{}
	for _, name := range auditFields() {
		out.Set(name, strings.TrimSpace(in.Get(name)))
	}
	for _, name := range []string{"since", "before"} {
		text := out.Get(name)
		if text == "" {
			continue
		}
		t, err := readTime(text)
		if err != nil {
			return nil, problem.New(problem.Usage, "%q is no time: want a date, and a time of day in UTC", text)
		}
		out.Set(name, t.Format(time.RFC3339))
	}
	lot := out.Get("lot")
	if lot == "" || strings.HasPrefix(lot, "lot:") {
		return out, nil
	}
	var page api.LotPage
	if err := v.get("/lots?number="+url.QueryEscape(lot), &page); err != nil {
		return nil, err
	}
	if len(page.Lots) != 1 {
		return nil, problem.New(problem.Usage, "%d lots have the number %s: name one by its key", len(page.Lots), lot)
	}
	out.Set("lot", string(page.Lots[0].Key))
	return out, nil
}

// readTime reads a time as the field of a form writes it.
func readTime(text string) (t time.Time, err error) {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02", time.RFC3339} {
		if t, err = time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return t, err
}

// eachEntry calls write with every page of what is looked for, oldest first. Its error of the first page is for the
// visitor; after that half an export must not look like the whole.
func (v *visit) eachEntry(begin func(), write func([]api.AuditEntry) error) error {
	q, err := v.auditQuery()
	if err != nil {
		return err
	}
	q.Set("order", "oldest")
	q.Set("limit", "1000")
	for first := true; ; first = false {
		var page api.AuditPage
		if err := v.get("/ledger/search?"+encode(q), &page); err != nil {
			if first {
				return err
			}
			v.c.Log.Error().Err(err).Msg("export of the ledger cut off")
			panic(http.ErrAbortHandler)
		}
		if first {
			begin()
		}
		if write(page.Entries) != nil || page.Next == 0 {
			return nil // the visitor may have gone
		}
		q.Set("from", strconv.FormatInt(page.Next, 10))
	}
}

func (v *visit) attachment(contentType, name string) {
	v.w.Header().Set("Content-Type", contentType)
	v.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

// auditCSV streams what is looked for as a table.
func (v *visit) auditCSV() error {
	out := csv.NewWriter(v.w)
	return v.eachEntry(func() {
		v.attachment("text/csv; charset=utf-8", "ledger.csv")
		_ = out.Write([]string{"place", "at", "principal", "act", "about", "lot", "plant", "reason", "changed", "version", "event_id", "hash", "fits"})
	}, func(entries []api.AuditEntry) error {
		for i := range entries {
			e := &entries[i]
			_ = out.Write(plainCells([]string{
				strconv.FormatInt(e.Place, 10), e.At, e.Principal, e.Did, e.About, e.Lot, string(e.Plant), e.Reason, e.Words,
				strconv.FormatInt(e.Version, 10), e.EventID, e.Hash, strconv.FormatBool(e.Fits),
			})) // kept by the writer, and asked for below
		}
		out.Flush()
		return out.Error()
	})
}

// auditLines streams what is looked for in the form that verification reads, an entry a line. All of the ledger, with the
// anchors, is what proves it.
func (v *visit) auditLines() error {
	out := json.NewEncoder(v.w)
	out.SetEscapeHTML(false)
	return v.eachEntry(func() { v.attachment("application/jsonl", "ledger.jsonl") }, func(entries []api.AuditEntry) error {
		for i := range entries {
			if err := out.Encode(entries[i].Line); err != nil {
				return err
			}
		}
		return nil
	})
}

// EntryTime shows when an entry was made.
func (v *visit) EntryTime(e api.AuditEntry) any {
	t, err := time.Parse(time.RFC3339Nano, e.At)
	if err != nil {
		return e.At
	}
	return v.Time(t, e.Zone)
}

// Act tells what an entry says was done: an act by its word, an event by its name.
func (v *visit) Act(e api.AuditEntry) string {
	if strings.HasSuffix(e.Did, ".v1") {
		return v.EventName(event.Type(e.Did))
	}
	return v.Word("act", e.Did)
}

// EntryLot returns the lot that an entry is about, empty if it is about none.
func (v *visit) EntryLot(e api.AuditEntry) event.LotKey { return event.LotKey(e.Lot) }

// About names what an entry is about; empty for its lot alone.
func (v *visit) About(e api.AuditEntry) string {
	kind, id, ok := strings.Cut(e.About, ":")
	switch {
	case !ok:
		return e.About
	case kind == "user":
		name, err := v.Who(id)
		if err == nil {
			return name
		}
	case kind == "lot" && e.Lot == e.About:
		return "" // which is named beside it
	case kind == "lot":
		return v.Word("object", kind) + " " + v.LotNumber(event.LotKey(e.About))
	}
	at, _, _ := strings.Cut(e.About, "@lot:")
	if name := v.ID(at); !strings.HasPrefix(name, "n-") { // an id that we made says nothing to a person
		return v.Word("object", kind) + " " + name
	}
	return v.Word("object", kind)
}

// Short returns the beginning of a hash; the whole stands in the export.
func (v *visit) Short(hash string) string { return hash[:min(len(hash), 16)] }

// Pretty lays JSON out.
func (v *visit) Pretty(text string) string { return pretty([]byte(text)) }

// Anchoring shows whether the anchor file fits the chain.
func (v *visit) Anchoring(a api.Anchoring) badge {
	word := v.Word("anchor", a)
	switch a {
	case api.AnchorFits:
		return badge{v.Icon("done"), "calm", word}
	case api.AnchorNone:
		return badge{v.Icon("wait"), "wait", word}
	}
	return badge{v.Icon("fail"), "bad", word}
}

package console_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestConsole_Board(t *testing.T) {
	f := newFixture(t, "")
	f.user("maria", false, nil, "quality")
	b := f.browser()
	b.logIn("maria")
	b.get("/lots").shows(http.StatusOK, "0 lots", "No lot is held.", "No lot is being released.", "No lot was released yet.")
	f.seed()
	p := b.get("/lots")
	p.shows(http.StatusOK, "3 lots", ">L-88213<", ">L-88214<", ">L-9<", "torque", "2 min", "All plants", ">p2<")
	b.get("/lots?plant=p2").shows(http.StatusOK, "1 lot<", ">L-9<")
	b.get("/").leads("/lots")
	b.get("/nothing").shows(http.StatusNotFound, "There is no page", "E-8023")
}

func TestConsole_List(t *testing.T) {
	f := newFixture(t, "")
	f.user("maria", false, nil, "quality")
	for i := range 120 {
		f.apply(fmt.Sprint("lot-", i), "p2", created(event.LotKey(fmt.Sprintf("lot:2000:MAT-200:L-%d", i))))
	}
	b := f.browser()
	b.logIn("maria")
	seen := map[string]bool{}
	path, pages := "/lots/list?stage=inspection", 0
	for path != "" {
		p := b.get(path)
		p.shows(http.StatusOK, "120 lots")
		pages++
		for _, part := range strings.Split(p.text, `<th scope="row"><a href="`)[1:] {
			lot := part[:strings.IndexByte(part, '"')]
			if seen[lot] {
				t.Errorf("lot %s is on two pages", lot)
			}
			seen[lot] = true
		}
		_, rest, more := strings.Cut(p.text, `rel="next" href="`)
		path = ""
		if more {
			path = strings.ReplaceAll(rest[:strings.IndexByte(rest, '"')], "&amp;", "&")
		}
	}
	if len(seen) != 120 || pages != 3 {
		t.Errorf("%d lots on %d pages, want 120 on 3", len(seen), pages)
	}
	b.get("/lots/list?stage=inspection&cursor=nonsense").shows(http.StatusUnprocessableEntity, "Cursor")
	b.get("/lots/list?stage=nonsense").shows(http.StatusUnprocessableEntity)
	rows, err := csv.NewReader(strings.NewReader(b.get("/lots/list.csv?stage=inspection").text)).ReadAll()
	if err != nil || len(rows) != 121 || rows[0][0] != "lot" || rows[1][3] != "p2" {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestConsole_Lot(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.user("maria", false, nil, "quality")
	b := f.browser()
	b.logIn("maria")
	p := b.get(lotPath(lotA))
	p.shows(http.StatusOK, "This lot may not move", "a rule", "61.2", "max 50", "2 results, 1 outside of the limits", "Not decided", "One hold is open",
		"s4 was not read to enforce it yet", "24 Nov 10:14:02", "CET", "should be restricted", "polygon", "2 results as a table", "Nonconformance record")
	if strings.Contains(p.text, "%!") || strings.Contains(p.text, "lot:1000") && strings.Contains(p.text, ">lot:1000") {
		t.Errorf("the page shows what is for programs:\n%s", p.text)
	}
	b.get(lotPath("lot:1000:MAT-100:L-none")).shows(http.StatusNotFound, "There is no lot", "E-8003")
	b.get("/search?q=L-88213").leads("/lots/lot:1000:MAT-100:L-88213")
	b.get("/search?q=L-none").shows(http.StatusOK, "No lot has the number")
	b.get("/search?q=" + string(lotA)).leads("/lots/lot:1000:MAT-100:L-88213")
}

func TestConsole_HoldAndLift(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.user("maria", false, nil, "quality")
	b := f.browser()
	b.logIn("maria")
	p := b.get(lotPath(lotB))
	was := f.facts(lotB).Lot.Version
	hold := []string{"key", p.field("key"), "kind", "safety", "reason", "smells of <burnt> oil"}
	b.post(p, lotPath(lotB, "hold"), "key", p.field("key"), "kind", "safety", "reason", " ").shows(http.StatusUnprocessableEntity, "gives no reason", "E-8004")
	b.post(p, lotPath(lotB, "hold"), hold...).leads("/lots/lot:1000:MAT-100:L-88214?did=hold")
	b.post(p, lotPath(lotB, "hold"), hold...).leads("/lots/lot:1000:MAT-100:L-88214?did=hold") // sent twice, done once
	open := f.facts(lotB).Open
	if len(open) != 1 || open[0].PlacedBy != "maria" || open[0].Kind != event.HoldSafety || open[0].Authority != event.AuthorityQuality {
		t.Fatalf("holds are %+v", open)
	}
	b.get(lotPath(lotB)+"?did=hold").shows(http.StatusOK, "The hold is placed", "smells of &lt;burnt&gt; oil", "Placed by Maria Lindner")
	// The page that was read is out of date: what loosens is decided on what is there now.
	b.post(p, lotPath(lotB, "lift"), "key", "lift-0", "version", fmt.Sprint(was), "hold", string(open[0].ID), "reason", "keeps what was typed").
		shows(http.StatusPreconditionFailed, "E-8005", "keeps what was typed")
	now := b.get(lotPath(lotB))
	b.post(now, lotPath(lotB, "lift"), "key", "lift-1", "version", now.field("version"), "hold", string(open[0].ID), "reason", "cleaned").
		leads("/lots/lot:1000:MAT-100:L-88214?did=lift")
	if n := len(f.facts(lotB).Open); n != 0 {
		t.Errorf("%d holds are open", n)
	}
	b.get(lotPath(lotB)).shows(http.StatusOK, "1 lifted hold", "cleaned")
	var acts []string
	for _, e := range f.entries("maria") {
		if strings.Contains(e, "smells of") || strings.Contains(e, "cleaned") {
			acts = append(acts, e)
		}
	}
	if len(acts) < 2 {
		t.Errorf("the ledger has %v under maria", f.entries("maria"))
	}
}

func TestConsole_Accept(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	gap := f.gap()
	f.user("maria", false, nil, "quality")
	f.user("vera", false, nil, "quality")
	b := f.browser()
	b.logIn("maria")
	p := b.get(lotPath(lotC))
	p.shows(http.StatusOK, "What is not known", "Accept by signature")
	sign := func(user, pw string) *page {
		f.now = f.now.Add(time.Minute)
		on := b.get(lotPath(lotC))
		return b.post(on, lotPath(lotC, "accept"), "key", on.field("key"), "version", on.field("version"), "gap", gap, "reason", "camera was on", "user", user, "password", pw)
	}
	sign("vera", "wrong-"+canary).shows(http.StatusUnauthorized, "E-8006", "camera was on")
	sign("vera", password).leads("/lots/lot:2000:MAT-200:L-9?did=accept")
	b.get(lotPath(lotC)).shows(http.StatusOK, "Accepted by", "Vera Lindner", "camera was on")
	if strings.Contains(f.log.String(), canary) || strings.Contains(f.log.String(), password) {
		t.Error("a password is in the log")
	}
}

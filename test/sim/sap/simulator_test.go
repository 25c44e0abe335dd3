package sap_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/sap"
)

// caller is a plain OData client of its own, so that the simulator is not judged by the connector that it judges.
type caller struct {
	t     *testing.T
	url   string
	http  *http.Client
	token string
}

func start(t *testing.T, cfg sap.Config) (*sap.Simulator, *caller) {
	t.Helper()
	s, err := sap.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s.Handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	jar, _ := cookiejar.New(nil)
	return s, &caller{t: t, url: server.URL, http: &http.Client{Jar: jar}}
}

// answer is what came back: the data inside of d, or the error's code.
type answer struct {
	status int
	header http.Header
	data   map[string]any
	code   string
	raw    string
}

func (c *caller) do(method, path, body string, header ...string) answer {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+sap.Root+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.SetBasicAuth("U", "P")
	if c.token != "" {
		req.Header.Set("X-CSRF-Token", c.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}
	}
	defer func() { _ = resp.Body.Close() }()
	raw, _ := io.ReadAll(resp.Body)
	var in struct {
		D     map[string]any
		Error struct{ Code string }
	}
	_ = json.Unmarshal(raw, &in)
	return answer{resp.StatusCode, resp.Header, in.D, in.Error.Code, string(raw)}
}

func (c *caller) fetch() {
	c.token = ""
	c.token = c.do("GET", "API_BATCH_SRV/", "", "X-CSRF-Token", "Fetch").header.Get("X-CSRF-Token")
}

const (
	batchPath = "API_BATCH_SRV/Batch(Material='M-1',BatchIdentifyingPlant='',Batch='0007')"
	headers   = "API_MATERIAL_DOCUMENT_SRV/A_MaterialDocumentHeader"
	setFlag   = `{"MatlBatchIsInRstrcdUseStock":true}`
	clearFlag = `{"MatlBatchIsInRstrcdUseStock":false}`
)

func move(movement, quantity, reference string) string {
	return `{"PostingDate":"2026-11-24T00:00:00","DocumentDate":"/Date(1795478400000)/","GoodsMovementCode":"04","ReferenceDocument":"` + reference +
		`","to_MaterialDocumentItem":[{"Material":"M-1","Batch":"0007","Plant":"1010","StorageLocation":"0001","GoodsMovementType":"` + movement +
		`","QuantityInEntryUnit":"` + quantity + `","EntryUnit":"KG"}]}`
}

func TestSimulator_Token(t *testing.T) {
	s, c := start(t, sap.Config{User: "U", Password: "P"})
	s.AddBatch("M-1", "0007", "1010", "10", "01")
	etag := c.do("GET", batchPath, "").header.Get("ETag")
	if got := c.do("PATCH", batchPath, setFlag, "If-Match", etag); got.status != 403 || got.header.Get("X-CSRF-Token") != "Required" {
		t.Errorf("a write without a token: %d %s", got.status, got.header)
	}
	c.fetch()
	s.ForgetSessions()
	if got := c.do("PATCH", batchPath, setFlag, "If-Match", etag); got.status != 403 || got.header.Get("X-CSRF-Token") != "Required" {
		t.Errorf("a write with an old token: %d", got.status)
	}
	c.fetch()
	cookies := c.http.Jar
	c.http.Jar = nil
	if got := c.do("PATCH", batchPath, setFlag, "If-Match", etag); got.status != 403 {
		t.Errorf("a token without its session's cookie: %d", got.status)
	}
	c.http.Jar = cookies
	if got := c.do("PATCH", batchPath, setFlag, "If-Match", etag); got.status != 204 || got.raw != "" {
		t.Errorf("a write with token and cookie: %d %q", got.status, got.raw)
	}
}

func TestSimulator_TokenAges(t *testing.T) {
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	s, c := start(t, sap.Config{User: "U", Password: "P", TokenTTL: time.Minute, Now: func() time.Time { return now }})
	s.AddBatch("M-1", "0007", "1010", "10", "01")
	c.fetch()
	now = now.Add(2 * time.Minute)
	if got := c.do("POST", "API_BATCH_SRV/Batch", `{"Material":"M-1","Batch":"2"}`); got.status != 403 {
		t.Errorf("a write with a token that is too old: %d", got.status)
	}
}

func TestSimulator_LogIn(t *testing.T) {
	s, c := start(t, sap.Config{User: "U", Password: "other", LockAfter: 2})
	for range 3 {
		if got := c.do("GET", batchPath, ""); got.status != 401 {
			t.Fatalf("a wrong password: %d", got.status)
		}
	}
	s.SetPassword("P")
	if got := c.do("GET", batchPath, ""); got.status != 401 || s.BadLogins() != 4 {
		t.Errorf("a locked user with the right password: %d after %d", got.status, s.BadLogins())
	}
}

func TestSimulator_Batch(t *testing.T) {
	s, c := start(t, sap.Config{User: "U", Password: "P"})
	s.AddBatch("M-1", "0007", "1010", "100", "01")
	s.AddBatch("M-1", "0007", "1010", "5", "02")
	c.fetch()
	read := c.do("GET", batchPath, "")
	etag := read.header.Get("ETag")
	if read.data["Batch"] != "0007" || !strings.HasPrefix(etag, `W/"'SADL-`) || read.data["LastChangeDateTime"] != nil ||
		!strings.HasSuffix(read.data["CreationDateTime"].(string), "+0000)/") {
		t.Errorf("batch %s, ETag %s", read.raw, etag)
	}
	for name, x := range map[string]struct {
		etag, body string
		want       int
	}{
		"no version": {"", setFlag, 428}, "another version": {`W/"'SADL-1'"`, setFlag, 412},
		"a version without its W/": {strings.TrimPrefix(etag, "W/"), setFlag, 412},
		"an unknown property":      {etag, `{"Colour":"red"}`, 400}, "no JSON": {etag, `x`, 400},
	} {
		if got := c.do("PATCH", batchPath, x.body, "If-Match", x.etag); got.status != x.want {
			t.Errorf("%s: %d, want %d", name, got.status, x.want)
		}
	}
	if got := c.do("PATCH", batchPath, setFlag, "If-Match", etag); got.status != 204 {
		t.Fatalf("set: %d", got.status)
	}
	if s.Stock("M-1", "0007", "08") != "100" || s.Stock("M-1", "0007", "01") != "0" || s.Stock("M-1", "0007", "02") != "5" {
		t.Error("the flag moved other stock than what was free")
	}
	changed := c.do("GET", batchPath, "")
	if changed.header.Get("ETag") == etag || changed.data["LastChangeDateTime"] == nil {
		t.Error("the change left version or time as they were")
	}
	if got := c.do("PATCH", batchPath, clearFlag, "If-Match", changed.header.Get("ETag")); got.status != 204 || s.Stock("M-1", "0007", "01") != "100" {
		t.Errorf("clear: %d, free %s", got.status, s.Stock("M-1", "0007", "01"))
	}
	kinds := ""
	for _, e := range s.Batch("M-1", "0007") {
		kinds += e.Kind + map[bool]string{true: "+free ", false: " "}[e.FreeAfter]
	}
	if kinds != "flag_set flag_cleared+free " {
		t.Errorf("book: %s", kinds)
	}
	if got := c.do("POST", "API_BATCH_SRV/Batch", `{"Material":"M-1","Batch":"0007"}`); got.status != 400 {
		t.Errorf("a batch made twice: %d", got.status)
	}
	if got := c.do("GET", strings.Replace(batchPath, "0007", "7", 1), ""); got.status != 404 {
		t.Errorf("a batch without its zeros: %d, want 404", got.status)
	}
}

func TestSimulator_Documents(t *testing.T) {
	s, c := start(t, sap.Config{User: "U", Password: "P"})
	s.AddBatch("M-1", "0007", "1010", "100", "01")
	c.fetch()
	posted := c.do("POST", headers, move("344", "40.5", "HF00000000000001"))
	if posted.status != 201 || posted.data["ReferenceDocument"] != "HF00000000000001" || s.Stock("M-1", "0007", "07") != "40.5" {
		t.Fatalf("344: %s", posted.raw)
	}
	for name, x := range map[string]struct{ body, code string }{
		"more than there is":     {move("344", "1000", "x"), "M7/021"},
		"a status change":        {move("342", "1", "x"), "M7/003"},
		"four places":            {move("344", "1.0001", "x"), "/IWBEP/CM_MGW_RT/023"},
		"a batch without zeros":  {strings.Replace(move("344", "1", "x"), "0007", "7", 1), "M7/042"},
		"an unknown unit":        {strings.Replace(move("344", "1", "x"), "KG", "CAR", 1), "M7/065"},
		"no items":               {`{"PostingDate":"x","DocumentDate":"x","GoodsMovementCode":"04","to_MaterialDocumentItem":[]}`, "M7/051"},
		"items that are no list": {`{"PostingDate":"x","DocumentDate":"x","GoodsMovementCode":"04","to_MaterialDocumentItem":7}`, "/IWBEP/CM_MGW_RT/021"},
	} {
		if got := c.do("POST", headers, x.body); got.status != 400 || got.code != x.code {
			t.Errorf("%s: %d %s, want 400 %s", name, got.status, got.code, x.code)
		}
	}
	found := c.do("GET", headers+"?$format=json&$inlinecount=allpages&$expand=to_MaterialDocumentItem&$filter="+url.QueryEscape("ReferenceDocument eq 'HF00000000000001'"), "")
	if found.data["__count"] != "1" || !strings.Contains(found.raw, `"MaterialDocumentItem":"1"`) || !strings.Contains(found.raw, `"QuantityInEntryUnit":"40.500"`) {
		t.Errorf("by reference: %s", found.raw)
	}
	number, year := posted.data["MaterialDocument"].(string), posted.data["MaterialDocumentYear"].(string)
	cancel := "API_MATERIAL_DOCUMENT_SRV/Cancel?MaterialDocumentYear='" + year + "'&MaterialDocument='" + number + "'"
	if got := c.do("POST", cancel, ""); got.status != 201 || s.Stock("M-1", "0007", "07") != "0" {
		t.Errorf("cancel: %d %s", got.status, got.raw)
	}
	if got := c.do("POST", cancel, ""); got.status != 400 {
		t.Errorf("cancelled twice: %d", got.status)
	}
	s.AddBatch("M-1", "0007", "1010", "10", "02")
	s.PutUnderInspectionLot("M-1", "0007")
	if got := c.do("POST", headers, move("321", "10", "x")); got.status != 400 || got.code != "QV/226" {
		t.Errorf("321 past the inspection lot: %d %s", got.status, got.code)
	}
}

func TestSimulator_MovementsUnderTheFlag(t *testing.T) {
	s, c := start(t, sap.Config{User: "U", Password: "P"})
	s.AddBatch("M-1", "0007", "1010", "100", "01")
	s.AddBatch("M-1", "0007", "1010", "7", "02")
	s.SetFlag("M-1", "0007", true)
	c.fetch()
	for _, x := range []struct{ movement, quantity, restricted string }{{"344", "60", "40"}, {"343", "10", "50"}, {"321", "7", "57"}, {"101", "3", "60"}} {
		if got := c.do("POST", headers, move(x.movement, x.quantity, "x")); got.status != 201 {
			t.Fatalf("%s: %s", x.movement, got.raw)
		}
		if got := s.Stock("M-1", "0007", "08"); got != x.restricted || s.Stock("M-1", "0007", "01") != "0" {
			t.Errorf("after %s %s stands in restricted stock, want %s", x.movement, got, x.restricted)
		}
	}
	s.AddBatch("M-1", "0007", "1010", "5", "01")
	if got := s.Stock("M-1", "0007", "08"); got != "65" {
		t.Errorf("a receipt under the flag: restricted %s, want 65", got)
	}
}

func TestSimulator_Lists(t *testing.T) {
	s, c := start(t, sap.Config{User: "U", Password: "P", PageSize: 2})
	for _, b := range []string{"C", "A", "B", "D"} {
		s.AddBatch("M-1", b, "1010", "10000", "01")
	}
	s.AddBatch("M-1", "A", "1010", "0.25", "02")
	stock := c.do("GET", "API_MATERIAL_STOCK_SRV/A_MatlStkInAcctMod?$filter="+url.QueryEscape("Material eq 'M-1' and Batch eq 'A' and InventorySpecialStockType eq ''"), "")
	for _, want := range []string{`"MatlWrhsStkQtyInMatlBaseUnit":"10000"`, `"MatlWrhsStkQtyInMatlBaseUnit":"0.250"`} {
		if !strings.Contains(stock.raw, want) {
			t.Errorf("stock has no %s: %s", want, stock.raw)
		}
	}
	var names []string
	next := "API_BATCH_SRV/Batch?$orderby=Batch%20desc&$top=3"
	for next != "" {
		page := c.do("GET", next, "")
		for _, row := range page.data["results"].([]any) {
			names = append(names, row.(map[string]any)["Batch"].(string))
		}
		more, _ := page.data["__next"].(string)
		_, next, _ = strings.Cut(more, sap.Root)
	}
	if got := strings.Join(names, ""); got != "DCB" {
		t.Errorf("pages give %s, want DCB", got)
	}
	for filter, want := range map[string]string{
		"Batch gt 'B'": "CD", "Batch ge 'B' and Batch lt 'D'": "BC", "(Batch eq 'A' or Batch eq 'D')": "AD", "LastChangeDateTime eq null": "AB",
		"MatlBatchIsInRstrcdUseStock eq true": "", "CreationDateTime ge datetimeoffset'2020-01-01T00:00:00Z' and Batch eq 'C'": "C",
	} {
		got := ""
		for _, row := range c.do("GET", "API_BATCH_SRV/Batch?$orderby=Batch&$filter="+url.QueryEscape(filter), "").data["results"].([]any) {
			got += row.(map[string]any)["Batch"].(string)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", filter, got, want)
		}
	}
	if got := c.do("GET", "API_BATCH_SRV/Batch?$filter=Batch", ""); got.status != 400 {
		t.Errorf("a broken filter: %d", got.status)
	}
}

func TestSimulator_AutoCreate(t *testing.T) {
	s, c := start(t, sap.Config{User: "U", Password: "P", AutoCreate: true})
	if got := c.do("GET", batchPath, ""); got.status != 200 || s.Stock("M-1", "0007", "01") != "100" || len(s.Book()) != 0 {
		t.Errorf("an unknown batch: %d, stock %s", got.status, s.Stock("M-1", "0007", "01"))
	}
}

func TestSimulator_BookAndControl(t *testing.T) {
	file := filepath.Join(t.TempDir(), "book.jsonl")
	s, c := start(t, sap.Config{User: "U", Password: "P", BookFile: file})
	s.AddBatch("M-1", "0007", "1010", "100", "01")
	control := func(command string) {
		t.Helper()
		resp, err := http.Post(c.url+"/control", "application/json", bytes.NewReader([]byte(command)))
		if err != nil || resp.StatusCode != http.StatusNoContent {
			t.Fatalf("%s: %v %v", command, resp, err)
		}
		_ = resp.Body.Close()
	}
	c.fetch()
	control(`{"do":"snapshot"}`)
	control(`{"do":"add","fault":{"kind":"lost_after","every":2}}`)
	etag := c.do("GET", batchPath, "").header.Get("ETag")
	if got := c.do("PATCH", batchPath, setFlag, "If-Match", etag); got.status != 204 {
		t.Errorf("the first write: %d", got.status)
	}
	if got := c.do("POST", headers, move("344", "100", "HF1")); got.status != 0 {
		t.Errorf("the second write was answered with %d", got.status)
	}
	control(`{"do":"clear"}`)
	entries, err := book.ReadFile(file)
	if err != nil || len(entries) != 2 || entries[0].Kind != "flag_set" || entries[0].FreeAfter || entries[1].Kind != "transfer_344" || entries[1].Reference != "HF1" {
		t.Errorf("book file: %+v, %v", entries, err)
	}
	resp, err := http.Get(c.url + "/book")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var shown []book.Entry
	if err := json.NewDecoder(resp.Body).Decode(&shown); err != nil || len(shown) != 2 {
		t.Errorf("GET /book: %+v, %v", shown, err)
	}
	control(`{"do":"restore"}`)
	if s.Restricted("M-1", "0007") || s.Stock("M-1", "0007", "01") != "100" || len(s.Book()) != 2 {
		t.Error("the restored system keeps what came after its backup, or its book forgot it")
	}
}

func TestSimulator_References(t *testing.T) {
	for how, want := range map[string]int{"missing": 400, "dropped": 201} {
		s, c := start(t, sap.Config{User: "U", Password: "P", References: how})
		s.AddBatch("M-1", "0007", "1010", "100", "01")
		c.fetch()
		got := c.do("POST", headers, move("344", "1", "HF1"))
		if got.status != want || strings.Contains(got.raw, "HF1") {
			t.Errorf("%s: %d %s", how, got.status, got.raw)
		}
	}
}

func TestSimulator_Faults(t *testing.T) {
	s, c := start(t, sap.Config{User: "U", Password: "P"})
	s.AddBatch("M-1", "0007", "1010", "100", "01")
	c.fetch()
	for _, x := range []struct {
		fault   fault.Fault
		status  int
		effects int
	}{
		{fault.Fault{Kind: fault.LostAfter}, 0, 1}, {fault.Fault{Kind: fault.LostBefore}, 0, 0}, {fault.Fault{Kind: fault.Down}, 0, 0},
		{fault.Fault{Kind: fault.Status, Status: 502}, 502, 0}, {fault.Fault{Kind: fault.StatusAfter, Status: 504}, 504, 1},
		{fault.Fault{Kind: fault.Throttle, RetryAfter: "-1"}, 429, 0}, {fault.Fault{Kind: fault.Slow, Delay: fault.Duration(time.Millisecond)}, 201, 1},
		{fault.Fault{Kind: fault.Stuck, Delay: fault.Duration(time.Millisecond)}, 201, 1}, {fault.Fault{Kind: fault.Nothing}, 200, 0},
		{fault.Fault{Kind: fault.LoginPage}, 200, 0}, {fault.Fault{Kind: fault.ErrorBody}, 200, 0}, {fault.Fault{Kind: fault.Conflict}, 412, 0},
		{fault.Fault{Kind: fault.Unversioned}, 428, 0}, {fault.Fault{Kind: fault.TokenNeeded}, 403, 0}, {fault.Fault{Kind: fault.Unauthorized}, 401, 0},
		{fault.Fault{Kind: fault.Status, Every: 2}, 201, 1}, {fault.Fault{Kind: fault.Status, On: "read"}, 201, 1}, {fault.Fault{Kind: fault.Status, Path: "BATCH"}, 201, 1},
	} {
		before := len(s.Book())
		s.Faults.Add(x.fault)
		got := c.do("POST", headers, move("344", "1", "x"))
		s.Faults.Clear()
		if got.status != x.status || len(s.Book())-before != x.effects {
			t.Errorf("%+v: %d and %d effects, want %d and %d", x.fault, got.status, len(s.Book())-before, x.status, x.effects)
		}
	}
	s.Faults.Add(fault.Fault{Kind: fault.Expired, Times: 1})
	if got := c.do("POST", headers, move("344", "1", "x")); got.status != 403 || got.header.Get("X-CSRF-Token") != "Required" {
		t.Errorf("a token that ended: %d", got.status)
	}
}

package sap_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/sap"
)

const (
	lotSet      = "API_INSPECTIONLOT_SRV/A_InspectionLot"
	decisionSet = "API_INSPECTIONLOT_SRV/A_InspLotUsageDecision"
	postingSet  = "API_INSPECTIONLOT_SRV/A_InspLotMatlDocItem"
	resultSet   = "API_INSPECTIONLOT_SRV/A_InspectionResult"
)

// inspectedBatch is a system with 100 KG of batch 0007 under its first inspection lot, at a time that stands still.
func inspectedBatch(t *testing.T, cfg sap.Config) (*sap.Simulator, *caller, *time.Time) {
	t.Helper()
	now := time.Date(2026, 11, 24, 8, 0, 0, 700e6, time.UTC)
	cfg.User, cfg.Password, cfg.Now = "U", "P", func() time.Time { return now }
	if cfg.QM == nil {
		cfg.QM = []string{"M-1"}
	}
	s, c := start(t, cfg)
	number, err := s.Receive("M-1", "0007", "", "100")
	if err != nil || number != "010000000001" {
		t.Fatalf("goods receipt: inspection lot %q, %v", number, err)
	}
	c.fetch()
	return s, c, &now
}

// lot reads the inspection lot: its time of change, as it was written, and its ETag.
func (c *caller) lot() (changed, etag string) {
	c.t.Helper()
	got := c.do("GET", lotSet+"('10000000001')", "")
	if got.status != 200 {
		c.t.Fatalf("inspection lot: %d %s", got.status, got.raw)
	}
	return got.data["ChangedDateTime"].(string), got.header.Get("ETag")
}

func fields(pairs ...string) string {
	m := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	raw, _ := json.Marshal(m) // a map of texts always encodes
	return string(raw)
}

func decisionBody(lot, code, changed string) string {
	return fields("InspectionLot", lot, "InspLotUsageDecisionLevel", "L", "InspLotUsageDecisionCatalog", "3", "SelectedCodeSetPlant", "1010",
		"InspLotUsgeDcsnSelectedSet", "01", "InspLotUsageDecisionCodeGroup", "01", "InspectionLotUsageDecisionCode", code, "ChangedDateTime", changed)
}

func postingBody(quantity, kind, text, changed string) string {
	return fields("InspectionLot", "010000000001", "InspLotQtyPosted", quantity, "UsageDecisionStockType", kind, "StorageLocation", "0001",
		"MaterialDocumentItemText", text, "ChangedDateTime", changed)
}

func TestSimulator_GoodsReceipt(t *testing.T) {
	s, c, _ := inspectedBatch(t, sap.Config{})
	if s.Stock("M-1", "0007", "02") != "100" || s.Stock("M-1", "0007", "01") != "0" {
		t.Error("a receipt under quality management is not in inspection stock")
	}
	c.do("POST", headers, move("101", "5", "x"))
	if lots := s.Inspections("M-1", "0007"); len(lots) != 2 || lots[1].ToPost != "5" || s.Stock("M-1", "0007", "02") != "105" {
		t.Errorf("a receipt by the API: %+v", lots)
	}
	if number, err := s.Receive("M-2", "1", "", "7"); err != nil || number != "" || s.Stock("M-2", "1", "01") != "7" {
		t.Errorf("a receipt without quality management: lot %q, %v", number, err)
	}
	s, c = start(t, sap.Config{User: "U", Password: "P", AutoCreate: true, QM: []string{"*"}})
	if got := c.do("GET", lotSet+"?$filter="+url.QueryEscape("Material eq 'M-9' and Batch eq '1'"), ""); len(got.data["results"].([]any)) != 1 || s.Stock("M-9", "1", "02") != "100" {
		t.Errorf("a batch that is asked for by its inspection lots: %s", got.raw)
	}
}

func TestSimulator_InspectionLot(t *testing.T) {
	s, c, _ := inspectedBatch(t, sap.Config{})
	got := c.do("GET", lotSet+"('000010000000001')", "")
	if got.status != 404 {
		t.Errorf("a number of fifteen digits: %d", got.status)
	}
	got = c.do("GET", lotSet+"('010000000001')?$expand=to_InspectionLotWithStatus", "")
	if got.status != 200 || got.data["InspectionLot"] != "10000000001" || got.data["InspLotQtyToBePosted"] != "100.000" ||
		got.data["InspectionLotHasUsageDecision"] != false || got.data["InspLotDigitalSgntrInUsgeDcsn"] != "" ||
		got.header.Get("ETag") != `W/"datetimeoffset'2026-11-24T08%3A00%3A00Z'"` || got.data["ChangedDateTime"] != "/Date(1795507200000+0000)/" {
		t.Errorf("inspection lot %s, ETag %s", got.raw, got.header.Get("ETag"))
	}
	if status := got.data["to_InspectionLotWithStatus"].(map[string]any); status["InspectionLotStatusReleased"] != "X" || status["InspLotStatusCanceled"] != "" {
		t.Errorf("status %v", status)
	}
	if got := c.do("GET", lotSet+"('10000000001')/to_InspectionLotWithStatus", ""); got.data["InspectionLotStatusCreated"] != "X" {
		t.Errorf("status by its link: %s", got.raw)
	}
	changed, etag := c.lot()
	name := fields("InspLotExternalNumber", "hf-Lot-1", "ChangedDateTime", changed)
	for what, x := range map[string]struct {
		body, etag string
		want       int
	}{"no version": {name, "", 428}, "no time": {fields("InspLotExternalNumber", "x"), etag, 428}, "another version": {name, `W/"datetimeoffset'2020'"`, 412},
		"another time": {fields("ChangedDateTime", "/Date(0+0000)/"), etag, 412}, "no time at all": {fields("ChangedDateTime", "now"), etag, 400}} {
		if got := c.do("PATCH", lotSet+"('10000000001')", x.body, "If-Match", x.etag); got.status != x.want {
			t.Errorf("%s: %d, want %d", what, got.status, x.want)
		}
	}
	if got := c.do("PATCH", lotSet+"('10000000001')", strings.Replace(name, changed, "2026-11-24T08:00:00Z", 1), "If-Match", etag); got.status != 204 || got.raw != "" {
		t.Errorf("change: %d %q", got.status, got.raw)
	}
	for filter, want := range map[string]int{
		"InspLotExternalNumber eq 'HF-LOT-1'": 1, "InspLotExternalNumber eq 'hf-Lot-1'": 0, "InspectionLot eq '010000000001'": 1,
		"InspectionLot gt '9'": 1, "InspectionLot gt '10000000001'": 0, "ChangedDateTime ge datetimeoffset'2026-11-24T08:00:01Z'": 0,
	} {
		if got := c.do("GET", lotSet+"?$filter="+url.QueryEscape(filter), ""); len(got.data["results"].([]any)) != want {
			t.Errorf("%s: %s, want %d", filter, got.raw, want)
		}
	}
	if got := c.do("DELETE", lotSet+"('10000000001')", "", "If-Match", etag); got.status != 405 {
		t.Errorf("delete: %d", got.status)
	}
	if got := c.do("POST", lotSet, fields("Material", "M-1", "Batch", "0007", "Plant", "1010", "InspectionLotOrigin", "01")); got.status != 400 {
		t.Errorf("a lot of a goods receipt by hand: %d", got.status)
	}
	if got := c.do("POST", lotSet, fields("Material", "M-1", "Batch", "0007", "Plant", "1010", "InspLotExternalNumber", "ref")); got.status != 201 ||
		got.data["InspectionLotOrigin"] != "89" || got.data["InspLotExternalNumber"] != "REF" || len(s.Inspections("M-1", "0007")) != 2 {
		t.Errorf("a lot by the API: %s", got.raw)
	}
}

func TestSimulator_UsageDecision(t *testing.T) {
	s, c, now := inspectedBatch(t, sap.Config{})
	changed, etag := c.lot()
	*now = now.Add(time.Second)
	if got := c.do("POST", resultSet, fields("InspectionLot", "10000000001", "InspPlanOperationInternalID", "1", "InspectionCharacteristic", "10",
		"InspectionResultOriginalValue", "61.2")); got.status != 201 {
		t.Errorf("a result: %s", got.raw)
	}
	for what, x := range map[string]struct {
		body   string
		status int
	}{
		"a version from before the result": {decisionBody("10000000001", "A", changed), 412},
		"no version":                       {strings.Replace(decisionBody("10000000001", "A", changed), "ChangedDateTime", "Other", 1), 428},
		"a lot that is not there":          {decisionBody("7", "A", changed), 400}, "no JSON": {"x", 400},
	} {
		if got := c.do("POST", decisionSet, x.body); got.status != x.status {
			t.Errorf("%s: %d, want %d: %s", what, got.status, x.status, got.raw)
		}
	}
	stale := etag
	changed, _ = c.lot()
	if got := c.do("POST", decisionSet, decisionBody("10000000001", "A", changed), "If-Match", stale); got.status != 412 {
		t.Errorf("an old ETag beside a fresh time: %d", got.status)
	}
	for what, body := range map[string]string{
		"a code outside of the set": decisionBody("10000000001", "ZZ", changed),
		"another level":             strings.Replace(decisionBody("10000000001", "A", changed), `"L"`, `"P"`, 1),
		"no plant of the set":       strings.Replace(decisionBody("10000000001", "A", changed), `"1010"`, `""`, 1),
	} {
		if got := c.do("POST", decisionSet, body); got.status != 400 || got.code != "QA/317" {
			t.Errorf("%s: %d %s", what, got.status, got.raw)
		}
	}
	if len(s.Book()) != 0 {
		t.Fatalf("refused and entered all the same: %+v", s.Book())
	}
	if got := c.do("POST", postingSet, postingBody("1", "VMENGE01", "x", changed)); got.status != 400 || got.code != "QA/520" {
		t.Errorf("a posting before the decision: %d %s", got.status, got.raw)
	}
	if got := c.do("POST", decisionSet, decisionBody("10000000001", "A", changed)); got.status != 201 || got.data["InspLotUsageDecisionValuation"] != "A" {
		t.Fatalf("usage decision: %s", got.raw)
	}
	if got := c.do("POST", decisionSet, decisionBody("10000000001", "A", changed)); got.status != 400 || got.code != "QA/332" {
		t.Errorf("a second decision in the second of the first, which the lock misses: %d %s", got.status, got.raw)
	}
	if got := c.do("POST", resultSet, fields("InspectionLot", "10000000001")); got.status != 400 || got.code != "QE/203" {
		t.Errorf("a result after the decision: %d %s", got.status, got.raw)
	}
	changed, etag = c.lot()
	if got := c.do("PATCH", decisionSet+"('10000000001')", decisionBody("10000000001", "R", changed), "If-Match", etag); got.status != 204 {
		t.Errorf("a change: %d %s", got.status, got.raw)
	}
	if got := c.do("GET", decisionSet+"('10000000001')", ""); got.data["InspectionLotUsageDecisionCode"] != "R" || got.data["SelectedCodeSetPlant"] != "1010" {
		t.Errorf("after the change: %s", got.raw)
	}
	kinds := ""
	for _, e := range s.Batch("M-1", "0007") {
		kinds += e.Kind + " " + e.Record + " " + e.Reference + " " + e.Detail + ", "
	}
	if kinds != "usage_decision 010000000001 01/A in_inspection, usage_decision_changed 010000000001 01/R in_inspection, " {
		t.Errorf("book: %s", kinds)
	}
}

func TestSimulator_UsageDecisionOfAPerson(t *testing.T) {
	for name, cfg := range map[string]sap.Config{"QA/861": {Signatures: true}, "QA/318": {Documentation: true}} {
		s, c, _ := inspectedBatch(t, cfg)
		changed, _ := c.lot()
		if got := c.do("POST", decisionSet, decisionBody("10000000001", "A", changed)); got.status != 400 || got.code != name {
			t.Errorf("a decision by the API: %s, want %s", got.raw, name)
		}
		if err := s.DecideByHand("M-1", "0007", "A"); err != nil || s.Inspections("M-1", "0007")[0].Code != "01/A" {
			t.Errorf("by hand: %v, %+v", err, s.Inspections("M-1", "0007"))
		}
	}
}

func TestSimulator_LotPosting(t *testing.T) {
	for _, x := range []struct {
		kind       string
		restricted bool
		stock      string // type that holds what was posted; empty = outside
		field      string
	}{
		{"VMENGE01", false, "01", "InspLotQtyToFree"}, {"VMENGE01", true, "08", "InspLotQtyToFree"}, {"VMENGE02", false, "", "InspLotQtyToScrap"},
		{"VMENGE03", false, "", "InspLotQtyToSample"}, {"VMENGE04", false, "07", "InspLotQtyToBlocked"}, {"VMENGE07", false, "", "InspLotQtyReturnedToSupplier"},
	} {
		s, c, now := inspectedBatch(t, sap.Config{})
		if err := s.DecideByHand("M-1", "0007", "A"); err != nil {
			t.Fatal(err)
		}
		s.SetFlag("M-1", "0007", x.restricted)
		changed, _ := c.lot()
		*now = now.Add(time.Second)
		got := c.do("POST", postingSet, postingBody("40.125", x.kind, "HF1", changed))
		if got.status != 201 || s.Stock("M-1", "0007", "02") != "59.875" || x.stock != "" && s.Stock("M-1", "0007", x.stock) != "40.125" {
			t.Errorf("%s: %s", x.kind, got.raw)
		}
		lot := c.do("GET", lotSet+"('10000000001')", "")
		if lot.data[x.field] != "40.125" || lot.data["InspLotQtyToBePosted"] != "59.875" || lot.data["InspLotIsStockPostingCompleted"] != false {
			t.Errorf("%s: the lot shows %s", x.kind, lot.raw)
		}
		if got := c.do("POST", postingSet, postingBody("1", x.kind, "HF1", changed)); got.status != 412 {
			t.Errorf("a posting on an old version: %d", got.status)
		}
		changed, _ = c.lot()
		for quantity, code := range map[string]string{"59.876": "QA/513", "0": "/IWBEP/CM_MGW_RT/023", "1.0001": "/IWBEP/CM_MGW_RT/023"} {
			if got := c.do("POST", postingSet, postingBody(quantity, x.kind, "HF1", changed)); got.status != 400 || got.code != code {
				t.Errorf("%s %s: %s, want %s", x.kind, quantity, got.raw, code)
			}
		}
		if got := c.do("POST", postingSet, postingBody("1", "VMENGE09", "HF1", changed)); got.code != "QA/507" {
			t.Errorf("an unknown stock type: %s", got.raw)
		}
		found := c.do("GET", postingSet+"?$filter="+url.QueryEscape("InspectionLot eq '010000000001' and MaterialDocumentItemText eq 'HF1'"), "")
		document, _ := got.data["MaterialDocument"].(string)
		if len(found.data["results"].([]any)) != 1 || document == "" {
			t.Errorf("by item text: %s", found.raw)
		}
		if got := c.do("POST", "API_MATERIAL_DOCUMENT_SRV/Cancel?MaterialDocumentYear='2026'&MaterialDocument='"+document+"'", ""); got.status != 400 {
			t.Errorf("cancel of a lot's posting: %d", got.status)
		}
		if got := c.do("POST", headers, move("321", "1", "x")); got.status != 400 || got.code != "QV/226" {
			t.Errorf("321 past the lot: %d %s", got.status, got.code)
		}
	}
}

func TestSimulator_CodeThatPosts(t *testing.T) {
	codes := sap.DefaultCodes()
	codes[0].Posts = "VMENGE01"
	s, c, _ := inspectedBatch(t, sap.Config{Codes: codes})
	changed, _ := c.lot()
	if got := c.do("POST", decisionSet, decisionBody("10000000001", "A", changed)); got.status != 201 {
		t.Fatalf("decision: %s", got.raw)
	}
	changed, _ = c.lot()
	book := s.Batch("M-1", "0007")
	if s.Stock("M-1", "0007", "01") != "100" || len(book) != 2 || book[0].FreeAfter || book[1].Kind != "lot_posting_VMENGE01" || !book[1].FreeAfter {
		t.Errorf("the follow-up action: %+v", book)
	}
	if got := c.do("POST", postingSet, postingBody("100", "VMENGE01", "x", changed)); got.status != 400 || got.code != "QA/513" {
		t.Errorf("a second posting: %s", got.raw)
	}
}

func TestSimulator_Metadata(t *testing.T) {
	_, c, _ := inspectedBatch(t, sap.Config{})
	got := c.do("GET", "API_INSPECTIONLOT_SRV/$metadata", "")
	for _, want := range []string{
		`<EntityType Name="A_InspLotMatlDocItemType">`, `<Property Name="MaterialDocumentItemText" Type="Edm.String">`,
		`<Property Name="ChangedDateTime" Type="Edm.DateTimeOffset">`, `<Property Name="InspLotExternalNumber" Type="Edm.String" sap:display-format="UpperCase">`,
		`<Property Name="InspectionLot" Type="Edm.String" sap:display-format="NonNegative">`, `<EntitySet Name="A_InspectionLotWithStatus"`,
	} {
		if !strings.Contains(got.raw, want) {
			t.Errorf("no %s in %s", want, got.raw)
		}
	}
	if got := c.do("GET", "API_PRODUCT_SRV/A_ProductPlantQualityMgmt", ""); !strings.Contains(got.raw, `"Product":"M-1"`) {
		t.Errorf("materials under quality management: %s", got.raw)
	}
}

// batched sends a batch and returns the status lines of its answers.
func (c *caller) batched(body string) (lines []string) {
	c.t.Helper()
	got := c.do("POST", "API_INSPECTIONLOT_SRV/$batch", strings.ReplaceAll(body, "\n", "\r\n"), "Content-Type", "multipart/mixed; boundary=b")
	if got.status != http.StatusAccepted {
		c.t.Fatalf("batch: %d %s", got.status, got.raw)
	}
	var walk func(kind, raw string)
	walk = func(kind, raw string) {
		_, params, err := mime.ParseMediaType(kind)
		if err != nil {
			c.t.Fatal(err)
		}
		for r := multipart.NewReader(strings.NewReader(raw), params["boundary"]); ; {
			p, err := r.NextRawPart()
			if err != nil {
				return
			}
			inner, _ := io.ReadAll(p)
			if strings.HasPrefix(p.Header.Get("Content-Type"), "multipart/") {
				walk(p.Header.Get("Content-Type"), string(inner))
				continue
			}
			line, _, _ := bytes.Cut(inner, []byte("\r\n"))
			lines = append(lines, string(line))
		}
	}
	walk(got.header.Get("Content-Type"), got.raw)
	return lines
}

func changeset(requests ...string) string {
	body := "--b\nContent-Type: multipart/mixed; boundary=c\n\n"
	for _, r := range requests {
		body += "--c\nContent-Type: application/http\nContent-Transfer-Encoding: binary\n\n" + r + "\n"
	}
	return body + "--c--\n\n"
}

func post(set, body string) string {
	return "POST " + sap.Root + set + " HTTP/1.1\nContent-Type: application/json\n\n" + body
}

func TestSimulator_Batches(t *testing.T) {
	s, c, _ := inspectedBatch(t, sap.Config{})
	changed, _ := c.lot()
	read := "--b\nContent-Type: application/http\n\nGET " + sap.Root + lotSet + "('10000000001') HTTP/1.1\n\n\n"
	decision, twice := post(decisionSet, decisionBody("10000000001", "A", changed)), postingBody("60", "VMENGE01", "x", changed)
	got := c.batched(read + changeset(decision, post(postingSet, twice), post(postingSet, twice)) + "--b--\n")
	if len(got) != 2 || got[0] != "HTTP/1.1 200 OK" || got[1] != "HTTP/1.1 400 Bad Request" {
		t.Errorf("a read and a changeset whose last change is refused: %q", got)
	}
	if len(s.Book()) != 0 || s.Inspections("M-1", "0007")[0].Code != "" || s.Stock("M-1", "0007", "02") != "100" {
		t.Errorf("half of the changeset took place: %+v", s.Book())
	}
	got = c.batched(changeset(decision, post(postingSet, twice)) + changeset(decision) + "--b--\n")
	if strings.Join(got, "|") != "HTTP/1.1 201 Created|HTTP/1.1 201 Created|HTTP/1.1 400 Bad Request" || len(s.Book()) != 2 {
		t.Errorf("a changeset that holds and one that does not: %q, %+v", got, s.Book())
	}
}

func TestSimulator_Play(t *testing.T) {
	s, c, _ := inspectedBatch(t, sap.Config{})
	hand := func(h string, want int) {
		t.Helper()
		resp, err := http.Post(c.url+"/hand", "application/json", strings.NewReader(h))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", h, resp.StatusCode, want)
		}
	}
	of := func(do string) string {
		return `{"do":"` + do + `","material":"M-2","batch":"1","quantity":"10","code":"A"}`
	}
	hand(of("issue"), 400)
	hand(of("receive"), 204)
	hand(of("issue"), 204)
	hand(of("issue"), 400)
	hand(of("receive"), 204)
	hand(of("restrict"), 204)
	hand(of("issue"), 400)
	hand(of("deliver"), 400)
	hand(of("block"), 204)
	hand(of("block"), 400)
	hand(of("deliver"), 400)
	hand(of("free"), 204)
	hand(of("decide"), 400)
	hand(of("cancel_lot"), 400)
	hand(of("dance"), 400)
	hand(`{`, 400)
	hand(`{"do":"decide","material":"M-1","batch":"0007","code":"R"}`, 204)
	hand(`{"do":"restrict","material":"M-1","batch":"none"}`, 400)
	var kinds []string
	for _, e := range s.Batch("M-2", "1") {
		if e.Reference != "by hand" {
			t.Errorf("%s is not marked as done by hand", e.Kind)
		}
		kinds = append(kinds, e.Kind+"="+e.Detail)
	}
	if got, want := strings.Join(kinds, " "), "goods_issue=unrestricted flag_set=restricted hand_344=blocked flag_cleared=blocked"; got != want {
		t.Errorf("book: %s, want %s", got, want)
	}
	if err := s.SetByHand("M-2", "1", event.InInspection); err == nil {
		t.Error("a batch was put into inspection by a flag")
	}
}

func TestSimulator_RestoreBringsInspectionLotsBack(t *testing.T) {
	s, c, _ := inspectedBatch(t, sap.Config{})
	s.Snapshot()
	if err := s.DecideByHand("M-1", "0007", "A"); err != nil {
		t.Fatal(err)
	}
	changed, _ := c.lot()
	c.do("POST", postingSet, postingBody("40", "VMENGE01", "x", changed))
	s.Restore()
	if lot := s.Inspections("M-1", "0007")[0]; lot.Code != "" || lot.ToPost != "100" || len(lot.Texts) != 0 || s.Stock("M-1", "0007", "02") != "100" {
		t.Errorf("restored: %+v", lot)
	}
}

func TestSimulator_FaultsOfInspection(t *testing.T) {
	for _, x := range []struct {
		fault   fault.Fault
		status  int
		effects int
	}{
		{fault.Fault{Kind: fault.LostAfter}, 0, 1}, {fault.Fault{Kind: fault.LostBefore}, 0, 0}, {fault.Fault{Kind: fault.StatusAfter, Status: 504}, 504, 1},
		{fault.Fault{Kind: fault.Throttle, RetryAfter: "60"}, 429, 0}, {fault.Fault{Kind: fault.Nothing}, 200, 0}, {fault.Fault{Kind: fault.Conflict}, 412, 0},
		{fault.Fault{Kind: fault.Unversioned}, 428, 0}, {fault.Fault{Kind: fault.TokenNeeded}, 403, 0}, {fault.Fault{Kind: fault.Slow, Delay: 1}, 201, 1},
		{fault.Fault{Kind: fault.Status, Path: "A_InspLotMatlDocItem"}, 201, 1},
	} {
		s, c, _ := inspectedBatch(t, sap.Config{})
		changed, _ := c.lot()
		s.Faults.Add(x.fault)
		got := c.do("POST", decisionSet, decisionBody("10000000001", "A", changed))
		s.Faults.Clear()
		if got.status != x.status || len(s.Book()) != x.effects {
			t.Errorf("%+v: %d and %d effects, want %d and %d", x.fault, got.status, len(s.Book()), x.status, x.effects)
		}
	}
}

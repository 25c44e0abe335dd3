package sap

import (
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestMoment_UnmarshalJSON(t *testing.T) {
	at := time.Date(2024, 10, 2, 17, 1, 16, 0, time.UTC)
	for text, want := range map[string]time.Time{
		`"/Date(1727888476000)/"`: at, `"/Date(1727888476000+0000)/"`: at, `"/Date(1727888476000-0120)/"`: at,
		`"2024-10-02T17:01:16Z"`: at, `"2024-10-02T17:01:16"`: at, `"2024-10-02T19:01:16+02:00"`: at,
		`null`: {}, `""`: {}, `"/Date(-1000)/"`: time.Unix(-1, 0).UTC(),
	} {
		var m moment
		if err := json.Unmarshal([]byte(text), &m); err != nil || !m.Equal(want) {
			t.Errorf("%s: %s, %v; want %s", text, m, err, want)
		}
	}
	for _, text := range []string{`"yesterday"`, `7`, `"/Date()/"`, `"/Date(99999999999999999999)/"`, `{}`} {
		var m moment
		if err := json.Unmarshal([]byte(text), &m); err == nil {
			t.Errorf("%s was read as %s", text, m)
		}
	}
}

func TestTimeOfDay_UnmarshalJSON(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`"PT15H04M05S"`: 15*time.Hour + 4*time.Minute + 5*time.Second, `"PT0S"`: 0, `"PT12H"`: 12 * time.Hour, `"PT7M"`: 7 * time.Minute, `null`: 0,
	} {
		var d timeOfDay
		if err := json.Unmarshal([]byte(text), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %s, %v; want %s", text, time.Duration(d), err, want)
		}
	}
	for _, text := range []string{`"15:04:05"`, `"PT1.5S"`, `"P1D"`, `""`, `7`, `{}`} {
		var d timeOfDay
		if err := json.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s was read as %s", text, time.Duration(d))
		}
	}
}

func FuzzTimeOfDay(f *testing.F) {
	f.Add([]byte(`"PT15H04M05S"`))
	f.Add([]byte(`"PT99H99M99S"`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var d timeOfDay
		if err := json.Unmarshal(raw, &d); err == nil && (d < 0 || time.Duration(d) > 101*time.Hour) {
			t.Errorf("%s was read as %s", raw, time.Duration(d))
		}
	})
}

func TestAmount_UnmarshalJSON(t *testing.T) {
	for text, want := range map[string]event.Decimal{
		`"1160.000"`: "1160", `"10000"`: "10000", `"0.000"`: "0", `"0.00100000000000"`: "0.001", `"1234567890.12300000000000"`: "1234567890.123",
		`1160.5`: "1160.5", `"-3.000"`: "-3",
	} {
		var q amount
		if err := json.Unmarshal([]byte(text), &q); err != nil || q.Decimal != want {
			t.Errorf("%s: %q, %v; want %q", text, q.Decimal, err, want)
		}
	}
	for _, text := range []string{`"1,5"`, `"1e3"`, `""`, `"x"`, `null`, `"0.00000000000001"`} {
		var q amount
		if err := json.Unmarshal([]byte(text), &q); err == nil {
			t.Errorf("%s was read as %q", text, q.Decimal)
		}
	}
}

func TestLotNumber_UnmarshalJSON(t *testing.T) {
	for text, want := range map[string]lotNumber{`"10000000001"`: "010000000001", `"010000000001"`: "010000000001", `"1"`: "000000000001", `""`: ""} {
		var n lotNumber
		if err := json.Unmarshal([]byte(text), &n); err != nil || n != want {
			t.Errorf("%s: %q, %v; want %q", text, n, err, want)
		}
	}
	var n lotNumber
	if err := json.Unmarshal([]byte(`7`), &n); err == nil {
		t.Error("a number that is no text was taken")
	}
}

func TestSwitched_UnmarshalJSON(t *testing.T) {
	for text, want := range map[string]switched{`"X"`: true, `"1"`: true, `""`: false, `" "`: false, `true`: true, `false`: false, `null`: false} {
		var s switched
		if err := json.Unmarshal([]byte(text), &s); err != nil || s != want {
			t.Errorf("%s: %t, %v; want %t", text, s, err, want)
		}
	}
	var s switched
	if err := json.Unmarshal([]byte(`7`), &s); err == nil {
		t.Error("a number was taken for a switch")
	}
}

func TestInspection_Changed(t *testing.T) {
	var i inspection
	if err := json.Unmarshal([]byte(`{"ChangedDateTime":"/Date(1727888476000+0000)/"}`), &i.inspectionEntity); err != nil {
		t.Fatal(err)
	}
	if got := i.changed(); got != "/Date(1727888476000+0000)/" {
		t.Errorf("sent back as %s", got)
	}
}

func FuzzReadMetadata(f *testing.F) {
	f.Add([]byte(`<edmx:Edmx><Schema><EntityType Name="A_InspectionLotType"><Property Name="Batch"/></EntityType><EntitySet Name="A" sap:creatable="false"/></Schema></edmx:Edmx>`))
	f.Add([]byte(`<html><body>Log on</body></html>`))
	f.Add([]byte(`<EntityType>`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := readMetadata(raw)
		if err == nil && len(m.fields) == 0 {
			t.Error("a description of nothing was taken")
		}
		if m != nil {
			_ = m.gaps()
		}
	})
}

func TestFloor(t *testing.T) {
	for text, want := range map[string]string{"0.0019": "0.001", "12": "12.000", "1234567890.123": "1234567890.123", "0": "0.000"} {
		q, _ := new(big.Rat).SetString(text)
		if got := floor(q).FloatString(3); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestUnit(t *testing.T) {
	for raw, want := range map[string]event.Unit{"KG": "kg", "ST": "{each}", "PC": "{each}", "CAR": "{CAR}", "a b}": "{a_b_}"} {
		if got := unit(raw); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

func TestTold(t *testing.T) {
	body := func(code, message string) string {
		raw, _ := json.Marshal(map[string]any{"error": map[string]any{"code": code, "message": map[string]string{"lang": "en", "value": message}}})
		return string(raw)
	}
	for _, c := range []struct {
		name    string
		status  int
		body    string
		outcome event.Outcome
		message string
	}{
		{"a refusal in the vendor's words", 400, body("M7/053", "Posting only possible in periods 2026/11"), event.Rejected, "Posting only possible in periods 2026/11"},
		{"a locked object is tried later", 400, body("RU/001", "Order 1000123 is already being processed by MILLER"), event.RetryLater, "Order 1000123 is already being processed by MILLER"},
		{"stock that has gone is read again", 400, body("M7/021", "Deficit of SL Unrestricted-use 5 KG"), event.Conflict, "Deficit of SL Unrestricted-use 5 KG"},
		{"a plain text as message", 400, `{"error":{"code":"x","message":"plain"}}`, event.Rejected, "plain"},
		{"an error under 200 may have taken place", 200, body("SY/530", "An exception was raised."), event.Unknown, "An exception was raised."},
		{"a page in HTML", 400, "<html>", event.Rejected, "Bad Request"},
		{"no body", 503, "", event.RetryLater, "Service Unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := httpcall.Answer{Status: c.status, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(c.body), Sent: true}
			if r := told(&a); r.Outcome != c.outcome || r.Message != c.message {
				t.Errorf("%q %q, want %q %q", r.Outcome, r.Message, c.outcome, c.message)
			}
		})
	}
}

func TestClient_Material(t *testing.T) {
	for _, c := range []struct{ form, in, want string }{
		{formAsIs, "0007", "0007"}, {formStripped, "0007", "7"}, {formPadded, "7", "000000000000000007"},
		{formPadded, "MAT-7", "MAT-7"}, {formStripped, "MAT-007", "MAT-007"}, {formStripped, "", ""},
		{formPadded, "1234567890123456789012", "1234567890123456789012"},
	} {
		client := &Client{cfg: Config{MaterialForm: c.form}}
		if got := client.material(c.in); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.form, c.in, got, c.want)
		}
	}
}

func TestOwner(t *testing.T) {
	a, b := &lot{id: batchID{"000000000000012345", "", "1"}}, &lot{id: batchID{"MAT-1", "1010", "1"}}
	for _, c := range []struct {
		material, plant, batch string
		want                   *lot
	}{
		{"000000000000012345", "1010", "1", a}, {"12345", "1020", "1", a}, {"12345", "1020", "01", nil}, {"12346", "1010", "1", nil},
		{"MAT-1", "1010", "1", b}, {"MAT-1", "1020", "1", nil}, {"MAT-01", "1010", "1", nil}, {"", "", "1", nil},
	} {
		if got := owner([]*lot{a, b}, c.material, c.plant, c.batch); got != c.want {
			t.Errorf("%s/%s/%s belongs to %v, want %v", c.material, c.plant, c.batch, got, c.want)
		}
	}
}

func TestBatchID_Path(t *testing.T) {
	got := batchID{"A/1", "", "O'Neil 5%"}.path()
	if want := batches + "(Material='A%2F1',BatchIdentifyingPlant='',Batch='O%27%27Neil%205%25')"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"d":{"__metadata":{"etag":"W/\"'SADL-1'\""},"Material":"M","Batch":"B","MatlBatchIsInRstrcdUseStock":true,"LastChangeDateTime":"/Date(1727888476000+0000)/"}}`,
		`{"d":{"results":[{"Plant":"1010","StorageLocation":"0001","InventoryStockType":"08","MatlWrhsStkQtyInMatlBaseUnit":"1160.000","MaterialBaseUnit":"KG"}],"__next":"/x"}}`,
		`{"d":{"MaterialDocumentYear":"2026","MaterialDocument":"4900000001","to_MaterialDocumentItem":{"results":[{"QuantityInEntryUnit":"1.5","GoodsMovementIsCancelled":true}]}}}`,
		`{"d":{"results":[{"InspectionLot":"10000000001","InspectionLotHasUsageDecision":false,"InspLotQtyToBePosted":"100.000","ChangedDateTime":"/Date(1727888476000+0000)/","to_InspectionLotWithStatus":{"InspLotStatusCanceled":""}}]}}`,
		`{"error":{"code":"M7/021","message":{"lang":"en","value":"Deficit"}}}`, `{"error":{"code":"x","message":"plain"}}`, `{"d":null}`, `[]`, `<html>`, ``,
	} {
		f.Add(200, "application/json", []byte(seed))
		f.Add(400, "text/html", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		a := httpcall.Answer{Status: status, Header: http.Header{"Content-Type": {kind}}, Body: body, Sent: true}
		var b batchEntity
		if bad := unwrap(&a, &b); bad != nil && bad.Outcome == "" {
			t.Errorf("an answer that was not understood counts as acknowledged: %+v", bad)
		}
		var rows struct {
			Results []stockRow `json:"results"`
		}
		if bad := unwrap(&a, &rows); bad == nil {
			l := &lot{id: batchID{"M", "", "B"}, exists: true, restricted: b.Restricted != nil && *b.Restricted, rows: rows.Results}
			v := (&Client{}).view(l, "lot::M:B")
			for _, s := range v.Stock {
				if err := event.CheckDecimal(string(s.Q.Value)); err != nil && s.Q.Value != "" {
					t.Errorf("quantity: %v", err)
				}
			}
		}
		var lots struct {
			Results []inspectionEntity `json:"results"`
		}
		if bad := unwrap(&a, &lots); bad == nil {
			l := &lot{exists: true}
			for _, e := range lots.Results {
				l.inspections = append(l.inspections, inspection{inspectionEntity: e})
			}
			for _, i := range (&Client{}).viewInspections(l) {
				if len(i.Decisions) > 0 {
					t.Errorf("a lot without a usage decision counts as decided: %+v", i)
				}
			}
		}
		if r := (&Client{}).made(&a, "HF00000000000001"); r.Outcome == "" && !strings.Contains(string(body), "HF00000000000001") {
			t.Errorf("a posting without our reference counts as acknowledged: %+v", r)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(`{"since":"2026-11-24T08:00:00Z","after":["M","","B"]}`)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := readCursor(connector.Cursor(text))
		if err != nil {
			return
		}
		_ = p.filter()
		if again, err := readCursor(p.cursor()); err != nil && p.cursor() != "" {
			t.Errorf("%q does not read back: %+v, %v", text, again, err)
		}
	})
}

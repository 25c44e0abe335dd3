package sap

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func FuzzMultipart(f *testing.F) {
	f.Add("--b\r\nContent-Type: application/http\r\n\r\nGET /sap/opu/odata/sap/API_INSPECTIONLOT_SRV/A_InspectionLot HTTP/1.1\r\n\r\n\r\n--b--\r\n")
	f.Add("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\n\r\nPOST /x HTTP/1.1\r\n\r\n{}\r\n--c--\r\n--b--\r\n")
	f.Add("--b\r\nContent-Type: multipart/mixed\r\n\r\n--\r\n--b")
	f.Add("")
	f.Fuzz(func(t *testing.T, body string) {
		s, err := New(Config{QM: []string{"*"}})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", Root+inspectionService+"/$batch", strings.NewReader(body))
		r.Header.Set("Content-Type", "multipart/mixed; boundary=b")
		w := httptest.NewRecorder()
		s.serveMultipart(w, r, inspectionService)
		if w.Code != 202 && w.Code != 400 {
			t.Errorf("answered with %d", w.Code)
		}
		if s.pending != nil {
			t.Error("a changeset was left open")
		}
	})
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{"/Date(1727888476000+0000)/", "/Date(0)/", "2026-11-24T08:00:00Z", "2026-11-24T08:00:00", "/Date(", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := parseTime(text)
		if err != nil || at.IsZero() || at.Year() < 1 || at.Year() > 9999 {
			return
		}
		shown, err := dateTimeOffset(at).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseTime(strings.Trim(string(shown), `"`)); err != nil || again.UnixMilli() != at.UnixMilli() {
			t.Errorf("%q is shown as %s, which is read as %s, %v", text, shown, again, err)
		}
	})
}

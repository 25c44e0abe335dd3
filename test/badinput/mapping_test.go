package badinput

import (
	"regexp"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/plant"
)

// TestB095_MissingField leaves out each field that a mapping names, at a part that fails: nothing of it may reach an ERP,
// least of all under an empty name.
func TestB095_MissingField(t *testing.T) {
	r := wide(t)
	for field, reason := range map[string]string{
		"record": "key[1]", "rev": "key[2]", "lot": "lot", "material": "lot", "inspection": "data.inspection_id", "sample": `"sample_no"`,
		"characteristic": `"characteristic"`, "value": "data.value", "unit": `"unit"`, "at": "time",
	} {
		t.Run(field, func(t *testing.T) {
			part := r.result()
			part.Value, part.Safety = "61.2", true
			payload := without(t, encode(t, part), field)
			r.quarantined(t, bad{topic: plant.TopicResult, payload: payload, reason: reason}, r.press.SendRaw)
			// The urgent event needs no sample number, and stands alone: fail-safe.
			want := map[bool]int{true: 1}[field == "sample"]
			if n := r.number(t, `SELECT COUNT(*) FROM inbox WHERE type <> ? AND raw_sha256 = ?`, string(event.TypeRecordQuarantined), sum(payload)); n != want {
				t.Errorf("%d events were made of it: want %d", n, want)
			}
		})
	}
	r.flows(t)
	for _, e := range r.SAP.Book() {
		if e.Batch == "" || e.Material == "" {
			t.Errorf("the ERP was told of %+v", e)
		}
	}
}

// without returns a JSON object without a member.
func without(t *testing.T, b []byte, member string) []byte {
	t.Helper()
	at := regexp.MustCompile(`"` + member + `":("[^"]*"|[^,}]*),?`)
	if !at.Match(b) {
		t.Fatalf("%s has no member %s", b, member)
	}
	return regexp.MustCompile(`,}$`).ReplaceAll(at.ReplaceAll(b, nil), []byte("}"))
}

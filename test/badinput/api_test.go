package badinput

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/test/sim/plant"
)

const redrive = "/deadletters/1/redrive"

// call asks the cloud's API as alice, or as change says.
func (r *rig) call(t *testing.T, method, path string, body []byte, change func(*http.Request)) (status int, answer []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.Cloud.Address+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.Token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", sum([]byte(t.Name() + path))[:32])
	}
	if change != nil {
		change(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err = io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer
}

// TestB083_BodyOverTheLimit sends a body with its length named, and one in chunks that has no end.
func TestB083_BodyOverTheLimit(t *testing.T) {
	r := wide(t)
	long := bytes.Repeat([]byte(" "), 32<<20)
	if status, body := r.call(t, http.MethodPost, redrive, long, nil); status != http.StatusRequestEntityTooLarge {
		t.Errorf("answer is %d: %.200s", status, body)
	}
	chunked := func(req *http.Request) { req.ContentLength = -1 }
	if status, body := r.call(t, http.MethodPost, redrive, long, chunked); status != http.StatusRequestEntityTooLarge {
		t.Errorf("answer to chunks is %d: %.200s", status, body)
	}
	r.flows(t)
}

func TestB084_NoJSONBody(t *testing.T) {
	r := wide(t)
	text := func(req *http.Request) { req.Header.Set("Content-Type", "text/plain") }
	if status, body := r.call(t, http.MethodPost, redrive, []byte(`{"reason":"x"}`), text); status != http.StatusUnsupportedMediaType && status != http.StatusBadRequest {
		t.Errorf("answer to text is %d: %.200s", status, body)
	}
	if status, body := r.call(t, http.MethodPost, redrive, []byte(`{"reason":"x"} {"reason":"y"}`), nil); status != http.StatusBadRequest {
		t.Errorf("answer to two values is %d: %.200s", status, body)
	}
}

func TestB086_ForgedToken(t *testing.T) {
	r := wide(t)
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	none := part(map[string]string{"alg": "none"}) + "." + part(map[string]string{"sub": "alice"}) + "."
	for name, header := range map[string]string{
		"None": "", "Empty": "Bearer ", "Forged": "Bearer hf_" + strings.Repeat("A", 43), "AlgNone": "Bearer " + none, "Basic": "Basic " + r.Token,
		"OneCharacterMore": "Bearer " + r.Token + "x", "OneCharacterLess": "Bearer " + r.Token[:len(r.Token)-1],
	} {
		t.Run(name, func(t *testing.T) {
			status, body := r.call(t, http.MethodGet, "/deadletters", nil, func(req *http.Request) { req.Header.Set("Authorization", header) })
			if status != http.StatusUnauthorized || bytes.Contains(body, []byte(r.Token[3:])) {
				t.Errorf("answer is %d: %.200s", status, body)
			}
		})
	}
}

// TestB090_NewlineInLoggedInput sends names that would forge a line of a log. Each line stays one JSON object.
func TestB090_NewlineInLoggedInput(t *testing.T) {
	r := wide(t)
	forged := "\n{\"level\":\"info\",\"message\":\"all is well\"}\n"
	part := r.result()
	part.Lot = forged
	r.quarantined(t, bad{topic: plant.TopicResult, payload: encode(t, part), reason: "lot"}, r.press.SendRaw)
	r.quarantined(t, bad{topic: "acme/p1/wide/" + forged, payload: encode(t, r.result()), code: "E-6304", reason: "no mapping"}, r.wires["b018"].sender(t, 0, 90))
	for _, name := range []string{"agent.log", "cloud.log"} {
		text, err := os.ReadFile(r.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var l logLine
			if err := json.Unmarshal(line, &l); err != nil || l.Message == "all is well" {
				t.Errorf("line of %s: %v: %.200q", name, err, line)
			}
		}
	}
}

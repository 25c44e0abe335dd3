package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// TestDescribe tells each golden event in words: a type's name is none. What is nobody's fact but the machinery's own
// stands in no lot's trace.
func TestDescribe(t *testing.T) {
	machinery := []string{"audit.", "control.", "deadletter.", "integration.effect.requested.", "lot.status.updated.", "signal."}
	files, err := filepath.Glob(filepath.Join("..", "..", "schemas", "testdata", "*", "*", "value.json"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d golden events, %v", len(files), err)
	}
	told := 0
	for _, file := range files {
		dir := filepath.Dir(file)
		kind := event.Type(filepath.Base(filepath.Dir(dir)))
		own := false
		for _, prefix := range machinery {
			own = own || strings.HasPrefix(string(kind), prefix)
		}
		if own || strings.HasPrefix(filepath.Base(dir), "bad_") {
			continue
		}
		value, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data, err := event.DecodeData(kind, value)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if text := describe(data); text == string(kind) || text == "" || strings.Contains(text, "%!") {
			t.Errorf("%s is told as %q", file, text)
		}
		told++
	}
	if told < 20 {
		t.Errorf("%d events were told", told)
	}
}

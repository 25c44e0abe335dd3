package sap_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/connector/sap"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/config"
)

func TestConfig_Load(t *testing.T) {
	load := func(text string) (sap.Config, error) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "sap.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var c sap.Config
		doc, _ := config.Load(file, &c, config.Options{LookupEnv: func(string) (string, bool) { return "", false }})
		return c.WithDefaults(), doc.Err()
	}
	c, err := load("url: https://s4:44300\nusage_decisions:\n  release: { code: A, code_group: \"01\", selected_set: \"01\" }\n" +
		"  reject: { code: R, code_group: \"01\", selected_set: \"02\", plant: \"1010\" }\ninspection_origins: [\"01\", \"09\"]\n")
	if err != nil || c.UsageDecisions[quality.Release] != (sap.UsageDecision{Code: "A", CodeGroup: "01", SelectedSet: "01"}) ||
		c.UsageDecisions[quality.Reject].Plant != "1010" || len(c.InspectionOrigins) != 2 {
		t.Errorf("read %+v, %v", c, err)
	}
	if c, err := load("url: https://s4:44300\n"); err != nil || len(c.InspectionOrigins) != 5 {
		t.Errorf("without origins: %+v, %v", c, err)
	}
	if _, err := load("usage_decisions:\n  release: { cod: A }\n"); err == nil {
		t.Error("an unknown key was taken")
	}
}

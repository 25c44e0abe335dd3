package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func ExampleLoad() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(file, []byte("plant: p1\nevery: 0s\nplnat: p2\n"), 0o600); err != nil {
		panic(err)
	}

	settings := struct {
		Plant string        `yaml:"plant"`
		Agent string        `yaml:"agent"`
		Every time.Duration `yaml:"every"`
	}{Every: time.Second}
	doc, _ := config.Load(file, &settings, config.Options{LookupEnv: os.LookupEnv})
	if settings.Agent == "" {
		doc.Errorf(problem.ConfigMissing, "agent", "agent is required")
	}
	if settings.Every <= 0 {
		doc.Errorf(problem.ConfigValue, "every", "every is %s, it must be above 0", settings.Every)
	}
	if errs, ok := errors.AsType[config.Errors](doc.Err()); ok {
		for _, e := range errs {
			fmt.Printf("%d:%d %s\n", e.Line, e.Column, e.Problem)
		}
	}
	// Output:
	// 1:1 agent is required (E-1002)
	// 2:8 every is 0s, it must be above 0 (E-1004)
	// 3:1 unknown key "plnat"; did you mean "plant"? (E-1003)
}

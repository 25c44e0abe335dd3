package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/mutant"
)

// overlay applies a patch and returns what go build takes. A patch that no longer applies fails the test.
func overlay(t *testing.T, patch string) string {
	t.Helper()
	o, err := mutant.New("../..", t.TempDir(), patch)
	if err != nil {
		t.Fatal(err)
	}
	return o.Path
}

// mutantRest is some three times what the programs themselves need after the load.
const mutantRest = 15 * time.Second

// catcher is what a mutant must be caught by. It returns the first thing that it found wrong, nothing if the mutant
// survived.
type catcher func(t *testing.T, overlay string) (first string)

// by is a campaign of this package, in a short form.
func by(run func(*testing.T, string, int, time.Duration, *rand.Rand) []string) catcher {
	return func(t *testing.T, overlay string) string {
		t.Helper()
		wrong := run(t, build(t, overlay), 14, mutantRest, seed(t)) // each hook twice
		if len(wrong) == 0 {
			return ""
		}
		return fmt.Sprintf("%s (of %d)", wrong[0], len(wrong))
	}
}

// byTest is a test of another package, in its short form. The programs that it builds are mutated, too.
func byTest(dir, name string) catcher {
	return func(t *testing.T, overlay string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^"+name+"$", "-v", "./"+dir)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay), "HOLDFAST_CRASH=")
		out, err := cmd.CombinedOutput()
		ran := strings.Contains(string(out), "=== RUN   "+name)
		if !ran || err != nil && !strings.Contains(string(out), "--- FAIL: "+name) {
			t.Fatalf("%s did not run to its end: %v\n%s", name, err, tail(string(out)))
		}
		return finding(string(out))
	}
}

// finding returns the first line in which a test said what is wrong, nothing if it passed.
func finding(out string) string {
	if !strings.Contains(out, "--- FAIL: ") {
		return ""
	}
	for line := range strings.Lines(out) {
		_, says, found := strings.Cut(line, "_test.go:")
		if _, says, _ = strings.Cut(says, ": "); found && !strings.HasPrefix(says, "$ ") { // a command that was run is none
			return strings.TrimSpace(says)
		}
	}
	return "it failed without a word"
}

// tail returns the end of a text.
func tail(text string) string {
	const most = 4000
	return text[max(0, len(text)-most):]
}

// mutants lists what each mutant must be caught by.
func mutants() map[string]catcher {
	return map[string]catcher{
		"M02-acknowledge-before-commit":   by(killAgent),
		"M04-dedup-off":                   by(killCloud),
		"M05-offset-outside-transaction":  by(killCloud),
		"M07-blind-post-retry":            by(killCloud),
		"M07-notice-sent-blindly":         byTest("test/e2e", "TestF19_NoticeOnceThroughLostAnswers"),
		"M14-barrier-ignored":             byTest("test/e2e", "TestM14_ReleaseWaitsForSilentPlant"),
		"M14-coverage-ignored":            byTest("cloud/workflow", "TestRelease_WaitsForAHoldOnDisk"),
		"M14-dispatch-on-after-restore":   byTest("test/e2e", "TestI14_RestoredDatabase"),
		"M14-gap-ignored":                 byTest("test/e2e", "TestI05_GapStopsItsLots"),
		"M14-head-before-barrier":         byTest("agent/uplink", "TestUplink_Head_BarrierFirst"),
		"M14-head-before-start-gap":       byTest("agent/uplink", "TestUplink_Head_AfterBegun"),
		"M14-parked-ignored":              byTest("cloud/workflow", "TestRelease_SomethingComesBetween"),
		"M14-quarantine-ignored":          byTest("test/e2e", "TestI05_QuarantineTouchesItsEquipment"),
		"M14-retired-unsigned":            byTest("cloud/workflow", "TestEngine_Retire"),
		"M14-start-gap-closed-early":      byTest("agent/source/mqtt", "TestSource_WhatWaits"),
		"M14-start-gap-missing":           byTest("test/e2e", "TestI05_StartWaitsForTheBroker"),
		"M20-publisher-not-fenced":        byTest("cloud/outbox", "TestPublisher_Fence"),
		"M21-flag-of-a-lifted-hold-stays": byTest("cloud/connector/sap", "TestClient_Write_Usage"),
		"M21-foreign-restriction-ignored": byTest("test/e2e", "TestM21_ForeignRestrictionStays"),
	}
}

// TestMutants builds each mutant and has it looked at by what must find something wrong: a rig that can't fail proves
// nothing.
func TestMutants(t *testing.T) {
	if !full() {
		t.Skip("mutants are built and run by make crash, which takes some minutes")
	}
	catchers := mutants()
	patches, err := filepath.Glob("mutants/*.patch")
	if err != nil || len(patches) != len(catchers) {
		t.Fatalf("%d patches for %d rigs, %v", len(patches), len(catchers), err)
	}
	for _, patch := range patches {
		name := strings.TrimSuffix(filepath.Base(patch), ".patch")
		t.Run(name, func(t *testing.T) {
			caught, ok := catchers[name]
			if !ok {
				t.Fatal("no rig for this mutant")
			}
			first := caught(t, overlay(t, patch))
			if first == "" {
				t.Fatal("the mutant survived")
			}
			t.Logf("caught, the first finding: %.200s", first)
		})
	}
}

// TestMutants_Apply looks whether each patch still fits, without building it.
func TestMutants_Apply(t *testing.T) {
	for name := range mutants() {
		overlay(t, filepath.Join("mutants", name+".patch"))
	}
}

#!/usr/bin/env bash
# Kill -9 loops in full length, the mutants that they and the other tests must catch, and the race of a release against a
# silent plant over many seeds.
set -euo pipefail
cd "$(dirname "$0")/.."

HOLDFAST_CRASH=full go test -count=1 -timeout 30m -v ./test/crash
HOLDFAST_CRASH=full go test -count=1 -timeout 30m -v -run "^TestMutants$" ./test/holdfast-demo
HOLDFAST_CRASH=full go test -count=1 -timeout 20m -v -run '^(TestF16_|TestF19_|TestI05_|TestI14_|TestM14_|TestM21_)' ./test/e2e

#!/usr/bin/env bash
# Kill -9 loops in full length, and the mutants that they must catch.
set -euo pipefail
cd "$(dirname "$0")/.."

HOLDFAST_CRASH=full go test -count=1 -timeout 30m -v ./test/crash

#!/usr/bin/env bash
# Runs all tests but the long ones. The race detector needs cgo and a C compiler; without one it is left out, aloud.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v "${CC:-cc}" >/dev/null 2>&1; then
  echo "race detector: on for packages with goroutines"
  CGO_ENABLED=1 go test -race ./agent/... ./cloud/... ./pkg/... ./schemas/...
else
  echo "race detector: OFF, no C compiler was found (set CC or install one)"
  go test ./agent/... ./cloud/... ./pkg/... ./schemas/...
fi
# These start real processes: what they judge runs outside the detector.
CGO_ENABLED=0 go test ./test/...

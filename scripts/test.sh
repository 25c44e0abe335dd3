#!/usr/bin/env bash
# Runs all tests but the long ones. The race detector needs cgo and a C compiler; without one it is left out, aloud.
set -euo pipefail
cd "$(dirname "$0")/.."

# A pure package starts no goroutine, which test/arch sees to, so that the detector has nothing to see in pkg/event, whose
# tests compute for long, nor in the schemas. What uses them runs within it.
watched=$(go list ./agent/... ./cloud/... ./pkg/... | grep -v '/pkg/event$')

# What judges how long something takes runs alone, at the end, and outside the detector.
timed='^(TestF17_HoldToERPBlockOnline|TestF05_UrgentFirstAfterAnOutage|TestF16_LotReleaseFivePlants|TestConsole_Scale.*)$'

if command -v "${CC:-cc}" >/dev/null 2>&1; then
  # SQLite is C that was translated to Go. It keeps what it has outside of Go's heap, where the detector looks at nothing,
  # and costs three times as much with it. Its driver is watched; `make race` leaves nothing out.
  unwatched=()
  for translated in sqlite/lib libc/... memory; do
    unwatched+=("-gcflags=modernc.org/$translated=-race=false")
  done
  echo "race detector: on for packages with goroutines"
  CGO_ENABLED=1 go test -race "${unwatched[@]}" -skip "$timed" $watched
else
  echo "race detector: OFF, no C compiler was found (set CC or install one)"
  go test -skip "$timed" $watched
fi

# These start real processes: what they judge runs outside the detector. One of them waits for more than a minute and
# computes little, so that one more than there are processors may run at once on the smallest machine. The longest come
# first, so that none is left to run alone. What takes a browser is `make browser`.
browser='^(TestF62_JourneyByClicks|TestF69_EveryPage)$'
CGO_ENABLED=0 go test -parallel 3 -skip "$timed|$browser" ./test/e2e ./test/holdfast-demo ./test/crash ./test/badinput ./pkg/event ./schemas ./test/...
CGO_ENABLED=0 go test -p 1 -run "$timed" ./cloud/console ./test/e2e

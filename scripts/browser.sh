#!/usr/bin/env bash
# Looks at the console's pages and clicks through them in headless Chromium. HOLDFAST_CHROMIUM names the program; a machine
# without one fails.
set -euo pipefail
cd "$(dirname "$0")/.."

HOLDFAST_CHROMIUM=${HOLDFAST_CHROMIUM:-require} go test -count=1 -run '^(TestF62_JourneyByClicks|TestF69_EveryPage)$' ./test/console

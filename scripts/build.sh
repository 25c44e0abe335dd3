#!/usr/bin/env bash
# Builds the three programs into bin/, reproducibly: same source, same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."

commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
export CGO_ENABLED=0
mkdir -p bin
go build -trimpath -ldflags "-s -w -X main.commit=$commit" -o bin/ \
  ./agent/cmd/holdfast-agent ./cloud/cmd/holdfast-cloud ./test/holdfast-demo

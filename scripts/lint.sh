#!/usr/bin/env bash
# Runs golangci-lint at the pinned version; installs it into bin/ when it is missing there.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v2.15.0
tool=bin/golangci-lint-$version
if [ ! -x "$tool" ]; then
  echo "installing golangci-lint $version into bin/"
  GOBIN=$PWD/bin CGO_ENABLED=0 go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version"
  mv bin/golangci-lint "$tool"
fi
test -z "$(gofmt -l agent cloud pkg schemas test)" || { echo "gofmt would change:"; gofmt -l agent cloud pkg schemas test; exit 1; }
"$tool" run ./...

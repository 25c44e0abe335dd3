#!/usr/bin/env bash
# The suites that run against programs of others: node-opcua plays the press. Its packages go to bin/, in the version that
# test/peers/opcua/plant/package.json names. What cannot be installed ends the run by name; nothing is skipped in silence.
set -euo pipefail
cd "$(dirname "$0")/.."

modules=$PWD/bin/peers/opcua
for program in node npm; do
  command -v "$program" >/dev/null || { echo "peers: $program is missing: install Node.js 18 or later" >&2; exit 1; }
done
mkdir -p "$modules"
cp test/peers/opcua/plant/package.json "$modules/"
npm install --prefix "$modules" --no-audit --no-fund --silent

export HOLDFAST_PEER_MODULES=$modules/node_modules HOLDFAST_LONG=1
go test -count=1 -timeout 20m -v ./test/peers/... | tee bin/peers/result.txt
if grep -q -- '--- SKIP' bin/peers/result.txt; then
  echo "peers: a suite was skipped, see above" >&2
  exit 1
fi

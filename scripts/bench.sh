#!/usr/bin/env bash
# Measures the built programs beside a bare pipeline of the same libraries, and writes bin/bench.jsonl and the tables of
# deploy/docs/performance.md. Arguments go to test/bench (-help lists them). PostgreSQL's programs are found where Debian
# puts them, or named by HOLDFAST_PEER_POSTGRES.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/build.sh
programs=(/usr/lib/postgresql/*/bin)
if [ -z "${HOLDFAST_PEER_POSTGRES:-}" ] && [ -d "${programs[-1]}" ]; then
  export HOLDFAST_PEER_POSTGRES=${programs[-1]}
fi
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
git diff --quiet HEAD 2>/dev/null || commit=$commit+changes

go build -o bin/holdfast-bench ./test/bench
rm -f bin/bench.jsonl
bin/holdfast-bench -commit "$commit" -lines bin/bench.jsonl -page deploy/docs/performance.md "$@"

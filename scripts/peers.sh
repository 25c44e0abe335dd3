#!/usr/bin/env bash
# Runs the suites that judge us against programs of others. What is missing is installed: Debian packages where we are root, the
# rest into bin/peers in the versions that the manifests below test/peers name; what cannot be ends the run by name. Nothing
# runs but what the suites start, each on free loopback ports, as a user of its own where we are root, and ended by its process id.
# SUITES="opcua kafka" runs these alone. The last lines are the table; what the suites said stands in bin/peers/*.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=$PWD/bin/peers jars=$PWD/bin/peers/kafka PATH=$PATH:/usr/sbin failed=0
umask 022 # the servers' users read what is installed here
mkdir -p "$peers/opcua" "$jars"
rm -f "$peers"/*.txt

cannot() { echo "peers: $1 is missing, and could not be installed from $2" >&2; exit 1; }
# need PROGRAM PACKAGE...: finds a program, or installs the Debian packages that have it.
need() {
  command -v "$1" >/dev/null && return
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    # Packaged servers start themselves where nothing says no.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${@:2}" >/dev/null || true
  fi
  command -v "$1" >/dev/null || cannot "$1" "the packages ${*:2}"
}
need npm npm nodejs
need java openjdk-17-jre-headless
need mvn maven
need mosquitto mosquitto
need mosquitto_pub mosquitto-clients
need chromium chromium
rt=/usr/share/request-tracker5
need $rt/libexec/rt-server request-tracker5 rt5-standalone rt5-db-sqlite
postgres() { find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1; }
[[ -n $(postgres) ]] || need /usr/lib/postgresql/15/bin/postgres postgresql-15

cp test/peers/opcua/plant/package.json "$peers/opcua/"
npm install --prefix "$peers/opcua" --no-audit --no-fund --silent || cannot node-opcua "npm"
if ! (cd "$jars" && sha256sum --status -c "$OLDPWD/test/peers/kafka/jars.sha256"); then
  mvn -q -B -f test/peers/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$jars" || cannot Kafka "Maven"
  (cd "$jars" && sha256sum --quiet -c "$OLDPWD/test/peers/kafka/jars.sha256") || cannot Kafka "Maven in the version of jars.sha256"
fi

HOLDFAST_PEER_MODULES=$peers/opcua/node_modules HOLDFAST_PEER_KAFKA_JARS=$jars HOLDFAST_PEER_RT=$rt/libexec/rt-server
HOLDFAST_PEER_POSTGRES=$(postgres) HOLDFAST_PEER_MOSQUITTO=$(command -v mosquitto)
export "${!HOLDFAST_PEER_@}"
declare -A version=(
  [node-opcua]=$(node -p "require('$peers/opcua/node_modules/node-opcua/package.json').version")
  [kafka]=$(basename "$jars"/kafka-clients-*.jar .jar | sed 's/kafka-clients-//')
  [mosquitto]=$(mosquitto -h | sed -n 's/^mosquitto version //p')
  [postgresql]=$("$HOLDFAST_PEER_POSTGRES/postgres" --version | awk '{print $3}')
  [rt]=$(sed -n "s/^our \$VERSION = '\(.*\)';/\1/p" $rt/lib/RT/Generated.pm)
  [chromium]=$(chromium --version --no-sandbox 2>/dev/null | awk '{print $2}')
)

# suite NAME "SERVERS" COMMAND...: runs a suite. What is skipped without need fails the run, too.
suite() {
  local name=$1 servers=$2 said=$peers/$1.txt began=$SECONDS result=ok
  shift 2
  [[ " ${SUITES:-$name} " == *" $name "* ]] || return 0
  env "$@" >"$said" 2>&1 || result=FAILED
  if grep -E -- '--- FAIL|SKIPPED|^FAIL|^panic' "$said" >&2; then result=FAILED; fi
  # What does not apply to a system says so, with its reason. Any other skip has judged nothing.
  if [[ $(grep -c -- '--- SKIP' "$said") != $(grep -c 'not applicable: ' "$said") ]]; then
    grep -- '--- SKIP' "$said" >&2
    result=FAILED
  fi
  [[ $result == ok ]] || failed=1
  for s in $servers; do
    printf '%-12s %-15s %-14s %5d %6ds  %s\n' "$s" "${version[$s]}" "$name" "$(grep -c -- '--- PASS' "$said")" $((SECONDS - began)) "$result"
  done | tee -a "$peers/table.txt"
}
t=(go test -count=1 -v -p 1 -timeout 30m)
suite opcua "node-opcua" HOLDFAST_LONG=1 "${t[@]}" -parallel 4 ./test/peers/opcua
suite kafka "kafka" "${t[@]}" ./test/peers/kafka
suite mosquitto "mosquitto" "${t[@]}" ./test/peers/mosquitto
suite store "postgresql" HOLDFAST_TEST_DATABASE=postgres "${t[@]}" \
  ./cloud/store ./cloud/workflow ./cloud/dispatch ./cloud/ledger ./cloud/outbox ./cloud/reconcile ./cloud/api
suite end-to-end "kafka mosquitto postgresql" HOLDFAST_TEST_DATABASE=postgres "${t[@]}" ./test/e2e
suite guide "kafka mosquitto postgresql" "${t[@]}" -run '^TestGettingStarted_' ./test/deploy
suite console "chromium" HOLDFAST_CHROMIUM=require HOLDFAST_CRASH=full "${t[@]}" ./test/console
suite qms "rt" "${t[@]}" ./test/peers/rt

printf '\n%-12s %-15s %-14s %5s %7s\n' server version suite cases time
sort "$peers/table.txt"
printf '\nfigures:\n'
grep -ohE 'FIGURES .*' "$peers"/*.txt | sed 's/^FIGURES /  /' || true
exit "$failed"

#!/usr/bin/env bash
# The suites that run against programs of others: node-opcua as the press, Apache Kafka, Mosquitto and PostgreSQL. What is missing
# is installed: Debian packages where we are root, the rest into bin/peers in the versions that the manifests below test/peers
# name. Nothing is started but by the suites, on free loopback ports. What cannot be installed ends the run by name.
set -euo pipefail
cd "$(dirname "$0")/.."

peers=$PWD/bin/peers
mkdir -p "$peers/opcua" "$peers/kafka"

# need PROGRAM PACKAGE: finds a program in the path, or installs the Debian package that has it.
need() {
  command -v "$1" >/dev/null && return
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    # Packaged servers start themselves where nothing says no.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$2" >/dev/null || true
  fi
  command -v "$1" >/dev/null || { echo "peers: $1 is missing, and the package $2 could not be installed" >&2; exit 1; }
}
PATH=$PATH:/usr/sbin
need node nodejs
need npm npm
need java openjdk-17-jre-headless
need mvn maven
need mosquitto mosquitto
postgres() { find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1; }
[[ -n $(postgres) ]] || need /usr/lib/postgresql/15/bin/postgres postgresql-15

cp test/peers/opcua/plant/package.json "$peers/opcua/"
npm install --prefix "$peers/opcua" --no-audit --no-fund --silent || { echo "peers: node-opcua could not be installed" >&2; exit 1; }
jars=$peers/kafka
if ! (cd "$jars" && sha256sum --quiet --status -c "$OLDPWD/test/peers/kafka/jars.sha256"); then
  mvn -q -B -f test/peers/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$jars" ||
    { echo "peers: Kafka's jars could not be installed" >&2; exit 1; }
  (cd "$jars" && sha256sum --quiet -c "$OLDPWD/test/peers/kafka/jars.sha256") || { echo "peers: Kafka's jars are not those of jars.sha256" >&2; exit 1; }
fi

export HOLDFAST_PEER_MODULES=$peers/opcua/node_modules HOLDFAST_PEER_KAFKA_JARS=$jars HOLDFAST_LONG=1
HOLDFAST_PEER_POSTGRES=$(postgres) HOLDFAST_PEER_MOSQUITTO=$(command -v mosquitto)
export HOLDFAST_PEER_POSTGRES HOLDFAST_PEER_MOSQUITTO
failed=0
go test -count=1 -p 1 -timeout 60m -v ./test/peers/... ./cloud/store ./test/e2e ./test/deploy >"$peers/result.txt" 2>&1 || failed=1
grep -E -- '^ *--- (FAIL|SKIP)|^(FAIL|ok)' "$peers/result.txt" || true
if grep -q 'PEER SKIPPED' "$peers/result.txt"; then
  echo "peers: a suite was skipped, see above" >&2
  failed=1
fi

printf '\n%-12s %s\n' server version
printf '%-12s %s\n' \
  node-opcua "$(node -p "require('$peers/opcua/node_modules/node-opcua/package.json').version")" \
  kafka "$(basename "$jars"/kafka-clients-*.jar .jar | sed 's/kafka-clients-//')" \
  mosquitto "$(mosquitto -h | sed -n 's/^mosquitto version //p')" \
  postgresql "$("$HOLDFAST_PEER_POSTGRES/postgres" --version | awk '{print $3}')"
printf '\nsuites and cases passed:\n'
awk '/^ *--- PASS/ {n++} /^ok|^FAIL\t/ {print "  " $2 ": " n+0; n=0}' "$peers/result.txt"
printf '\nfigures:\n'
grep -oE 'FIGURES .*' "$peers/result.txt" | sed 's/^FIGURES /  /' || true
exit "$failed"

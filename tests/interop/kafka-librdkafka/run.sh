#!/usr/bin/env bash
# librdkafka's own test programs against the broker at KAFKA_ADDR: those that passing.txt lists for such a broker, or the
# ones named.
#   run.sh [all | NUMBER...]     without anything, those that are not slow
#   ACL_USER, ACL_SECRET, TLS_CA: the broker wants TLS and a login; AUTO_CREATE=off: it makes no topics on first use
# The first run compiles the library and its tests, without optimization: a minute on two cores.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/../setup.sh" kafka-librdkafka
. "$here/../retry.sh"
tools=$(cd "$here/../../.." && pwd)/target/interop-tools
built=$tools/librdkafka

build() {
  cmp -s "$here/Cargo.lock" "$built/.built" && return
  retry cargo fetch --quiet --locked --manifest-path "$here/Cargo.toml"
  manifest=$(cargo metadata --format-version 1 --locked --manifest-path "$here/Cargo.toml" |
    jq -r '.packages[] | select(.name == "rdkafka-sys") | .manifest_path')
  rm -rf "$built"
  cp -r "$(dirname "$manifest")/librdkafka" "$built"
  (
    cd "$built"
    ./configure --disable-lz4-ext --disable-zstd --disable-sasl --disable-optimization
    make -j2 libs
    make -j2 -C tests test-runner
  ) >"$tools/librdkafka.log" 2>&1 || { tail -n 40 "$tools/librdkafka.log" >&2; exit 1; }
  cp "$here/Cargo.lock" "$built/.built"
}

(flock 9; build) 9>"$tools/librdkafka.lock"
[ -z "${ONLY_COMPILE:-}" ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "bootstrap.servers=$KAFKA_ADDR" >"$work/test.conf"
[ -z "${ACL_USER:-}" ] || cat >>"$work/test.conf" <<CONF
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.username=$ACL_USER
sasl.password=$ACL_SECRET
ssl.ca.location=$TLS_CA
CONF
passed=0 failed=0

listed() { # listed WORD: the numbers of the tests that have this word, or of the common ones; the slow ones, too, where all are wanted
  awk -v word="$1" -v all="${all:-}" '/^[0-9]/ {
    split("", has)
    for (at = 3; at <= NF; at++) has[$at]
    if (word == "common" ? !("only" in has) && (all || !("slow" in has)) : word in has || all && (word "-slow") in has) print $1
  }' "$here/passing.txt"
}

programs() { # programs LABEL TESTS [NAME=VALUE...]: runs them four at a time; each has to pass, and not only to be skipped
  local label=$1 tests=$2 code=0
  shift 2
  [ -n "$tests" ] || return 0
  cd "$built/tests" # some look for files beside them
  env LD_LIBRARY_PATH="$built/src:$built/src-cpp" RDKAFKA_TEST_CONF="$work/test.conf" TEST_KAFKA_VERSION=3.4.0 TEST_LEVEL=1 \
    TESTS="$(echo "$tests" | paste -sd,)" "$@" stdbuf -o0 "$built/tests/test-runner" -p4 ${quick--Q} >"$work/log" 2>&1 || code=$?
  # Its table has a row for each test that it knows, run or not.
  sed 's/\x1b\[[0-9;]*m//g' "$work/log" | awk -F'|' '/^\|/ && $3 ~ /PASSED|FAILED/ && $2 !~ /MAIN/ {
    gsub(/ /, "", $2); gsub(/ /, "", $3); print $3, $2
  }' >"$work/table"
  while read -r verdict name; do
    if [ "$verdict" = PASSED ]; then
      echo "ok $name$label"
      passed=$((passed + 1))
    else
      echo "FAIL $name$label"
      failed=$((failed + 1))
    fi
  done <"$work/table"
  for number in $tests; do
    grep -q "^[A-Z]* ${number}_" "$work/table" || { echo "FAIL $number$label was skipped"; failed=$((failed + 1)); }
  done
  [ "$code" = 0 ] || { failed=$((failed + 1)); tail -n 60 "$work/log"; }
}

if [ $# -gt 0 ] && [ "$1" != all ]; then
  programs "" "$(printf '%s\n' "$@")"
elif all=${1:-}; [ -n "${ACL_USER:-}" ]; then
  programs " with a login" "$(listed login)"
elif [ "${AUTO_CREATE:-on}" = off ]; then
  programs " without creation" "$(listed noautocreate)" TEST_SCENARIO=noautocreate
else
  programs "" "$(listed common)"
  programs " KIP-848" "$(listed kip-848)" TEST_CONSUMER_GROUP_PROTOCOL=consumer
  quick='' programs " not quick" "$(listed thorough)"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]

#!/usr/bin/env bash
# Kills a broker between a half message and its commit, and starts it again.
# Ends with 0 if the producer, which stayed connected, is asked, and a consumer gets the message once it has said yes.
#   SLUICE_BIN (default: target/release/sluice, else target/debug/sluice), CLIENT_VERSION
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
for sluice in "${SLUICE_BIN:-}" "$root/target/release/sluice" "$root/target/debug/sluice"; do
  [ -x "$sluice" ] && break
done
[ -x "$sluice" ] || { echo "no broker: run cargo build --release first" >&2; exit 1; }
unset TLS ACL_USER SLUICE_BIN # the broker refuses settings that it does not know

work=$(mktemp -d)
broker=
client=
finish() {
  [ -z "$client" ] || pkill -P "$client" 2>/dev/null || true # the JVM under the script
  for pid in $broker $client; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

export SLUICE_DATA_DIR=$work/data SLUICE_LISTEN__NAMESRV=0 SLUICE_LISTEN__REMOTING=0 SLUICE_LISTEN__HTTP=off SLUICE_LISTEN__STOMP=off SLUICE_LISTEN__KAFKA=off
start() {
  exec 3< <(exec "$sluice" 2>>"$work/log")
  broker=$!
  read -r -t 20 ready <&3 || { echo "the broker did not start:" >&2; tail -20 "$work/log" >&2; exit 1; }
}
address() { # address NAME: where that listener is, by the ready line
  local rest=${ready#*"$1"=}
  echo "${rest%% *}"
}

start
NAMESRV_ADDR=$(address namesrv)
export NAMESRV_ADDR SLUICE_LISTEN__NAMESRV=$NAMESRV_ADDR
SLUICE_LISTEN__REMOTING=$(address remoting)

topic=transaction-$$
"$here/run.sh" -- prepare --topic "$topic" --group "$topic-p" --keys half --check COMMIT_MESSAGE >"$work/said" &
client=$!
for ((i = 0; i < 600; i++)); do
  grep -q prepared "$work/said" && break
  sleep 0.1
done
grep -q prepared "$work/said" || { echo "FAIL the message was not prepared within 60 s" >&2; exit 1; }

kill -KILL "$broker"
wait "$broker" 2>/dev/null || true
start
"$here/run.sh" -- receive --topic "$topic" --group "$topic-c" --count 1 --timeout 60 >"$work/got" || {
  echo "FAIL the half message did not come within 60 s" >&2
  exit 1
}
grep -q '"keys":"half"' "$work/got" || { echo "FAIL another message came: $(cat "$work/got")" >&2; exit 1; }
echo "ok transaction-restart"

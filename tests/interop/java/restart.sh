#!/usr/bin/env bash
# Stops, kills and starts a broker under a Java producer and consumer that stay connected.
# Ends with 0 if their consumer, and then a new group, got every acknowledged message.
#   SLUICE_BIN (default: target/release/sluice, else target/debug/sluice), CLIENT_VERSION, ROUNDS (4)
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
clients=
finish() {
  for pid in $broker $clients; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

export SLUICE_DATA_DIR=$work/data SLUICE_LISTEN__NAMESRV=0 SLUICE_LISTEN__REMOTING=0 SLUICE_LISTEN__HTTP=off SLUICE_LISTEN__STOMP=off SLUICE_LISTEN__KAFKA=off
start() {
  exec 3< <(exec env -u SLUICE_BIN "$sluice" 2>>"$work/log") # it knows no such key
  broker=$!
  read -r -t 20 ready <&3 || { echo "the broker did not start:" >&2; tail -20 "$work/log" >&2; exit 1; }
}
address() { # address NAME: where that listener is, by the ready line
  local rest=${ready#*"$1"=}
  echo "${rest%% *}"
}
acked() { wc -l <"$work/acked"; }
await() { # await WHAT COMMAND...: until the command succeeds, or 60 s are over
  local what=$1 i
  shift
  for ((i = 0; i < 600; i++)); do
    "$@" && return
    kill -0 "$clients" 2>/dev/null || { echo "FAIL the clients ended before: $what" >&2; exit 1; }
    sleep 0.1
  done
  echo "FAIL not within 60 s: $what" >&2
  exit 1
}
more_acked() { [ "$(acked)" -ge "$wanted" ]; }

start
NAMESRV_ADDR=$(address namesrv)
export NAMESRV_ADDR SLUICE_LISTEN__NAMESRV=$NAMESRV_ADDR
SLUICE_LISTEN__REMOTING=$(address remoting)

topic=restart-$$
"$here/run.sh" -- produce-until --topic "$topic" --group "$topic-during" \
  --stop "$work/stop" --acked "$work/acked" --ready "$work/ready" &
clients=$!
await "the first message comes back" test -e "$work/ready"

for ((round = 1; round <= ${ROUNDS:-4}; round++)); do
  signal=$([ $((round % 2)) = 0 ] && echo KILL || echo TERM)
  kill -s "$signal" "$broker"
  wait "$broker" 2>/dev/null || true
  start
  wanted=$(($(acked) + 200))
  await "200 more messages acknowledged after SIG$signal" more_acked
done

touch "$work/stop"
wait "$clients" || { echo "FAIL the connected consumer misses acknowledged messages" >&2; exit 1; }
clients=
"$here/run.sh" -- verify --topic "$topic" --group "$topic-after" --acked "$work/acked"
echo "ok restart"

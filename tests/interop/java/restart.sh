#!/usr/bin/env bash
# Stops, kills and starts a broker under a Java producer and consumer that stay connected.
# Ends with 0 if their consumer, and then a new group, got every acknowledged message; and if the same holds for what waits
# over such a time: transaction-restart.sh, time.sh; and flow-control.sh, which needs brokers of its own too.
#   SLUICE_BIN (default: target/release/sluice, else target/debug/sluice), CLIENT_VERSION, ROUNDS (4)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
named=${SLUICE_BIN:-}
. "$here/own-broker.sh"

acked() { wc -l <"$work/acked"; }
more_acked() {
  kill -0 "$producing" 2>/dev/null || { echo "FAIL the clients ended before" >&2; exit 1; }
  [ "$(acked)" -ge "$wanted" ]
}

start
topic=restart-$$
"$here/run.sh" -- produce-until --topic "$topic" --group "$topic-during" \
  --stop "$work/stop" --acked "$work/acked" --ready "$work/ready" &
producing=$!
clients+=("$producing")
await "the first message comes back" test -e "$work/ready"

for ((round = 1; round <= ${ROUNDS:-4}; round++)); do
  signal=$([ $((round % 2)) = 0 ] && echo KILL || echo TERM)
  stop "$signal"
  start
  wanted=$(($(acked) + 200))
  await "200 more messages acknowledged after SIG$signal" more_acked
done

touch "$work/stop"
wait "$producing" || { echo "FAIL the connected consumer misses acknowledged messages" >&2; exit 1; }
clients=()
"$here/run.sh" -- verify --topic "$topic" --group "$topic-after" --acked "$work/acked"
# Its port is a given one since the first restart, so the broker listens two below it too.
vip=$(JAVA_TOOL_OPTIONS=-Dcom.rocketmq.sendMessageWithVIPChannel=true "$here/run.sh" -- send --topic "$topic" --body vip)
grep -q SEND_OK <<<"$vip" || { echo "FAIL with vipChannelEnabled: $vip" >&2; exit 1; }
stop TERM
echo "ok restart"

for other in transaction-restart time flow-control; do
  env -u NAMESRV_ADDR -u SLUICE_DATA_DIR -u SLUICE_LISTEN__NAMESRV -u SLUICE_LISTEN__REMOTING \
    ${named:+"SLUICE_BIN=$named"} "$here/$other.sh"
done

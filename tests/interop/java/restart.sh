#!/usr/bin/env bash
# Stops, kills and starts a broker under a Java producer and consumer that stay connected.
# Ends with 0 if their consumer, and then a new group, got every acknowledged message; and if the same holds for what waits
# over such a time: transaction-restart.sh, time.sh; and clock.sh and flow-control.sh, which need brokers of their own too.
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

# The other scripts mostly wait, so three rows of them run beside; what they say is told in the end.
alone() { # alone SCRIPT [ARGUMENT]...: with a broker of its own
  env -u NAMESRV_ADDR -u SLUICE_DATA_DIR -u SLUICE_LISTEN__NAMESRV -u SLUICE_LISTEN__REMOTING \
    ${named:+"SLUICE_BIN=$named"} "$here/$1" "${@:2}" </dev/null 2>&1
}
by_weeks() { alone time.sh && alone transaction-restart.sh && alone flow-control.sh; }
by_steps() { alone clock.sh java && alone clock.sh go; }
by_steps_of_old() { CLIENT_VERSION=4.9.8 alone clock.sh java; }
rows=(by_weeks by_steps by_steps_of_old)
others=()
for row in "${rows[@]}"; do
  "$row" >"$work/$row" &
  others+=("$!")
done
clients+=("${others[@]}")
wait_for_the_others() {
  local at code=0
  for at in "${!rows[@]}"; do
    wait "${others[$at]}" || code=1
    cat "$work/${rows[$at]}"
  done
  return "$code"
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
clients=("${others[@]}")
"$here/run.sh" -- verify --topic "$topic" --group "$topic-after" --acked "$work/acked"
# Its port is a given one since the first restart, so the broker listens two below it too.
vip=$(JAVA_TOOL_OPTIONS=-Dcom.rocketmq.sendMessageWithVIPChannel=true "$here/run.sh" -- send --topic "$topic" --body vip)
grep -q SEND_OK <<<"$vip" || { echo "FAIL with vipChannelEnabled: $vip" >&2; exit 1; }
stop TERM
echo "ok restart"

wait_for_the_others

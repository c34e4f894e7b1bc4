#!/usr/bin/env bash
# Kills a broker between a half message and its commit, and starts it again.
# Ends with 0 if the producer, which stayed connected, is asked, and a consumer gets the message once it has said yes; and
# if a message whose producer never knows goes, after the last check, to where an operator finds it.
#   SLUICE_BIN (default: target/release/sluice, else target/debug/sluice), CLIENT_VERSION
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/own-broker.sh"
export SLUICE_BROKER__CHECK_INTERVAL=1s SLUICE_BROKER__MAX_CHECKS=2

prepare() { # prepare KEY OUTCOME: by a producer that stays
  "$here/run.sh" -- prepare --topic "$topic" --group "$topic-$1" --keys "$1" --check "$2" >"$work/said-$1" &
  clients+=("$!")
}
got() { # got KEY TOPIC: a consumer that starts now gets that message first. It looks for new topics twice a minute only
  "$here/run.sh" -- receive --topic "$2" --group "$topic-reader-$1" --count 1 --timeout 5 >"$work/got" || return
  grep -q "\"keys\":\"$1\"" "$work/got" || { echo "FAIL another message came: $(cat "$work/got")" >&2; exit 1; }
}

start
topic=transaction-$$
prepare half COMMIT_MESSAGE
await "the message is prepared" grep -qs prepared "$work/said-half"
stop KILL
start
prepare nobody-knows UNKNOW
await "the half message comes" got half "$topic"
await "the other one is given up" got nobody-knows TRANS_CHECK_MAX_TIME_TOPIC
echo "ok transaction-restart"

#!/usr/bin/env bash
# Sets a broker's clock step by step under stock clients, so that hours are over in seconds: all delay levels, all
# retries, all checks of a transaction, where a new group starts, and what becomes of a group whose place retention let go.
#   clock.sh [java | go]     which client
#   SLUICE_BIN (default: target/release/sluice, else target/debug/sluice), CLIENT_VERSION
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/own-broker.sh"

# A step of an hour is not to look like an hour's silence, no queue is young, and segments go as soon as they may.
export SLUICE_BROKER__MEMBER_TIMEOUT=90d SLUICE_BROKER__OFFSETS_RETENTION=90d SLUICE_REMOTING__YOUNG_QUEUE=1
export SLUICE_BROKER__CHECKPOINT_INTERVAL=1s SLUICE_STORE__SEGMENT_SIZE=1MiB
client=${1:-java}
start_with_clock
# One at a time: they share the clock.
case $client in
  java) CLOCK=$work/clock PARALLEL=1 "$here/run.sh" 'clock-*' ;;
  go) CLOCK=$work/clock "$here/../go/run.sh" '^clock-' ;;
esac
echo "ok clock $client"

# Starts a private broker for an example and stops it when the example ends; sourced by each run.sh.
#
# The binary is $SLUICE_BIN, else the release build, else the debug build. The broker listens on free
# ports of 127.0.0.1 and keeps its data in a temporary folder; the addresses are then in NAMESRV_ADDR,
# REMOTING_ADDR, HTTP_ADDR and STOMP_ADDR.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
broker=

find_sluice() {
  local candidate
  sluice=${SLUICE_BIN:-}
  for candidate in "$root/target/release/sluice" "$root/target/debug/sluice"; do
    [ -n "$sluice" ] || { [ -x "$candidate" ] && sluice=$candidate; } || :
  done
  [ -n "$sluice" ] || { echo "no sluice binary: run 'cargo build --release' or set SLUICE_BIN" >&2; exit 2; }
}

start_broker() { # start_broker [NAME=VALUE...]: more settings for the broker's environment
  find_sluice
  trap stop_broker EXIT
  env -u SLUICE_BIN SLUICE_DATA_DIR="$scratch/data" SLUICE_LISTEN__NAMESRV=0 SLUICE_LISTEN__REMOTING=0 SLUICE_LISTEN__HTTP=0 \
    SLUICE_LISTEN__STOMP=0 SLUICE_LISTEN__KAFKA=0 "$@" "$sluice" >"$scratch/ready" 2>"$scratch/log" &
  broker=$!
  local deadline=$((SECONDS + 30)) pair
  until grep -q '^sluice ready' "$scratch/ready"; do
    kill -0 "$broker" 2>/dev/null && [ $SECONDS -lt $deadline ] || { cat "$scratch/log" >&2; echo 'the broker did not start' >&2; exit 1; }
    sleep 0.05
  done
  for pair in $(grep '^sluice ready' "$scratch/ready"); do
    case $pair in
      *=*) export "$(tr '[:lower:]' '[:upper:]' <<<"${pair%%=*}")_ADDR=${pair#*=}" ;;
    esac
  done
}

stop_broker() {
  [ -z "$broker" ] || { kill "$broker" 2>/dev/null; wait "$broker" || :; }
  rm -rf "$scratch"
}

# expect WANTED GOT: ends the example as failed unless the two are the same.
expect() {
  [ "$1" = "$2" ] || { printf 'wanted:\n%s\ngot:\n%s\n' "$1" "$2" >&2; exit 1; }
}

#!/usr/bin/env bash
# Starts a broker with a certificate made on the spot, and runs the example against it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
for sluice in "${SLUICE_BIN:-}" "$root/target/release/sluice" "$root/target/debug/sluice"; do
  [ -x "$sluice" ] && break
done
[ -x "$sluice" ] || { echo "no broker: run cargo build --release first" >&2; exit 1; }
unset SLUICE_BIN # the broker refuses settings that it does not know

work=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || kill "$broker" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null

export SLUICE_DATA_DIR=$work/data SLUICE_TLS__CERT=$work/cert.pem SLUICE_TLS__KEY=$work/key.pem
export SLUICE_LISTEN__NAMESRV=0 SLUICE_LISTEN__REMOTING=0 SLUICE_LISTEN__HTTP=0 SLUICE_LISTEN__STOMP=0
exec 3< <(exec "$sluice" 2>"$work/log")
broker=$!
read -r -t 20 ready <&3 || { echo "the broker did not start:" >&2; cat "$work/log" >&2; exit 1; }
nameserver=${ready#*namesrv=}
nameserver=${nameserver%% *}

timeout 300 mvn -q -B -f "$here/pom.xml" compile exec:java "-Dexec.args=$nameserver $work/cert.pem"

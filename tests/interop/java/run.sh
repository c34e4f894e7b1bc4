#!/usr/bin/env bash
# Builds the Java interop program when its sources changed, and runs it against the broker at NAMESRV_ADDR.
#   run.sh [SCENARIO...]     the scenarios, all by default; a name may end in *
#   run.sh -- COMMAND ...    another command (list, send, receive, serve, ...); README.md has them all
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=${CLIENT_VERSION:-5.5.0}
target=$here/target/$version
. "$here/jvm.sh"

build "-Drocketmq.version=$version"

home=$(mktemp -d)
set_options "$home"
if [ "${TLS:-0}" = 1 ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=stranger \
    -keyout "$home/stranger.key" -out "$home/stranger.pem" 2>/dev/null
  options+=(-Dinterop.stranger.ca="$home/stranger.pem")
fi
if [ "${1:-}" = -- ]; then shift; else set -- run "$@"; fi

code=0
java "${options[@]}" -cp "$target/classes:$target/lib/*" sluice.interop.Main "$@" || code=$?
if [ "$code" = 0 ] || [ -z "${KEEP_LOGS:-}" ]; then
  rm -rf "$home"
else
  echo "the clients' logs are in $home/logs" >&2
fi
exit "$code"

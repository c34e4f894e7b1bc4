#!/usr/bin/env bash
# Builds the Java interop program when its sources changed, and runs it against the broker at NAMESRV_ADDR.
#   run.sh [SCENARIO...]     the scenarios, all by default; a name may end in *
#   run.sh -- COMMAND ...    another command (list, send, receive, serve, ...); README.md has them all
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=${CLIENT_VERSION:-5.5.0}
target=$here/target/$version

{ command -v mvn && command -v javac; } >/dev/null || "$here/../setup.sh" java

# --- build, one at a time -------------------------------------------------------------------------
mkdir -p "$target"
(
  flock 9
  stamp=$(cd "$here" && find pom.xml src -type f | LC_ALL=C sort | xargs cksum | cksum)
  [ "$stamp" = "$(cat "$target/stamp" 2>/dev/null)" ] && exit 0
  rm -rf "$target/classes" "$target/lib"
  build=(mvn -q -B -f "$here/pom.xml" compile "-Drocketmq.version=$version")
  "${build[@]}" -o >"$target/build.log" 2>&1 || "${build[@]}" >"$target/build.log" 2>&1 || {
    cat "$target/build.log" >&2
    exit 1
  }
  echo "$stamp" >"$target/stamp"
) 9>"$here/target/lock"

# --- run ------------------------------------------------------------------------------------------
# The clients write logs and broadcast offsets below user.home, so they get a home of their own.
home=$(mktemp -d)
options=(-Xmx"${JAVA_HEAP:-512m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dfile.encoding=UTF-8
  -Duser.home="$home" -Drocketmq.client.logRoot="$home/logs" -Drocketmq.client.logLevel=WARN
  -Drocketmq.log.root="$home/logs" -Drocketmq.log.level=WARN)
[ -z "${SERIALIZE:-}" ] || options+=(-Drocketmq.serialize.type="$SERIALIZE")
if [ "${TLS:-0}" = 1 ]; then
  # Without test mode off and authServer on, the client takes any certificate.
  options+=(-Dtls.enable=true -Dtls.test.mode.enable=false -Dtls.client.authServer=true
    -Dtls.client.trustCertPath="${TLS_CA:?TLS=1 needs TLS_CA, the PEM file of the authority to trust}")
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

#!/usr/bin/env bash
# The cloud's Java SDK against the broker at HTTP_ADDR; see ../README.md for the environment.
#   run.sh [SCENARIO...]     all of them by default; a name may end in *
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$here/target
. "$here/../java/jvm.sh"

build
options=(-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dfile.encoding=UTF-8)
if [ "${TLS:-}" = 1 ]; then
  store=$(mktemp -d)/trust.p12
  trap 'rm -rf "$(dirname "$store")"' EXIT
  keytool -importcert -noprompt -alias authority -file "${TLS_CA:?TLS=1 needs TLS_CA, the PEM file of the authority to trust}" \
    -keystore "$store" -storetype PKCS12 -storepass changeit >/dev/null 2>&1
  # The SDK has no setting for the authorities that it trusts; Java has.
  options+=(-Djavax.net.ssl.trustStore="$store" -Djavax.net.ssl.trustStorePassword=changeit)
fi
java "${options[@]}" \
  -cp "$target/classes:$target/lib/*" sluice.mqhttp.Main "$@"

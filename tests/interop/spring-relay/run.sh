#!/usr/bin/env bash
# Builds the Spring application when its sources changed, and runs its scenarios with the broker at STOMP_ADDR as its
# relay; see ../README.md for the environment.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$here/target
. "$here/../java/jvm.sh"

build

exec java -Xmx"${JAVA_HEAP:-256m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dfile.encoding=UTF-8 \
  -cp "$target/classes:$target/lib/*" sluice.relay.Main

#!/usr/bin/env bash
# The cloud's Java SDK against the broker at HTTP_ADDR; see ../README.md for the environment.
#   run.sh [SCENARIO...]     all of them by default; a name may end in *
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$here/target
. "$here/../java/jvm.sh"

build
exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dfile.encoding=UTF-8 \
  -cp "$target/classes:$target/lib/*" sluice.mqhttp.Main "$@"

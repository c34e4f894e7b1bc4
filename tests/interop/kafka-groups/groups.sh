#!/usr/bin/env bash
# Stock clients in consumer groups, against a broker of its own, which is killed under them.
#   SLUICE_BIN (default: target/release/sluice, else target/debug/sluice), ONLY, SKIP
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
target=$here/target
"$here/../setup.sh" kafka-groups
. "$here/../java/jvm.sh"
build
for sluice in "${SLUICE_BIN:-}" "$root/target/release/sluice" "$root/target/debug/sluice"; do
  [ -x "$sluice" ] && break
done
[ -x "$sluice" ] || { echo "no broker: run cargo build --release first" >&2; exit 1; }
export SLUICE_BIN=$sluice
exec "$root/target/interop-tools/kafka-groups/bin/python" "$here/suite.py"

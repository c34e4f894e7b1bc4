#!/usr/bin/env bash
# Transactions of stock Kafka clients, against a broker of its own, which is killed under them.
#   SLUICE_BIN (default: target/release/sluice, else target/debug/sluice), ONLY, SKIP
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
for sluice in "${SLUICE_BIN:-}" "$root/target/release/sluice" "$root/target/debug/sluice"; do
  [ -x "$sluice" ] && break
done
[ -x "$sluice" ] || { echo "no broker: run cargo build --release first" >&2; exit 1; }
"$here/../setup.sh" kafka-python
export SLUICE_BIN=$sluice
exec "$root/target/interop-tools/kafka-python/bin/python" "$here/suite.py"

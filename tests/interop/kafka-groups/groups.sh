#!/usr/bin/env bash
# Stock clients in consumer groups, against a broker of its own, which is killed under them.
#   SLUICE_BIN (default: target/release/sluice, else target/debug/sluice), ONLY, SKIP
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
target=$here/target
for sluice in "${SLUICE_BIN:-}" "$root/target/release/sluice" "$root/target/debug/sluice"; do
  [ -x "$sluice" ] && break
done
[ -x "$sluice" ] || { echo "no broker: run cargo build --release first" >&2; exit 1; }
"$here/../setup.sh" python node java
. "$here/../java/jvm.sh"
build

venv=$(cd "$root/target/interop-tools" && pwd)/kafka-groups
(
  flock 9
  if ! cmp -s "$here/requirements.txt" "$venv/installed"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed"
  fi
  if ! cmp -s "$here/package-lock.json" "$here/node_modules/.installed"; then
    (cd "$here" && npm ci --silent --no-audit --no-fund)
    cp "$here/package-lock.json" "$here/node_modules/.installed"
  fi
) 9>"$venv.lock"
export SLUICE_BIN=$sluice
exec "$venv/bin/python" "$here/suite.py"

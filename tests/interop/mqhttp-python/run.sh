#!/usr/bin/env bash
# The cloud's Python SDK against the broker at HTTP_ADDR; see ../README.md for the environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh python
venv=$(cd ../../../target/interop-tools && pwd)/mqhttp-python
(
  flock 9
  cmp -s requirements.txt "$venv/installed" && exit 0
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
  cp requirements.txt "$venv/installed"
) 9>"$venv.lock"
exec "$venv/bin/python" suite.py

#!/usr/bin/env bash
# The cloud's Python SDK against the broker at HTTP_ADDR; see ../README.md for the environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh mqhttp-python
exec ../../../target/interop-tools/mqhttp-python/bin/python suite.py

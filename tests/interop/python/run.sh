#!/usr/bin/env bash
# The Python suite against the broker at STOMP_ADDR; see ../README.md for the environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh python
exec ../../../target/interop-tools/python/bin/python suite.py

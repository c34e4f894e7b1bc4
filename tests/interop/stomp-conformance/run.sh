#!/usr/bin/env bash
# The conformance suite against the broker at STOMP_ADDR; see README.md and ../README.md for the environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh python
exec python3 -B suite.py "$@"

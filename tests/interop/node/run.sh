#!/usr/bin/env bash
# The Node suite against the broker at STOMP_ADDR; see ../README.md for the environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh node
exec node suite.js

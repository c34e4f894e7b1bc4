#!/usr/bin/env bash
# The suite of @stomp/stompjs in Node against the broker at HTTP_ADDR and STOMP_ADDR; see ../README.md for the
# environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh stompjs
exec node suite.mjs

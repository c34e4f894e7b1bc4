#!/usr/bin/env bash
# The suite of @stomp/stompjs in headless Chromium against the broker at HTTP_ADDR; see ../README.md for the environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh stompjs chromium
exec node suite.mjs

#!/usr/bin/env bash
# The Python suite against the broker at STOMP_ADDR, and HTTP_ADDR for WebSocket; see ../README.md for the environment.
# CLIENT_VERSION=8.1.0 or 9.0.0 is another version of the client than 8.2.0.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh python
exec "../../../target/interop-tools/python${CLIENT_VERSION:+-$CLIENT_VERSION}/bin/python" suite.py

#!/usr/bin/env bash
# The cloud's Node SDK against the broker at HTTP_ADDR; see ../README.md for the environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh mqhttp-node
# The SDK has no setting for the authorities that it trusts; Node has.
[ "${TLS:-}" != 1 ] || export NODE_EXTRA_CA_CERTS=${TLS_CA:?TLS=1 needs TLS_CA, the PEM file of the authority to trust}
exec node suite.js

#!/usr/bin/env bash
# Kafka clients for Node against the broker at KAFKA_ADDR; see ../README.md for the environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh kafka-node
exec node suite.mjs

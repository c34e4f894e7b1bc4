#!/usr/bin/env bash
# Builds the scenarios with the stock clients for Go and runs them against the broker at KAFKA_ADDR.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
../setup.sh kafka-go
exec ../../../target/interop-tools/kafka-go-interop

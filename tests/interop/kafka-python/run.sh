#!/usr/bin/env bash
# Kafka clients for Python, and kcat, against the broker at KAFKA_ADDR; see ../README.md for the environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh kafka-python
exec ../../../target/interop-tools/kafka-python/bin/python suite.py

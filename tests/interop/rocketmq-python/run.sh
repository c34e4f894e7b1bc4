#!/usr/bin/env bash
# The stock RocketMQ client for Python against the broker at NAMESRV_ADDR; see ../README.md for the environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh rocketmq-python
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
# The client writes logs and the offsets of broadcast consumers below the home folder.
HOME=$home ../../../target/interop-tools/rocketmq-python/bin/python suite.py

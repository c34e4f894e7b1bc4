#!/usr/bin/env bash
# Builds the scenarios with the stock client for Go and runs them against the broker at NAMESRV_ADDR.
#   run.sh [EXPRESSION]     those whose name matches the regular expression; all by default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
../setup.sh go
tools=$(cd ../../.. && pwd)/target/interop-tools
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
# Clients in broadcast mode keep their offsets below the home folder.
HOME=$home "$tools/go-interop" "$@"

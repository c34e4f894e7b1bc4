#!/usr/bin/env bash
# Real curl through the HTTP interface of the broker at HTTP_ADDR; see ../README.md for the environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh curl
set +e # scenarios judge for themselves
. ./lib.sh
for part in publish receive transactions read admin access operations errors details; do
  . "./$part.sh"
done
for name in $(declare -F | sed -n 's/^declare -f it_//p'); do
  scenario "${name//_/-}"
done
finish

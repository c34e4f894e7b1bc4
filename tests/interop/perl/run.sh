#!/usr/bin/env bash
# The Perl suite against the broker at STOMP_ADDR; see ../README.md for the environment.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh perl
exec perl suite.pl

#!/usr/bin/env bash
# Runs Orders.java against a broker of its own, over TLS with a certificate made on the spot.
cd "$(dirname "$0")" && . ../lib.sh
"$root/tests/interop/setup.sh" java
find_sluice
"$sluice" cert dev --dir "$scratch/certs"
start_broker SLUICE_TLS__CERT="$scratch/certs/server.pem" SLUICE_TLS__KEY="$scratch/certs/server.key" SLUICE_TLS__MODE=required

got=$(timeout 300 mvn -q -B compile exec:java "-Dexec.args=$NAMESRV_ADDR $scratch/certs/ca.pem") || { echo "$got" >&2; exit 1; }
echo "$got"
expect $'received order-1: three teas, order 1\nreceived order-2: three teas, order 2\nreceived order-3: three teas, order 3' \
  "$(grep ^received <<<"$got" | sort)"

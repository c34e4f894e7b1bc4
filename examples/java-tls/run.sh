#!/usr/bin/env bash
# Runs Orders.java against a broker of its own, over TLS with a certificate made on the spot.
cd "$(dirname "$0")" && . ../lib.sh
"$root/tests/interop/setup.sh" java
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -keyout "$scratch/key.pem" -out "$scratch/cert.pem" 2>/dev/null
start_broker SLUICE_TLS__CERT="$scratch/cert.pem" SLUICE_TLS__KEY="$scratch/key.pem"

got=$(timeout 300 mvn -q -B compile exec:java "-Dexec.args=$NAMESRV_ADDR $scratch/cert.pem")
echo "$got"
expect $'received order-1: three teas, order 1\nreceived order-2: three teas, order 2\nreceived order-3: three teas, order 3' \
  "$(grep ^received <<<"$got" | sort)"

#!/usr/bin/env bash
# Runs orders.rb against a broker of its own: an order posted with curl and its own one must arrive.
cd "$(dirname "$0")" && . ../lib.sh
"$root/tests/interop/setup.sh" ruby curl
start_broker

curl -sSf -d 'one coffee' "http://$HTTP_ADDR/v1/topics/orders/messages?tag=drinks" >/dev/null
got=$(timeout 30 ruby orders.rb)
echo "$got"
expect $'one coffee (drinks)\none tea (drinks)' "$(sort <<<"$got")"

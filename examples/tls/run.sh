#!/usr/bin/env bash
# Makes certificates, starts a broker of its own that takes TLS alone, and publishes to it in four languages.
cd "$(dirname "$0")" && . ../lib.sh
"$root/tests/interop/setup.sh" curl ruby python java
here=$PWD
find_sluice
cd "$scratch"
"$sluice" cert dev
start_broker SLUICE_TLS__CERT=certs/server.pem SLUICE_TLS__KEY=certs/server.key SLUICE_TLS__MODE=required
export HTTP_ADDR=localhost:${HTTP_ADDR##*:} STOMP_ADDR=localhost:${STOMP_ADDR##*:}

sh "$here/hello.sh"
timeout 30 ruby "$here/orders.rb"
timeout 30 "$root/target/interop-tools/python/bin/python" "$here/orders.py"
timeout 60 java -Djavax.net.ssl.trustStore=certs/truststore.p12 -Djavax.net.ssl.trustStorePassword=changeit \
  "$here/Publish.java" "https://$HTTP_ADDR"

got=$(curl -sSf --cacert certs/ca.pem -X POST "https://$HTTP_ADDR/v1/groups/kitchen/receive?topic=orders&max=4&wait=10s")
expect $'one cocoa\none coffee\none juice\none tea' "$(jq -r '.messages[].body' <<<"$got" | sort)"

# Who trusts somebody else, or speaks in plain text, is kept out.
curl -sS "https://$HTTP_ADDR/livez" 2>/dev/null && { echo 'a stranger to the authority was let in' >&2; exit 1; }
expect 400 "$(curl -sS -o /dev/null -w '%{http_code}' "http://$HTTP_ADDR/livez")"
echo 'all four arrived'

#!/usr/bin/env bash
# Opens orders.html in headless Chromium with a broker of its own: an order posted with curl and the page's own one must
# be shown.
cd "$(dirname "$0")" && . ../lib.sh
"$root/tests/interop/setup.sh" stompjs chromium curl python
suite=$root/tests/interop/stompjs

mkdir "$scratch/pages"
cp orders.html "$suite/node_modules/@stomp/stompjs/bundles/stomp.umd.min.js" "$scratch/pages"
python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$scratch/pages" >"$scratch/served" 2>&1 &
pages=$!
trap 'kill "$pages"; rm -rf "$scratch"' EXIT
deadline=$((SECONDS + 30))
until port=$(grep -oPm1 'port \K\d+' "$scratch/served"); do
  [ $SECONDS -lt $deadline ] || { cat "$scratch/served" >&2; echo 'the pages are not served' >&2; exit 1; }
  sleep 0.05
done
start_broker SLUICE_HTTP__WEBSOCKET_ORIGINS="[\"http://localhost:$port\"]"
trap 'kill "$pages"; stop_broker' EXIT

curl -sSf -d 'one coffee' "http://$HTTP_ADDR/v1/topics/orders/messages?tag=drinks" >/dev/null
got=$(timeout 60 node show.cjs "http://localhost:$port/orders.html?broker=$HTTP_ADDR" 2 "$suite/node_modules")
echo "$got"
expect $'one coffee (drinks)\none tea (drinks)' "$(sort <<<"$got")"

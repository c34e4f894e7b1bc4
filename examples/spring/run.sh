#!/usr/bin/env bash
# Runs the application against a broker of its own, with each of two versions of the starter: 2.2.2 on Spring Boot 2.7
# and 2.3.4 on Spring Boot 3.5, or with those named.
cd "$(dirname "$0")" && . ../lib.sh
"$root/tests/interop/setup.sh" java curl
start_broker
# Listeners look for the queues of a topic when they start, and then every half minute: topics come first.
for topic in orders steps news prices payments; do
  curl -fsS -X PUT "http://$HTTP_ADDR/v1/topics/$topic" -H 'Content-Type: application/json' -d '{"queues": 4}' >/dev/null
done

wanted="archive got gift {\"number\":10,\"item\":\"card\",\"amount\":1}
archive got gift {\"number\":3,\"item\":\"flowers\",\"amount\":1}
archive got null {\"number\":5,\"item\":\"napkin\",\"amount\":5}
archive got null {\"number\":6,\"item\":\"napkin\",\"amount\":6}
archive got null {\"number\":7,\"item\":\"napkin\",\"amount\":7}
archive got null {\"number\":8,\"item\":\"napkin\",\"amount\":8}
archive got null {\"number\":9,\"item\":\"napkin\",\"amount\":9}
archive got open {\"number\":2,\"item\":\"broken cup\",\"amount\":1}
archive got paid {\"number\":1,\"item\":\"tea\",\"amount\":3}
archive got paid {\"number\":4,\"item\":\"rice\",\"amount\":12}
asked about paid UNKNOWN
bank got paid COMMIT
bank got paid UNKNOWN
big got rice
kitchen got Order[number=10, item=card, amount=1]
kitchen got Order[number=1, item=tea, amount=3]
kitchen got Order[number=3, item=flowers, amount=1]
kitchen got Order[number=4, item=rice, amount=12]
ledger got blue 1
ledger got blue 2
ledger got blue 3
ledger got red 1
ledger got red 2
ledger got red 3
screen got closed at five
screen got open at nine
the price of flowers is 7
the price of tea is 3"
# Only the client of the older starter can wait for a reply; see README.md.
waited="waited for the price of milk: 4
waited for the price of soap: 4"

[ $# -gt 0 ] || set -- 2.2.2 2.3.4
for version; do
  echo "with starter $version"
  build=(mvn -q -B compile "-Dstarter.version=$version")
  # Asking around costs Maven a while; with everything there it need not.
  "${build[@]}" -o >"$scratch/build" 2>&1 || "${build[@]}" >"$scratch/build" 2>&1 || { cat "$scratch/build" >&2; exit 1; }
  got=$(timeout 240 java "-Drocketmq.client.localOffsetStoreDir=$scratch/offsets" "-Drocketmq.log.root=$scratch/logs" \
    "-Drocketmq.client.logRoot=$scratch/logs" -cp "target/$version/classes:target/$version/lib/*" example.Shop 2>&1) ||
    { echo "$got" >&2; exit 1; }
  lines=$(grep -E '^[a-z]+ got |^asked about|^the price|^waited for' <<<"$got")
  echo "$lines"
  all=$wanted
  [ "$version" != 2.2.2 ] || all+=$'\n'$waited
  expect "$(sort <<<"$all")" "$(sort <<<"$lines")"
  # In order, within each colour.
  for colour in red blue; do
    expect "1 2 3" "$(grep "^ledger got $colour" <<<"$lines" | cut -d' ' -f4 | paste -sd' ')"
  done
done

# Receiving under lease, and settling: ack, nack, extend, dead letters.

handle() { get '.messages[0].handle'; }

# Nothing is left for the group, and nothing is on lease.
drained() {
  call GET "/v1/groups/$G/offsets?topic=$T"
  is 200
  holds '.totalLag == 0 and all(.items[]; .inFlight == 0)'
}

it_receives_under_lease_and_acknowledges() {
  publish m1 '?tag=a'
  receive '&lease=30s'
  holds '.messages[0] | .body == "m1" and .topic == $t and .deliveries == 1 and (.handle | length > 0) and (.leaseUntil | endswith("Z"))
         and (.messageId | length > 0) and (.queue | type == "number") and .offset == 0 and (.publishedAt | endswith("Z"))' --arg t "$T"
  local h
  h=$(handle)
  call POST "/v1/groups/$G/receive?topic=$T" # leased: nobody else gets it
  holds '.messages == []'
  json POST "/v1/groups/$G/ack" "{\"handles\":[\"$h\"]}"
  is 200
  holds '.results == [{"handle":$h,"ok":true}]' --arg h "$h"
  drained
}

it_answers_nothing_as_an_empty_list() {
  one_queue
  call POST "/v1/groups/$G/receive?topic=$T"
  is 200
  holds '.messages == []'
  call POST "/v1/groups/$G/receive?topic=$T&format=raw"
  is 204
  [ ! -s "$work/body" ] || fail "204 with a body"
}

it_waits_for_a_message() {
  one_queue
  (
    sleep 0.5 # so that the receive below is already waiting
    curl -sS "${tls[@]}" "${credentials[@]}" -d early "$base/v1/topics/$T/messages" >/dev/null
  ) &
  call POST "/v1/groups/$G/receive?topic=$T&wait=15s"
  wait
  holds '.messages[0].body == "early"'
}

it_delivers_again_when_a_lease_runs_out() {
  publish again
  receive '&lease=1s'
  local h
  h=$(handle)
  receive
  holds '.messages[0] | .body == "again" and .deliveries == 2'
  call DELETE "/v1/messages/$h"
  problem 410 lease-expired
}

it_acknowledges_with_delete() {
  publish one
  receive
  call DELETE "/v1/messages/$(handle)"
  is 204
  drained
  call DELETE /v1/messages/bm90LWEtaGFuZGxl
  problem 404 unknown-handle
}

it_gives_back_at_once() {
  publish back
  receive
  json POST "/v1/groups/$G/nack" "{\"handles\":[\"$(handle)\"],\"delay\":\"0s\"}"
  is 200
  holds '.results[0].ok'
  receive
  holds '.messages[0] | .body == "back" and .deliveries == 2'
}

it_gives_back_with_a_delay() {
  publish back
  receive
  local started waited
  started=$(millis)
  json POST "/v1/groups/$G/nack" "{\"handles\":[\"$(handle)\"],\"delay\":\"1200ms\"}"
  is 200
  receive
  holds '.messages[0].body == "back"'
  waited=$(($(millis) - started))
  [ $waited -ge 1150 ] || fail "came after $waited ms"
}

it_buries_and_lists_dead_letters() {
  publish poison '?prop.x=1'
  receive
  local id
  id=$(get '.messages[0].messageId')
  json POST "/v1/groups/$G/nack" "{\"handles\":[\"$(handle)\"],\"deadLetter\":true,\"reason\":\"cannot be read\"}"
  is 200
  holds '.results[0].ok'
  drained
  call GET "/v1/groups/$G/dead-letters"
  is 200
  holds '.items | length == 1 and (.[0] | .body == "poison" and .reason == "cannot be read" and .deliveries == 1 and .originalMessageId == $id and .properties.x == "1")' --arg id "$id"
}

it_buries_after_the_last_delivery() {
  json PUT "/v1/groups/$G" '{"maxDeliveries":2}'
  is 201
  publish stubborn
  local i
  for i in 1 2; do
    receive
    json POST "/v1/groups/$G/nack" "{\"handles\":[\"$(handle)\"],\"delay\":\"0s\"}"
    is 200
  done
  eventually 'a dead letter' dead_letter_there
}

dead_letter_there() {
  call GET "/v1/groups/$G/dead-letters"
  jq -e '[.items[].body] == ["stubborn"]' "$work/body" >/dev/null
}

it_extends_a_lease() {
  publish slow
  receive '&lease=4s'
  local h
  h=$(handle)
  json POST "/v1/groups/$G/extend" "{\"handles\":[\"$h\"],\"lease\":\"30s\"}"
  is 200
  holds '.results[0] | .ok and .previous == $h and (.handle | length > 0) and (.leaseUntil | endswith("Z"))' --arg h "$h"
  h=$(get '.results[0].handle')
  call POST "/v1/groups/$G/receive?topic=$T&wait=4500ms" # the first lease would be over by now
  holds '.messages == []'
  json POST "/v1/groups/$G/ack" "{\"handles\":[\"$h\"]}"
  holds '.results[0].ok'
}

it_settles_in_one_call() {
  one_queue
  publish a; publish b; publish c
  receive '&max=3'
  holds '.messages | length == 3'
  json POST "/v1/groups/$G/settle" "$(jq -c '[.messages[].handle] | {ack:[.[0]], nack:[{handle:.[1],delay:"0s"}], deadLetter:[.[2]]}' "$work/body")"
  is 200
  holds '[.results[].action] == ["ack","nack","deadLetter"] and all(.results[]; .ok)'
  receive '&max=3'
  holds '[.messages[].body] == ["b"]'
}

it_reports_each_bad_handle() {
  publish x
  receive
  json POST "/v1/groups/$G/ack" "{\"handles\":[\"$(handle)\",\"nonsense\"]}"
  is 200
  holds '.results | length == 2 and .[0].ok and (.[1] | .ok == false and .code == "unknown-handle" and .handle == "nonsense")'
}

it_settles_itself_when_asked() {
  publish once
  receive '&ack=auto'
  holds '.messages[0] | .body == "once" and (has("handle") | not)'
  eventually 'nothing in flight' settled_itself
}

settled_itself() {
  call GET "/v1/groups/$G/offsets?topic=$T"
  jq -e '.totalLag == 0 and all(.items[]; .inFlight == 0)' "$work/body" >/dev/null
}

it_receives_raw_in_a_shell_loop() {
  local i seen=
  one_queue
  for i in 1 2 3; do publish "line $i" "?tag=t$i&key=k$i&prop.n=$i"; done
  for i in 1 2 3; do
    call POST "/v1/groups/$G/receive?topic=$T&wait=5s&format=raw"
    is 200
    seen+="$(cat "$work/body");"
    has_header x-mq-tag "^t$i$"
    has_header x-mq-key "^k$i$"
    has_header x-mq-prop-n "^$i$"
    has_header x-mq-handle .
    has_header x-content-type-options '^nosniff$'
    call DELETE "/v1/messages/$(header x-mq-handle)"
    is 204
  done
  [ "$seen" = 'line 1;line 2;line 3;' ] || fail "got $seen"
}

it_filters_by_tag() {
  local tag
  for tag in a b c; do publish "$tag" "?tag=$tag"; done
  receive '&max=10&filter=a%7C%7Cc'
  local got
  got=$(get '[.messages[].body] | sort | join("")')
  [ "$got" = ac ] || { receive '&max=10&filter=a%7C%7Cc'; got+=$(get '[.messages[].body] | join("")'); }
  [ "$(fold -w1 <<<"$got" | sort | tr -d '\n')" = ac ] || fail "got $got"
}

it_starts_where_told() {
  one_queue
  publish before
  call POST "/v1/groups/$G/receive?topic=$T&from=latest"
  holds '.messages == []'
  publish after
  receive '&max=10'
  holds '[.messages[].body] == ["after"]'
}

it_shows_bodies_as_asked() {
  publish '{"a":1}'
  receive '&lease=1s&body=json'
  holds '.messages[0].body == {"a":1}'
  receive '&lease=1s&body=base64'
  holds '.messages[0].bodyBase64 == "eyJhIjoxfQ=="'
  receive '&lease=1s&body=none'
  holds '.messages[0] | has("body") or has("bodyBase64") | not'
}

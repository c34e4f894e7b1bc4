# Publishing: one raw message, files, batches as JSON and as lines.

it_publishes_a_raw_body() {
  call POST "/v1/topics/$T/messages" -d hello
  is 201
  has_header location "^/v1/topics/$T/"
  holds '.topic == $t and (.messageId | length > 0) and (.queue | type == "number") and .offset == 0 and (.storedAt | endswith("Z"))' --arg t "$T"
  receive
  # curl's own form content type says nothing about the message.
  holds '.messages[0] | .body == "hello" and (has("contentType") | not) and .deliveries == 1'
}

it_takes_metadata_from_headers() {
  call POST "/v1/topics/$T/messages" --data-binary 'pdf' -H 'Content-Type: application/pdf' -H 'X-MQ-Tag: pdf' \
    -H 'X-MQ-Key: inv-17,inv-18' -H 'X-MQ-Key: third' -H 'X-MQ-Prop-Tenant: acme' -H 'X-MQ-Correlation-Id: c1' -H 'X-MQ-Sharding-Key: s1'
  is 201
  receive
  holds '.messages[0] | .tag == "pdf" and .keys == ["inv-17","inv-18","third"] and .properties.tenant == "acme"
         and .contentType == "application/pdf" and .correlationId == "c1" and .shardingKey == "s1"'
}

it_takes_metadata_from_the_query() {
  publish x "?tag=a&key=k1&key=k2&prop.X-Case=Gr%C3%BC%C3%9Fe&correlationId=c2&shardingKey=s2"
  receive
  holds '.messages[0] | .tag == "a" and .keys == ["k1","k2"] and .properties["X-Case"] == "Grüße" and .correlationId == "c2" and .shardingKey == "s2"'
}

it_uploads_a_file_with_put() {
  head -c 300000 /dev/urandom >"$work/file"
  call PUT "/v1/topics/$T/messages" -T "$work/file"
  is 201
  call POST "/v1/groups/$G/receive?topic=$T&wait=5s&format=raw"
  is 200
  cmp -s "$work/file" "$work/body" || fail "the bytes differ"
  has_header content-type '^application/octet-stream$'
}

it_uploads_in_chunks() {
  head -c 200000 /dev/urandom >"$work/file"
  call POST "/v1/topics/$T/messages" -H 'Transfer-Encoding: chunked' --data-binary "@$work/file"
  is 201
  call POST "/v1/groups/$G/receive?topic=$T&wait=5s&format=raw"
  cmp -s "$work/file" "$work/body" || fail "the bytes differ"
}

it_publishes_over_http2() {
  local flag=--http2-prior-knowledge
  [ "$scheme" = https ] && flag=--http2
  call POST "/v1/topics/$T/messages" "$flag" -d two
  is 201
  grep -q '^HTTP/2 201' "$work/head" || fail "answered with $(head -1 "$work/head")"
}

it_publishes_an_empty_body() {
  call POST "/v1/topics/$T/messages" -d ''
  is 201
  receive
  holds '.messages[0].body == ""'
}

it_keeps_every_byte() {
  printf "$(printf '\\x%02x' $(seq 0 255))" >"$work/file"
  call POST "/v1/topics/$T/messages" --data-binary "@$work/file"
  is 201
  receive
  get '.messages[0].bodyBase64' | base64 -d | cmp -s - "$work/file" || fail "the bytes differ"
}

it_answers_plain_text_when_asked() {
  call POST "/v1/topics/$T/messages" -d x -H 'Accept: text/plain'
  is 201
  has_header content-type '^text/plain'
  local id
  id=$(cat "$work/body")
  receive
  holds '.messages[0].messageId == $id' --arg id "$id"
}

it_delays() {
  local started body
  local -A came
  started=$(millis)
  publish later '?delay=1200ms'
  holds '(.deliverAt | endswith("Z")) and (has("offset") | not)'
  publish now
  for _ in now later; do
    receive
    body=$(get '.messages[0].body') came[$body]=$(($(millis) - started))
  done
  [ -n "${came[now]:-}" ] && [ "${came[later]:-0}" -ge 1150 ] || fail "came after $(declare -p came)"
}

it_refuses_an_unknown_topic_when_told() {
  call POST "/v1/topics/$T/messages?create=false" -d x
  problem 404 topic-not-found
}

it_publishes_a_json_batch() {
  one_queue
  json POST "/v1/topics/$T/messages:batch" '{"messages":[
    {"body":"plain","tag":"a","keys":["k1"],"properties":{"X":"1"}}, {"body":{"any":"json"}}, {"bodyBase64":"AAH/gA=="}]}'
  is 201
  holds '.accepted == 3 and .rejected == 0 and (.results | length == 3 and all(.ok and (.messageId | length > 0)))
         and [.results[].offset] == [0,1,2]'
  receive '&max=10'
  holds '.messages | length == 3 and .[0].body == "plain" and .[0].tag == "a" and .[0].properties.X == "1"
         and .[1].body == "{\"any\":\"json\"}" and .[1].contentType == "application/json" and .[2].bodyBase64 == "AAH/gA=="'
}

it_publishes_a_batch_to_several_topics() {
  json POST /v1/messages:batch "{\"messages\":[{\"topic\":\"$T-1\",\"body\":\"a\"},{\"topic\":\"$T-2\",\"body\":\"b\"}]}"
  is 201
  holds '[.results[].topic] == [$t + "-1", $t + "-2"]' --arg t "$T"
}

it_reports_what_a_batch_refuses() {
  json POST "/v1/topics/$T/messages:batch" '{"messages":[{"body":"a"},{"body":"b","delay":"100000h"}]}'
  is 200
  holds '.accepted == 1 and .rejected == 1 and .results[0].ok and (.results[1] | .ok == false and .code == "delay-too-long" and (.detail | length > 0))'
}

it_stores_nothing_of_a_batch_that_is_wrong() {
  json POST "/v1/topics/$T/messages:batch" '{"messages":[{"body":"a"},{"body":"b","typo":1}]}'
  problem 400 invalid-json
  call GET "/v1/topics/$T"
  problem 404 topic-not-found
}

it_publishes_lines() {
  printf '%s\n' '{"body":"one","tag":"a"}' '{"body":' '{"bodyBase64":"AA=="}' >"$work/lines"
  call POST "/v1/topics/$T/messages:batch" -H 'Content-Type: application/x-ndjson' --data-binary "@$work/lines"
  is 200
  has_header content-type '^application/x-ndjson'
  jq -s -e 'length == 3 and .[0].ok and (.[1] | .ok == false and .code == "invalid-json") and .[2].ok' "$work/body" >/dev/null ||
    fail "reports: $(head -c 300 "$work/body")"
  receive '&max=10'
  local first
  first=$(jq '.messages | length' "$work/body")
  [ "$first" = 2 ] || { receive '&max=10'; first=$((first + $(jq '.messages | length' "$work/body"))); }
  [ "$first" = 2 ] || fail "$first messages"
}

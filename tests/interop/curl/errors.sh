# Every failure is a problem document, wherever it is raised.

it_reports_unknown_routes() {
  call GET /nowhere
  problem 404 not-found
  call POST "/v1/topics/$T/nowhere" -d x
  problem 404 not-found
}

it_reports_wrong_methods() {
  call PATCH "/v1/topics/$T/messages" -d x
  problem 405 method-not-allowed
  has_header allow 'POST'
}

it_reports_bodies_that_are_too_large() {
  head -c $((5 << 20)) /dev/zero >"$work/file"
  call POST "/v1/topics/$T/messages" --data-binary "@$work/file"
  problem 413 message-too-large
  holds '.limit > 0'
  call POST "/v1/topics/$T/messages" -H 'Transfer-Encoding: chunked' -H 'Expect:' --data-binary "@$work/file"
  problem 413 message-too-large
}

it_takes_the_largest_body() {
  head -c $((4 << 20)) /dev/urandom >"$work/file"
  call POST "/v1/topics/$T/messages" --data-binary "@$work/file"
  is 201
  call POST "/v1/groups/$G/receive?topic=$T&wait=5s&format=raw"
  cmp -s "$work/file" "$work/body" || fail 'the bytes differ'
}

it_reports_bad_json() {
  json POST "/v1/topics/$T/messages:batch" '{"messages":'
  problem 400 invalid-json
  json PUT "/v1/topics/$T" '{"qeues":4}'
  problem 400 invalid-json
  grep -q qeues "$work/body" || fail 'does not name the field'
  json PUT "/v1/topics/$T" '{"queues":"four"}'
  problem 400 invalid-json
}

it_reports_unknown_parameters() {
  call POST "/v1/groups/$G/receive?topic=$T&maximum=3"
  problem 400 unknown-parameter
  grep -q maximum "$work/body" || fail 'does not name the parameter'
}

it_reports_bad_parameters() {
  call POST "/v1/groups/$G/receive?topic=$T&max=0"
  problem 400 invalid-parameter
  call POST "/v1/groups/$G/receive?topic=$T&wait=soon"
  problem 400 invalid-parameter
  call POST "/v1/groups/$G/receive"
  problem 400 missing-parameter
}

it_reports_bad_names() {
  call POST "/v1/topics/no%20blanks/messages" -d x
  problem 400 invalid-name
}

it_reports_unknown_topics_and_groups() {
  call GET "/v1/topics/$T"
  problem 404 topic-not-found
  call GET "/v1/topics/$T/queues/0/messages"
  problem 404 topic-not-found
  call GET "/v1/topics/$T/stream"
  problem 404 topic-not-found
  call GET "/v1/groups/$G/offsets"
  problem 404 group-not-found
  json POST "/v1/groups/$G/ack" '{"handles":["x"]}'
  problem 404 group-not-found
}

it_reports_wrong_media_types() {
  call POST "/v1/topics/$T/messages:batch" -H 'Content-Type: text/csv' -d 'a,b'
  problem 415 unsupported-media-type
  has_header accept-post 'application/json'
  call POST "/v1/topics/$T/messages" -H 'Accept: image/png' -d x
  problem 406 not-acceptable
}

it_reports_delays_that_are_too_long() {
  call POST "/v1/topics/$T/messages?delay=100000h" -d x
  problem 422 delay-too-long
}

it_keeps_system_topics() {
  publish poison
  receive
  json POST "/v1/groups/$G/nack" "{\"handles\":[\"$(get '.messages[0].handle')\"],\"deadLetter\":true}"
  is 200
  call DELETE "/v1/topics/%25DLQ%25$G"
  problem 403 system-topic
  call GET "/v1/topics?prefix=%25DLQ%25$G"
  holds '.items == []'
}

it_keeps_a_connection_after_an_error() {
  local line
  line=$(curl -sS "${tls[@]}" "${credentials[@]}" -o /dev/null -o /dev/null -w '%{http_code} %{num_connects}\n' \
    "$base/v1/topics/$T" "$base/v1/version" | tr '\n' ' ')
  [ "$line" = '404 1 200 0 ' ] || fail "got $line"
}

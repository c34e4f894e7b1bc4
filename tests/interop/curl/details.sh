# What scripts that must not do a thing twice, pages and proxies ask for.

it_stores_under_a_key_once() {
  call POST "/v1/topics/$T/messages" -H 'Idempotency-Key: order-17' -d hello
  is 201
  cp "$work/body" "$work/first"
  call POST "/v1/topics/$T/messages" -H 'Idempotency-Key: "order-17"' -d hello
  is 201
  has_header idempotency-replayed '^true$'
  cmp -s "$work/first" "$work/body" || fail 'another answer than the first time'
  call POST "/v1/topics/$T/messages" -H 'Idempotency-Key: order-17' -d other
  problem 422 idempotency-mismatch
  receive '&max=10'
  holds '.messages | length == 1'
}

it_puts_under_an_id_of_its_own() {
  call PUT "/v1/topics/$T/messages/order-17" -d hello
  is 201
  holds '.messageId == "order-17"'
  call PUT "/v1/topics/$T/messages/order-17" -d hello
  is 200
  call PUT "/v1/topics/$T/messages/order-17" -d other
  problem 409 conflict
}

it_stores_packed_bodies_plain() {
  printf 'hello' | gzip >"$work/packed"
  call POST "/v1/topics/$T/messages" -H 'Content-Encoding: gzip' --data-binary "@$work/packed"
  is 201
  receive
  holds '.messages[0].body == "hello"'
  head -c $((32 << 20)) /dev/zero | gzip >"$work/packed"
  call POST "/v1/topics/$T/messages" -H 'Content-Encoding: gzip' --data-binary "@$work/packed"
  problem 413 body-too-large
  call POST "/v1/topics/$T/messages" -H 'Content-Encoding: lzma' -d x
  problem 415 unsupported-media-type
  has_header accept-encoding gzip
}

it_answers_packed_for_who_asks() {
  call GET /openapi.json --compressed
  is 200
  has_header content-encoding '^(zstd|br|gzip)$'
  has_header vary accept-encoding
  holds '.openapi | startswith("3.1")'
}

it_passes_requests_and_replies() {
  publish first
  receive
  (
    deadline=$((SECONDS + 30))
    until [ $SECONDS -gt $deadline ]; do
      curl -sS "${tls[@]}" "${credentials[@]}" -X POST "$base/v1/groups/$G/receive?topic=$T&wait=5s" -o "$work/asked"
      reply_to=$(jq -r '.messages[0].replyTo // empty' "$work/asked")
      [ -z "$reply_to" ] || { curl -sS "${tls[@]}" "${credentials[@]}" -d '17 & more' "$base$reply_to"; break; }
    done
  ) &
  call POST "/v1/topics/$T/request?timeout=40s" -d 'how much?'
  wait
  is 200
  [ "$(cat "$work/body")" = '17 & more' ] || fail 'another reply'
}

it_changes_what_nobody_else_has_changed() {
  json PUT "/v1/topics/$T" '{"queues":1}'
  is 201
  tag=$(header etag)
  call GET "/v1/topics/$T" -H "If-None-Match: $tag"
  is 304
  call PATCH "/v1/topics/$T" -H "If-Match: $tag" -H 'Content-Type: application/json' -d '{"queues":2}'
  is 200
  call PATCH "/v1/topics/$T" -H "If-Match: $tag" -H 'Content-Type: application/json' -d '{"queues":3}'
  problem 412 precondition-failed
}

it_writes_for_eyes_and_for_doubles() {
  publish x
  call POST "/v1/groups/$G/receive?topic=$T&wait=5s&pretty&int64=string"
  is 200
  [ "$(wc -l <"$work/body")" -gt 10 ] || fail 'on one line'
  holds '.messages[0].offset == "0"'
}

it_refuses_pages_of_strangers() {
  call OPTIONS "/v1/topics/$T/messages" -H 'Origin: https://evil.example' -H 'Access-Control-Request-Method: POST'
  problem 403 forbidden
  [ -z "$(header access-control-allow-origin)" ] || fail 'allows the origin'
}

# Reading without taking: browsing, tailing as server-sent events and as lines; streams of a group.

it_browses_by_offset() {
  one_queue
  publish a; publish b; publish c
  call GET "/v1/topics/$T/queues/0/messages?offset=1&limit=1"
  is 200
  holds '[.messages[].body] == ["b"] and .nextOffset == 2 and .beginOffset == 0 and .endOffset == 3 and .next == "2"'
  call GET "/v1/topics/$T/queues/0/messages?offset=-1"
  holds '[.messages[].body] == ["c"] and .next == null'
  call GET "/v1/topics/$T/queues/0/messages"
  holds '[.messages[].body] == ["a","b","c"]'
  call GET "/v1/topics/$T/queues/0/messages?offset=99"
  is 200
  holds '.messages == [] and .endOffset == 3'
  call GET "/v1/topics/$T/queues/7/messages"
  [ "$status" = 404 ] || [ "$status" = 400 ] || fail "status $status for a queue that does not exist"
}

# tail_into TARGET [curl's arguments]: streams into $work/stream until the scenario is over.
tail_into() {
  rm -f "$work/stream-head"
  : >"$work/stream"
  curl -sSN --max-time 120 "${tls[@]}" "${credentials[@]}" -D "$work/stream-head" "${@:2}" "$base$1" >"$work/stream" 2>&1 &
  tails+=($!)
  trap 'kill "${tails[@]}" 2>/dev/null' EXIT
  eventually 'an open stream' grep -qs '^HTTP/.* 200' "$work/stream-head"
}

# streamed FILTER...: the filter is true of the list of messages streamed so far.
streamed() {
  sed -n 's/^data: //; /^{/p' "$work/stream" | jq -se "[.[] | select(has(\"messageId\"))] | $1" >/dev/null 2>&1
}

it_tails_as_server_sent_events() {
  one_queue
  publish before
  tail_into "/v1/topics/$T/stream" -H 'Accept: text/event-stream'
  grep -qi '^content-type: text/event-stream' "$work/stream-head" || fail "$(cat "$work/stream-head")"
  publish one '?tag=a'; publish two
  eventually 'two events' streamed '[.[].body] == ["one","two"] and .[0].tag == "a"'
  grep -q '^event: message' "$work/stream" || fail 'no event name'
  local last
  last=$(sed -n 's/^id: *//p' "$work/stream" | tr -d '\r' | sed -n 1p)
  [ -n "$last" ] || fail 'no event id'
  tail_into "/v1/topics/$T/stream" -H 'Accept: text/event-stream' -H "Last-Event-ID: $last"
  eventually 'the event behind the last one seen' streamed '[.[].body] == ["two"]'
}

it_tails_as_lines() {
  one_queue
  publish a '?tag=a'; publish b '?tag=b'
  tail_into "/v1/topics/$T/stream?from=earliest&filter=a&format=ndjson"
  grep -qi '^content-type: application/x-ndjson' "$work/stream-head" || fail "$(cat "$work/stream-head")"
  eventually 'the tagged one' streamed '[.[].body] == ["a"]'
  publish b '?tag=b'; publish c '?tag=a'
  eventually 'the next tagged one' streamed '[.[].body] == ["a","c"]'
}

it_streams_to_a_group() {
  one_queue
  publish a
  tail_into "/v1/groups/$G/stream?topic=$T&from=earliest&format=ndjson"
  publish b
  eventually 'two deliveries' streamed '[.[].body] == ["a","b"] and all(.[]; .deliveries == 1 and (.handle | length > 0))'
  json POST "/v1/groups/$G/ack" "$(sed -n '/^{/p' "$work/stream" | jq -sc '{handles:[.[] | .handle // empty]}')"
  is 200
  holds 'all(.results[]; .ok)'
}

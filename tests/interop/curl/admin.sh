# Topics, groups, offsets.

it_makes_reads_and_deletes_a_topic() {
  json PUT "/v1/topics/$T" '{"queues":4,"attributes":{"team":"billing"}}'
  is 201
  holds '.name == $t and .queues == 4 and .attributes.team == "billing"' --arg t "$T"
  json PUT "/v1/topics/$T" '{"queues":4,"attributes":{"team":"billing"}}'
  is 200
  call GET "/v1/topics/$T"
  is 200
  holds '.queues == 4 and .messages == 0 and (.offsets | length == 4) and (.createdAt | endswith("Z"))'
  json PATCH "/v1/topics/$T" '{"attributes":{"team":"shipping"}}'
  is 200
  holds '.queues == 4 and .attributes.team == "shipping"'
  call DELETE "/v1/topics/$T"
  is 204
  call GET "/v1/topics/$T"
  problem 404 topic-not-found
  call DELETE "/v1/topics/$T"
  problem 404 topic-not-found
}

it_lists_topics_in_pages() {
  local i names= cursor= page
  for i in 1 2 3; do json PUT "/v1/topics/$T-$i" '{}'; is 201; done
  for page in 1 2; do
    call GET "/v1/topics?prefix=$T&limit=2${cursor:+&cursor=$cursor}"
    is 200
    names+=" $(get '[.items[].name] | join(" ")')"
    cursor=$(get '.next // empty' | jq -Rr @uri)
  done
  [ "$names" = " $T-1 $T-2 $T-3" ] && [ -z "$cursor" ] || fail "got $names, next $cursor"
}

it_keeps_a_typed_topic_to_its_type() {
  json PUT "/v1/topics/$T" '{"type":"FIFO"}'
  is 201
  call POST "/v1/topics/$T/messages?delay=5s&shardingKey=a" -d x
  problem 422 type-mismatch
}

it_makes_reads_and_deletes_a_group() {
  json PUT "/v1/groups/$G" '{"maxDeliveries":5,"consumeFrom":"latest"}'
  is 201
  json PUT "/v1/groups/$G" '{"maxDeliveries":5,"consumeFrom":"latest"}'
  is 200
  call GET "/v1/groups/$G"
  is 200
  holds '.name == $g and .maxDeliveries == 5 and .consumeFrom == "latest"' --arg g "$G"
  call GET "/v1/groups?prefix=$G"
  holds '[.items[].name] == [$g]' --arg g "$G"
  call GET "/v1/groups/$G/members"
  is 200
  holds '.items == []'
  call DELETE "/v1/groups/$G"
  is 204
  call GET "/v1/groups/$G"
  problem 404 group-not-found
}

it_shows_and_moves_offsets() {
  one_queue
  publish a; publish b; publish c
  receive
  json POST "/v1/groups/$G/ack" "{\"handles\":[\"$(get '.messages[0].handle')\"]}"
  receive
  call GET "/v1/groups/$G/offsets?topic=$T"
  is 200
  holds '.totalLag == 2 and (.items | length == 1) and (.items[0] | .topic == $t and .queue == 0 and .committed == 1 and .begin == 0 and .end == 3 and .lag == 2 and .inFlight == 1)' --arg t "$T"
  call DELETE "/v1/messages/$(curl_handle)"
  json PUT "/v1/groups/$G/offsets" "{\"offsets\":[{\"topic\":\"$T\",\"queue\":0,\"offset\":0}]}"
  is 200
  holds '.items[0] | .committed == 0 and .lag == 3'
  receive '&max=10'
  holds '[.messages[].body] == ["a","b","c"]'
  json POST "/v1/groups/$G/offsets:reset" "{\"topic\":\"$T\",\"to\":\"latest\",\"dryRun\":true}"
  is 200
  holds '.items[0].committed == 3'
  json POST "/v1/groups/$G/offsets:reset" "{\"topic\":\"$T\",\"to\":\"latest\"}"
  is 200
  call GET "/v1/groups/$G/offsets?topic=$T"
  holds '.totalLag == 0'
}

# Gives back what the last receive took, whatever it was.
curl_handle() {
  curl -sS "${tls[@]}" "${credentials[@]}" -X POST "$base/v1/groups/$G/receive?topic=$T" | jq -r '.messages[0].handle // "none"'
}

it_finds_offsets_by_time() {
  one_queue
  publish a
  call GET "/v1/topics/$T/offsets?time=latest"
  is 200
  holds '.items == [{"queue":0,"offset":1}]'
  call GET "/v1/topics/$T/offsets?time=2020-01-01T00:00:00Z"
  holds '.items == [{"queue":0,"offset":0}]'
}

it_resets_to_a_time() {
  one_queue
  publish a
  receive '&ack=auto'
  eventually 'nothing in flight' settled_itself
  json POST "/v1/groups/$G/offsets:reset" "{\"topic\":\"$T\",\"to\":\"timestamp\",\"timestamp\":\"2020-01-01T00:00:00Z\",\"force\":true}"
  is 200
  receive
  holds '[.messages[].body] == ["a"]'
}

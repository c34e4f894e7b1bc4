# Transactions: prepared, ended, and asked about; and what SQL lets through.

prepare() { # prepare BODY [query]: the transaction is then in $X
  call POST "/v1/topics/$T/messages?transaction=prepare&producerGroup=$G-p${2:-}" --data-binary "$1"
  is 202
  holds '(.transactionId | length > 0) and (.messageId | length > 0) and (.expiresAt | endswith("Z"))'
  X=$(get .transactionId)
}

finish_it() { call POST "/v1/transactions/$1:$2"; }

it_shows_a_prepared_message_once_it_is_committed() {
  one_queue
  prepare dropped
  finish_it "$X" rollback
  is 204
  prepare kept '&tag=a'
  call POST "/v1/groups/$G/receive?topic=$T"
  holds '.messages == []'
  call GET "/v1/transactions?topic=$T"
  is 200
  holds '[.items[].transactionId] == [$x]' --arg x "$X"
  finish_it "$X" commit
  is 204
  finish_it "$X" commit # told twice
  is 204
  finish_it "$X" rollback
  problem 409 transaction-decided
  call POST "/v1/groups/$G/receive?topic=$T&max=10"
  holds '[.messages[] | {body, tag, type}] == [{"body":"kept","tag":"a","type":"TRANSACTION"}]'
  finish_it 00000000000000ff commit
  problem 404 transaction-not-found
}

asked() {
  call POST "/v1/producer-groups/$G-p/checks:receive?wait=5s"
  is 200
  [ "$(get '.messages | length')" = 1 ]
}

it_asks_whoever_comes_for_what_nobody_ended() {
  one_queue
  prepare open '&checkAfter=1s'
  eventually "the check" asked
  holds '.messages[0] | .body == "open" and .transactionId == $x and .checks == 1' --arg x "$X"
  finish_it "$X" commit
  is 204
  receive
  holds '.messages[0].body == "open"'
}

it_selects_by_sql() {
  one_queue
  publish cheap '?prop.price=5'
  publish dear '?prop.price=12.5'
  publish none
  call POST "/v1/groups/$G/receive" -G --data-urlencode "topic=$T" --data-urlencode 'sql=price > 10 AND TAGS IS NULL' -d max=10
  is 200
  holds '[.messages[].body] == ["dear"]'
  call POST "/v1/groups/$G/receive" -G --data-urlencode "topic=$T" --data-urlencode 'sql=price >'
  problem 400 invalid-parameter
  holds '.detail | contains("at column 8")'
}

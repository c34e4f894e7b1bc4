# Users, roles and policies: made, used by who was made, explained, and taken away again.

if [ -n "${AUTH_USER:-}${BEARER:-}" ]; then
  as() { # as SECRET METHOD TARGET [curl's arguments]: a call as the user of this scenario
    anonymous "$2" "$3" -u "$T-user:$1" "${@:4}"
  }

  it_makes_a_user_lets_it_in_and_takes_it_away() {
    local post=(POST "/v1/topics/$T/messages" --data-binary x)
    one_queue
    as first-secret "${post[@]}"
    problem 401 unauthenticated
    json PUT "/v1/users/$T-user" '{"secret":"first-secret","password":"a-password"}'
    is 201
    holds '.name == $u and .hasPassword and .accessKeys == [$u] and .superuser == false' --arg u "$T-user"
    grep -q -e first-secret -e a-password -e argon2 "$work/body" && fail 'a secret came back'
    as first-secret GET /v1/whoami
    is 200
    holds '.principal == $u' --arg u "$T-user"
    as first-secret "${post[@]}"
    problem 403 forbidden
    holds '.detail | contains("User:" + $u) and contains("Pub Topic:" + $t)' --arg u "$T-user" --arg t "$T"
    json PUT /v1/acls "{\"subject\":\"$T-user\",\"resource\":\"Topic:$T\",\"actions\":[\"Pub\"]}"
    is 200
    as first-secret "${post[@]}"
    is 201
    as a-password "${post[@]}"
    is 201
    call GET "/v1/acls?subject=$T-user"
    is 200
    holds '.items == [{"subject":$u,"resource":("Topic:" + $t),"actions":["Pub"],"decision":"allow","sourceIps":[]}]' \
      --arg u "$T-user" --arg t "$T"
    call DELETE "/v1/users/$T-user"
    is 204
    as first-secret "${post[@]}"
    problem 401 unauthenticated
    call GET "/v1/users/$T-user"
    problem 404 user-not-found
  }

  it_replaces_a_secret_and_disables_a_user() {
    json PUT "/v1/users/$T-user" '{"secret":"first-secret"}'
    is 201
    json PUT "/v1/users/$T-user" '{"secret":"second-secret"}'
    is 200
    as first-secret GET /v1/whoami
    problem 401 unauthenticated
    as second-secret GET /v1/whoami
    is 200
    json PUT "/v1/users/$T-user" '{"enabled":false}'
    is 200
    as second-secret GET /v1/whoami
    problem 401 unauthenticated
    call DELETE "/v1/users/$T-user"
    is 204
  }

  it_lends_rights_through_a_role() {
    json PUT "/v1/roles/$T-role" '{"quota":{"messagesPerSecond":1000}}'
    is 201
    json PUT "/v1/users/$T-user" "{\"secret\":\"first-secret\",\"roles\":[\"$T-role\"]}"
    is 201
    as first-secret POST "/v1/topics/$T/messages" --data-binary x
    problem 403 forbidden
    json PUT /v1/acls "{\"subject\":\"Role:$T-role\",\"resource\":\"Topic:$T\",\"actions\":[\"Pub\",\"Create\"]}"
    is 200
    as first-secret POST "/v1/topics/$T/messages" --data-binary x
    is 201
    call GET "/v1/roles/$T-role"
    holds '.quota == {"messagesPerSecond":1000}'
    call DELETE "/v1/roles/$T-role"
    problem 409 conflict
    call DELETE "/v1/users/$T-user"
    is 204
    call DELETE "/v1/roles/$T-role"
    is 204
  }

  it_makes_tokens_and_ends_them() {
    json PUT "/v1/users/$T-user" '{}'
    is 201
    json POST "/v1/users/$T-user/tokens" '{"label":"ci","expiresIn":"1h"}'
    is 201
    local token id
    token=$(get .token) id=$(get .id)
    anonymous GET /v1/whoami -H "Authorization: Bearer $token"
    is 200
    holds '.principal == $u' --arg u "$T-user"
    call GET "/v1/users/$T-user/tokens"
    holds '.items | length == 1 and .[0].label == "ci"'
    grep -qF "$token" "$work/body" && fail 'a token is shown again'
    call DELETE "/v1/users/$T-user/tokens/$id"
    is 204
    anonymous GET /v1/whoami -H "Authorization: Bearer $token"
    problem 401 unauthenticated
    call DELETE "/v1/users/$T-user"
    is 204
  }

  it_rotates_a_secret_while_clients_change_over() {
    json PUT "/v1/users/$T-user" '{"secret":"first-secret"}'
    is 201
    call POST "/v1/users/$T-user/secret:rotate"
    is 200
    local secret
    secret=$(get .secret)
    for live in first-secret "$secret"; do
      anonymous GET '/v1/topics?limit=1' --aws-sigv4 aws:amz:local:mq -u "$T-user:$live"
      is 200
    done
    call DELETE "/v1/users/$T-user/secret"
    is 204
    as first-secret GET /v1/whoami
    problem 401 unauthenticated
    as "$secret" GET /v1/whoami
    is 200
    call DELETE "/v1/users/$T-user"
    is 204
  }

  it_limits_what_a_group_receives() {
    one_queue
    json PUT "/v1/groups/$G/quota" '{"messagesPerSecond":1,"inFlight":50}'
    is 200
    call GET /v1/quotas
    holds 'any(.items[]; .group == $g and .quota.inFlight == 50)' --arg g "$G"
    json POST "/v1/topics/$T/messages:batch" "$(jq -nc '{messages: [range(20) | {body: "m\(.)"}]}')"
    is 201
    receive '&max=20&from=earliest' # more than a second's worth: what follows waits for many
    call POST "/v1/groups/$G/receive?topic=$T"
    problem 429 quota-exceeded
    has_header retry-after '^[1-9]'
    call DELETE "/v1/groups/$G/quota"
    is 204
    call POST "/v1/groups/$G/receive?topic=$T"
    [ "$status" = 204 ] || is 200
  }

  it_reads_the_audit_trail() {
    call GET '/v1/audit?limit=1000'
    is 200
    local last
    last=$(get .next)
    as wrong-secret GET /v1/whoami
    problem 401 unauthenticated
    call GET "/v1/audit?after=$last"
    holds 'any(.items[]; .kind == "login_failed" and .user == $u)' --arg u "$T-user"
  }

  it_explains_a_decision() {
    local rule="{\"subject\":\"$T-user\",\"resource\":\"Topic:$T*\",\"actions\":[\"Pub\"]"
    json PUT "/v1/users/$T-user" '{}'
    is 201
    json POST /v1/acls "$rule}"
    is 200
    json POST /v1/acls "$rule,\"decision\":\"deny\",\"sourceIps\":[\"10.0.0.0/8\"]}"
    is 200
    json POST /v1/acls:explain "{\"user\":\"$T-user\",\"action\":\"Pub\",\"resource\":\"Topic:$T-1\",\"source\":\"10.1.2.3\"}"
    is 200
    holds '.decision == "deny" and [.rules[] | .rule.decision + " " + .part] == ["deny decided", "allow outvoted"]'
    json POST /v1/acls:explain "{\"user\":\"$T-user\",\"action\":\"Pub\",\"resource\":\"Topic:$T-1\",\"source\":\"11.1.2.3\"}"
    holds '.decision == "allow" and [.rules[] | .rule.decision + " " + .part] == ["allow decided", "deny otherSource"]'
    call DELETE "/v1/acls?subject=$T-user&resource=Topic:$T*"
    is 200
    holds '.removed == 2 and .kept == 0'
    json POST /v1/acls:explain "{\"user\":\"$T-user\",\"action\":\"Pub\",\"resource\":\"Topic:$T-1\"}"
    holds '.decision == "deny" and .rules == []'
    call DELETE "/v1/users/$T-user"
    is 204
  }
else
  it_has_no_users_while_open() {
    call GET /v1/users
    is 200
    holds '.items == []'
    call GET /v1/acls
    holds '.items == []'
    json PUT "/v1/users/$T-user" '{"secret":"secret"}'
    problem 501 unsupported
  }
fi

it_refuses_misspelt_users_without_repeating_them() {
  json PUT "/v1/users/$T-user" '{"accessKeys":["my-secret"]}'
  problem 400 invalid-json
  grep -q my-secret "$work/body" && fail 'what was sent came back'
  holds '.errors[0].pointer == "/accessKeys/0"'
}

# Health, metrics, the interface's own description, who one is.

it_is_alive_and_ready() {
  local path
  for path in /livez /healthz /readyz; do
    anonymous GET "$path"
    is 200
    anonymous GET "$path?verbose"
    is 200
    holds '.status == "ok" and all(.checks[]; .ok)'
  done
}

it_shows_metrics() {
  publish x
  call GET /metrics
  is 200
  has_header content-type '^text/plain; version=0\.0\.4'
  grep -q '^sluice_' "$work/body" || fail 'no metric of its own'
  grep -q '^# TYPE sluice_' "$work/body" || fail 'no types'
}

it_describes_itself() {
  call GET /openapi.json
  is 200
  holds '.openapi | startswith("3.1")'
  holds '.paths["/v1/topics/{topic}/messages"] | has("post") and has("put")'
  holds '.paths["/v1/groups/{group}/receive"].post.responses | has("200")'
}

it_says_who_and_what_it_is() {
  call GET /v1/version
  is 200
  holds '.version | length > 0'
  call GET /v1/whoami
  is 200
}

it_answers_head_and_options() {
  one_queue
  call HEAD "/v1/topics/$T" -I
  is 200
  call OPTIONS "/v1/topics/$T"
  is 204
  has_header allow 'GET'
}

it_echoes_the_request_id() {
  call GET /v1/version -H 'X-Request-Id: my-id-17'
  has_header x-request-id '^my-id-17$'
  call GET /v1/version
  has_header x-request-id .
}

if [ -n "${AUTH_USER:-}${BEARER:-}" ]; then
  it_refuses_strangers() {
    anonymous POST "/v1/topics/$T/messages" -d x
    problem 401 unauthenticated
    has_header www-authenticate Basic
    has_header www-authenticate Bearer
  }
fi

if [ -n "${AUTH_USER:-}" ]; then
  it_knows_users_by_password() {
    anonymous GET /v1/whoami -u "$AUTH_USER:$AUTH_PASSWORD"
    is 200
    grep -qF "$AUTH_USER" "$work/body" || fail 'does not say who'
    anonymous GET /v1/whoami -u "$AUTH_USER:certainly wrong"
    problem 401 unauthenticated
    has_header www-authenticate Basic
  }

  it_knows_users_by_signature() {
    local sign=(--aws-sigv4 aws:amz:local:mq -u "$AUTH_USER:$AUTH_PASSWORD")
    anonymous GET "/v1/topics?prefix=$T&limit=3" "${sign[@]}"
    is 200
    anonymous POST "/v1/topics/$T/messages?tag=b&key=a%2Cb" "${sign[@]}" -H 'X-MQ-Prop-Colour: red' -d signed
    is 201
    anonymous POST "/v1/topics/$T/messages" "${sign[@]}" -T /dev/null -H 'X-MQ-Tag: b'
    is 201
    anonymous POST "/v1/topics/$T/messages" "${sign[@]}x" -d signed
    problem 401 bad-signature
    anonymous POST "/v1/topics/$T/messages" "${sign[@]}" -T operations.sh
    problem 401 bad-signature
    anonymous GET /v1/topics "${sign[@]}" -H 'X-Amz-Date: 20200101T000000Z'
    problem 401 unauthenticated # curl sends the date twice
  }

  it_knows_users_by_the_signature_of_the_cloud() {
    local target="/v1/topics/$T/messages?tag=b" date signature
    date=$(LC_ALL=C TZ=GMT date '+%a, %d %b %Y %H:%M:%S GMT')
    signature=$(printf 'POST\n\ntext/plain\n%s\n%s' "$date" "$target" |
      openssl dgst -sha1 -hmac "$AUTH_PASSWORD" -binary | base64)
    set -- -H "Date: $date" -H 'Content-Type: text/plain' -H "Authorization: MQ $AUTH_USER:$signature" -d signed
    anonymous POST "$target" "$@"
    is 201
    anonymous POST "${target}c" "$@"
    problem 401 bad-signature
  }
fi

if [ -n "${BEARER:-}" ]; then
  it_knows_users_by_token() {
    anonymous GET /v1/whoami -H "Authorization: Bearer $BEARER"
    is 200
    anonymous GET /v1/whoami -H "Authorization: Bearer ${BEARER}x"
    problem 401 unauthenticated
    has_header www-authenticate 'error="invalid_token"'
  }
fi

if [ -n "${ACL_LIMITED_USER:-}" ]; then
  it_refuses_what_a_user_may_not() {
    anonymous POST "/v1/topics/$T/messages" -u "$ACL_LIMITED_USER:$ACL_LIMITED_SECRET" -d x
    is 201
    anonymous POST /v1/topics/forbidden/messages -u "$ACL_LIMITED_USER:$ACL_LIMITED_SECRET" -d x
    problem 403 forbidden
  }
fi

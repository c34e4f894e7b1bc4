# Calls a broker with the real curl and judges the answers with jq; sourced by run.sh.
#
# The address comes from HTTP_ADDR (host:port), TLS and TLS_CA; AUTH_USER and AUTH_PASSWORD, or
# BEARER, authenticate every call. A scenario runs in a subshell and ends at its first failure.

scheme=http tls=()
[ "${TLS:-}" = 1 ] && { scheme=https; tls=(--cacert "$TLS_CA"); }
base=$scheme://$HTTP_ADDR
credentials=()
if [ -n "${AUTH_USER:-}" ]; then credentials=(-u "$AUTH_USER:$AUTH_PASSWORD")
elif [ -n "${BEARER:-}" ]; then credentials=(-H "Authorization: Bearer $BEARER"); fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0 serial=0

scenario() { # scenario NAME: runs the function it_NAME, with underscores for dashes
  local name=$1 why
  [[ $name =~ ${ONLY:-} ]] || return 0
  if [ -n "${SKIP:-}" ] && [[ $name =~ $SKIP ]]; then
    skipped=$((skipped + 1)); echo "skip $name"; return 0
  fi
  serial=$((serial + 1)) T=it-curl-$$-$serial-$RANDOM G=$T-g
  if why=$("it_${name//-/_}" 2>&1); then passed=$((passed + 1)); echo "ok $name"
  else failed=$((failed + 1)); echo "FAIL $name $(tr -s '[:space:]' ' ' <<<"$why" | cut -c1-600)"; fi
}

finish() {
  local line="$passed passed, $failed failed"
  [ "$skipped" = 0 ] || line+=", $skipped skipped"
  echo "$line"
  [ "$failed" = 0 ] && [ "$passed" != 0 ]
}

fail() { # fail WHY: ends the scenario, naming the line of it that was not fulfilled
  local i
  for i in "${!FUNCNAME[@]}"; do
    [[ ${FUNCNAME[i]} != it_* ]] || break
  done
  echo "$* (${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]})"
  exit 1
}

# call METHOD TARGET [curl's arguments]: the answer is then in $status, $work/head and $work/body.
call() {
  anonymous "$1" "$2" "${credentials[@]}" "${@:3}"
}

anonymous() {
  status=$(curl -sS --max-time 60 "${tls[@]}" -X "$1" -D "$work/head" -o "$work/body" -w '%{http_code}' \
    "${@:3}" "$base$2") || fail "curl failed on $1 $2: $status"
}

json() { # json METHOD TARGET DOCUMENT
  call "$1" "$2" -H 'Content-Type: application/json' --data-binary "$3"
}

is() { # is STATUS
  [ "$status" = "$1" ] || fail "status $status, wanted $1: $(head -c 300 "$work/body")"
}

# holds FILTER [jq's arguments]: the filter is true of the JSON answer.
holds() {
  jq -e "${@:2}" "$1" "$work/body" >"$work/jq" 2>&1 || fail "not true: $1 of $(head -c 300 "$work/body")"
}

get() { jq -r "$1" "$work/body"; }

# header NAME: its value in the last answer; empty when absent.
header() {
  awk -v name="$1:" 'tolower($1) == tolower(name) { sub(/^[^:]*: */, ""); sub(/\r$/, ""); print }' "$work/head"
}

has_header() { # has_header NAME PATTERN
  local value
  value=$(header "$1")
  [[ $value =~ $2 ]] || fail "header $1 is \"$value\", wanted $2"
}

# problem STATUS CODE: the answer is a complete problem document.
problem() {
  is "$1"
  has_header content-type '^application/problem\+json'
  holds '.status == $s and .code == $c and (.title | length > 0) and (.detail | length > 0) and (.type | length > 0)
         and (.requestId | length > 0) and (.retryable | type == "boolean")' --argjson s "$1" --arg c "$2"
}

# eventually WHAT COMMAND...: polls for at most half a minute.
eventually() {
  local what=$1 deadline=$((SECONDS + 30))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || fail "$what: not within 30 s"
    sleep 0.05
  done
}

millis() { echo $((${EPOCHREALTIME/./} / 1000)); }

publish() { # publish BODY [query]
  call POST "/v1/topics/$T/messages${2:-}" --data-binary "$1"
  is 201
}

receive() { # receive [more query]
  call POST "/v1/groups/$G/receive?topic=$T&wait=5s${1:-}"
  is 200
}

one_queue() { json PUT "/v1/topics/$T" '{"queues":1}'; is 201; }

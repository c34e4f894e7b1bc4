#!/usr/bin/env bash
# schemathesis against the HTTP interface of the broker at HTTP_ADDR; see ../README.md for the environment.
#
# It reads /openapi.json and sends what that allows, which must be taken, and what that forbids, which must be refused;
# every answer must be as described, and none a 5xx. The seed is fixed, so that a failure here is one at home; SEED=n
# takes another, MAX_TIME=seconds a longer look.
set -euo pipefail
cd "$(dirname "$0")"
../setup.sh curl schemathesis
scheme=http verify=()
[ "${TLS:-}" = 1 ] && { scheme=https; verify=(--tls-verify "$TLS_CA"); ca=(--cacert "$TLS_CA"); }
base=$scheme://$HTTP_ADDR
put() { # put TARGET DOCUMENT
  curl -sS --fail-with-body "${ca[@]+"${ca[@]}"}" -u "$AUTH_USER:$AUTH_PASSWORD" -X PUT --json "$2" "$base$1" >/dev/null
}
put /v1/roles/fuzz-role '{}'
put /v1/users/fuzz-user '{"roles":["fuzz-role"]}'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$PWD
export SCHEMATHESIS_HOOKS=hooks PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
cd "$work" # where it leaves what it found, to be tried again
failed=0
"$here/../../../target/interop-tools/schemathesis/bin/schemathesis" --config-file "$here/schemathesis.toml" run "$base/openapi.json" \
  "${verify[@]+"${verify[@]}"}" --auth "$AUTH_USER:$AUTH_PASSWORD" --checks all --mode all \
  --phases examples,coverage,fuzzing --max-examples "${EXAMPLES:-8}" --seed "${SEED:-1}" --max-time "${MAX_TIME:-75}" \
  --request-timeout 30 --continue-on-failure --no-color --warnings off || failed=1
echo "$((1 - failed)) passed, $failed failed"
exit $failed

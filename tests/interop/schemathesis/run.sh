#!/usr/bin/env bash
# schemathesis against the HTTP interface of the broker at HTTP_ADDR; see ../README.md for the environment.
#
# It reads /openapi.json and sends what that allows and what that forbids, with credentials and without:
# every answer must be as described, and none a 5xx. SEED=n takes another seed, MAX_TIME=seconds a longer look.
#
# What it sends next depends on what it was answered, so no two runs are the same, and a schema cannot say everything that
# is refused (a name that is too new, two parameters that exclude each other). So the two checks that find fault with
# that stay out of the run that decides; CHECKS=all has them too.
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
failed=0 left_out=(--exclude-checks "positive_data_acceptance,negative_data_rejection")
[ "${CHECKS:-}" = all ] && left_out=()
"$here/../../../target/interop-tools/schemathesis/bin/schemathesis" --config-file "$here/schemathesis.toml" run "$base/openapi.json" \
  "${verify[@]+"${verify[@]}"}" --auth "$AUTH_USER:$AUTH_PASSWORD" --checks all "${left_out[@]+"${left_out[@]}"}" --mode all \
  --phases examples,coverage,fuzzing --max-examples "${EXAMPLES:-8}" --seed "${SEED:-1}" --max-time "${MAX_TIME:-75}" \
  --request-timeout 30 --continue-on-failure --no-color --warnings off || failed=1
echo "$((1 - failed)) passed, $failed failed"
exit $failed

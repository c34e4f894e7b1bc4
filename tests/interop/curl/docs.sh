#!/usr/bin/env bash
# The examples in the documents about HTTP, as they stand, against brokers of their own; see docs.py.
#
# EXAMPLES.md is for a broker as it comes up by itself, README.md for one that asks who is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../../examples/lib.sh"
"$root/tests/interop/setup.sh" curl python
docs=$root/protocols/http
export SECRET=interop-secret

start_broker
failed=0
"$here/docs.py" "$HTTP_ADDR" "$docs/EXAMPLES.md" || failed=1
stop_broker

scratch=$(mktemp -d)
cat >"$scratch/acl.toml" <<ACL
[[users]]
name = "root"
secret = "$SECRET"
superuser = true
ACL
start_broker SLUICE_AUTH__MODE=acl SLUICE_AUTH__FILE="$scratch/acl.toml"
AS_USER="root:$SECRET" "$here/docs.py" "$HTTP_ADDR" "$docs/README.md" || failed=1
exit $failed

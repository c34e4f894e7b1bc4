#!/usr/bin/env bash
# Lets Java clients ask more than a broker takes: more than a quota allows, and more than may wait to be written.
# Ends with 0 if the broker has refused some of it, and everything is stored and consumed all the same, by the clients'
# own tries where they try again.
#   SLUICE_BIN (default: target/release/sluice, else target/debug/sluice), CLIENT_VERSION
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/own-broker.sh"

quota=20
cat >"$work/access.toml" <<TOML
[[users]]
name = "hasty"
secret = "hasty-secret"
quota = { messages_per_second = $quota }
[[policies]]
subject = "hasty"
resource = "*"
actions = ["All"]
TOML
start SLUICE_AUTH__MODE=acl SLUICE_AUTH__FILE="$work/access.toml"
ACL_USER=hasty ACL_SECRET=hasty-secret "$here/run.sh" -- flow-control --topic "quota-$$" --count 60 --quota "$quota"
stop TERM

start SLUICE_STORE__MAX_PENDING=4KiB
"$here/run.sh" -- flow-control --topic "unwritten-$$" --threads 16 --count 50 --tries 100 --body 1000
stop TERM
echo "ok flow-control"

#!/usr/bin/env bash
# Runs hello.sh and worker.sh against a broker of their own and checks what they print.
cd "$(dirname "$0")" && . ../lib.sh
"$root/tests/interop/setup.sh" curl
start_broker
here=$PWD
cd "$scratch"
printf 'silent\nshow-error\nfail\n' >.curlrc
export CURL_HOME=$scratch

timeout 60 bash "$here/hello.sh" | tee hello
expect 'orders' "$(jq -rs '.[0].topic' hello)"
expect 'one coffee drinks 1' "$(jq -rs '.[1].messages[0] | "\(.body) \(.tag) \(.deliveries)"' hello)"
expect '0' "$(jq -rs '.[2].totalLag' hello)"

for job in first second third; do
  curl -sSf -d "$job" "http://$HTTP_ADDR/v1/topics/jobs/messages" >/dev/null
done
WAIT=2s timeout 60 bash "$here/worker.sh" | tee worked
expect $'working on first\nworking on second\nworking on third' "$(sort worked)"

#!/bin/sh
# A worker in shell: one message at a time, acknowledged when its work is done.
broker=http://${HTTP_ADDR:-127.0.0.1:8080}

while curl -sSf -X POST -D head -o body "$broker/v1/groups/workers/receive?topic=jobs&wait=${WAIT:-30s}&format=raw"; do
  handle=$(awk 'tolower($1) == "x-mq-handle:" { print $2 }' head | tr -d '\r')
  [ -n "$handle" ] || break # nothing came while we waited

  echo "working on $(cat body)"

  curl -sSf -X DELETE "$broker/v1/messages/$handle"
done

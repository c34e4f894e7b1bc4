#!/usr/bin/env bash
# Sets a broker's clock, forward, back, and by weeks while it is down, under a Java client that stays connected.
# Ends with 0 if delayed messages come after their time and none is lost: what was due while the broker was killed, what
# is an hour ahead, and what is forty days ahead; and if a half message that is older than what the log keeps is committed.
#   SLUICE_BIN (default: target/release/sluice, else target/debug/sluice), CLIENT_VERSION
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/own-broker.sh"

# Half messages are asked about after 45 days.
export SLUICE_BROKER__CHECKPOINT_INTERVAL=1s SLUICE_BROKER__OFFSETS_RETENTION=90d
export SLUICE_BROKER__FIRST_CHECK=45d SLUICE_BROKER__MAX_HALF_AGE=60d
life() { start_with_clock; }

ask() { # ask JSON: of the client that stays connected; its answer is in `answer`
  echo "$1" >&"${serving[1]}"
  read -r -t 100 answer <&"${serving[0]}" || { echo "FAIL no answer to $1" >&2; exit 1; }
  [[ $answer == *'"ok":true'* ]] || { echo "FAIL $1: $answer" >&2; exit 1; }
}
send() { # send KEY [DELAY-MS]
  ask '{"op":"send","topic":"'"$topic"'","queueId":0,"body":"x","keys":"'"$1"'"'"${2:+,\"delayMs\":$2}"'}'
}
next() { # next KEY: it is the next message of the queue. A clock that was set is noticed within a minute, at a timer sooner
  ask '{"op":"take","consumer":"c","count":1,"timeoutMs":80000}'
  [[ $answer == *"\"keys\":\"$1\""* ]] || { echo "FAIL $1 is not what comes next: $answer" >&2; exit 1; }
}
both() { # both KEY KEY: these come next; a consumer of several threads may take what comes together in any order
  ask '{"op":"take","consumer":"c","count":2,"timeoutMs":80000}'
  for key in "$1" "$2"; do
    [[ $answer == *"\"keys\":\"$key\""* ]] || { echo "FAIL $1 and $2 are not what comes next: $answer" >&2; exit 1; }
  done
}
is_later_than() { [ "$(date +%s%3N)" -gt "$1" ]; }
has_let_go() { [ ! -e "$oldest" ]; }

day=86400000
topic=time-$$
life
coproc serving { exec "$here/run.sh" -- serve; }
clients+=("$serving_PID")
ask '{"op":"send","topic":"'"$topic"'","body":"x","keys":"makes the topic"}'
ask '{"op":"subscribe","consumer":"c","topic":"'"$topic"'","group":"'"$topic"'"}'
next "makes the topic"
send due-while-down 3000
due=$(($(date +%s%3N) + 3000))
send in-an-hour 3600000
send in-forty-days $((40 * day - 3600000))
"$here/run.sh" -- prepare --topic "$topic-half" --group "$topic-p" --keys half --check COMMIT_MESSAGE >"$work/said" &
clients+=("$!")
await "the message is prepared" grep -qs prepared "$work/said"
oldest=$(find "$work/data/log" -name '*.seg' | sort | head -n 1)

stop KILL
await "it is due" is_later_than "$due"
life
next due-while-down

# While it runs: back, where a second is a second still, and what waits an hour waits on; and forward.
clock -2h
send behind-the-times 1000
next behind-the-times
send wakes-it 3000
clock +2h
both wakes-it in-an-hour

stop TERM
clock +39d
life
send after-39-days
next after-39-days
stop KILL
clock +41d
life
next in-forty-days
send after-41-days
next after-41-days
await "the log lets the half message's segment go" has_let_go

stop TERM
clock +46d
life
ask '{"op":"receive","topic":"'"$topic-half"'","group":"'"$topic-h"'","count":1,"timeoutMs":60000}'
[[ $answer == *'"keys":"half"'* ]] || { echo "FAIL the half message did not come: $answer" >&2; exit 1; }
echo "ok time"

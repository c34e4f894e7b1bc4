# A broker of the script's own, to be stopped, killed and started again; sourced by such scripts, which set `here`.
#   SLUICE_BIN (default: target/release/sluice, else target/debug/sluice)

root=$here/../../..
for sluice in "${SLUICE_BIN:-}" "$root/target/release/sluice" "$root/target/debug/sluice"; do
  [ -x "$sluice" ] && break
done
[ -x "$sluice" ] || { echo "no broker: run cargo build --release first" >&2; exit 1; }
unset TLS ACL_USER SLUICE_BIN # the broker refuses settings that it does not know

work=$(mktemp -d)
broker=
clients=()
finish() {
  local pid
  for pid in "${clients[@]}"; do pkill -P "$pid" 2>/dev/null || true; done # the JVM under a script
  for pid in $broker "${clients[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

export SLUICE_DATA_DIR=$work/data SLUICE_LISTEN__NAMESRV=0 SLUICE_LISTEN__REMOTING=0 SLUICE_LISTEN__HTTP=off SLUICE_LISTEN__STOMP=off SLUICE_LISTEN__KAFKA=off

address() { # address NAME: where that listener is, by the ready line
  local rest=${ready#*"$1"=}
  echo "${rest%% *}"
}

start() { # start [NAME=VALUE]...: with these variables besides; from the second time on at the same addresses
  exec 3< <(exec env "$@" "$sluice" 2>>"$work/log")
  broker=$!
  read -r -t 60 ready <&3 || { echo "the broker did not start:" >&2; tail -20 "$work/log" >&2; exit 1; }
  NAMESRV_ADDR=$(address namesrv)
  export NAMESRV_ADDR SLUICE_LISTEN__NAMESRV=$NAMESRV_ADDR
  SLUICE_LISTEN__REMOTING=$(address remoting)
}

stop() { # stop SIGNAL
  kill -s "$1" "$broker"
  wait "$broker" 2>/dev/null || true
}

await() { # await WHAT COMMAND...: until the command succeeds, or 60 s are over
  local what=$1 end=$((SECONDS + 60))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || { echo "FAIL not within 60 s: $what" >&2; exit 1; }
    sleep 0.1
  done
}

# Brokers whose clock is set, by libfaketime; what they measure durations with is not set.
# With one reactor: of two threads that ask libfaketime at once, one is now and then told the time of the machine, and a broker
# that believes for a moment that hours are left sleeps for a minute.
start_with_clock() { # start_with_clock [NAME=VALUE]...
  local faketime
  [ -e "$work/clock" ] || { "$root/tests/interop/setup.sh" faketime; clock +0; }
  faketime=$(find /usr/lib -name libfaketime.so.1 -print -quit 2>/dev/null)
  start SLUICE_NET__REACTORS=1 LD_PRELOAD="$faketime" FAKETIME_TIMESTAMP_FILE="$work/clock" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 "$@"
}
clock() { # clock OFFSET: the broker's, from that of the machine; at once
  echo "$1" >"$work/clock.new"
  mv "$work/clock.new" "$work/clock"
}

# retry COMMAND...: up to three attempts, for what a registry may refuse in a bad moment; sourced.
# Ends with 75 when all have failed, so that who asked can tell that from a test that failed.
retry() {
  local pause
  for pause in 5 20 ""; do
    "$@" && return
    [ -n "$pause" ] || break
    echo "again in $pause s: $*" >&2
    sleep "$pause"
  done
  echo "failed three times: $*" >&2
  exit 75
}

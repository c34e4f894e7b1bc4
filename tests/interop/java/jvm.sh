# What the Java suites share; sourced by their run.sh, which sets `here` (its folder) and `target` (where it builds).

. "$(dirname "${BASH_SOURCE[0]}")/../retry.sh"

maven() { # maven OPTION...: its words go to a file; what does not compile is not tried again
  mvn -q -B -f "$here/pom.xml" "$@" >"$target/build.log" 2>&1 && return
  ! grep -q 'COMPILATION ERROR' "$target/build.log" || { cat "$target/build.log" >&2; exit 1; }
  [ "$1" = -o ] || tail -n 5 "$target/build.log" >&2
  return 1
}

# build MAVEN-OPTION...: compiles when the sources changed, one at a time; with ONLY_COMPILE that is all.
build() {
  { command -v mvn && command -v javac; } >/dev/null || "$here/../setup.sh" java
  mkdir -p "$target"
  (
    flock 9
    stamp=$(cd "$here" && find pom.xml src -type f | LC_ALL=C sort | xargs cksum | cksum)
    [ "$stamp" = "$(cat "$target/stamp" 2>/dev/null)" ] && exit 0
    rm -rf "$target/classes" "$target/lib"
    # Asking around costs Maven a while; with everything there it need not.
    maven -o compile "$@" || retry maven compile "$@"
    echo "$stamp" >"$target/stamp"
  ) 9>"$here/target/lock"
  [ -z "${ONLY_COMPILE:-}" ] || exit 0
}

# set_options HOME: the options of every JVM, in `options`. The clients write logs and broadcast offsets below
# user.home, so they get a home of their own.
set_options() {
  options=(-Xmx"${JAVA_HEAP:-512m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dfile.encoding=UTF-8
    -Duser.home="$1" -Drocketmq.client.logRoot="$1/logs" -Drocketmq.client.logLevel=WARN
    -Drocketmq.log.root="$1/logs" -Drocketmq.log.level=WARN)
  # Headers are JSON in plain text and binary over TLS, unless SERIALIZE says otherwise: so both are spoken.
  local headers=JSON
  [ "${TLS:-0}" != 1 ] || headers=ROCKETMQ
  options+=(-Drocketmq.serialize.type="${SERIALIZE:-$headers}")
  if [ "${TLS:-0}" = 1 ]; then
    # Without test mode off and authServer on, the client takes any certificate.
    options+=(-Dtls.enable=true -Dtls.test.mode.enable=false -Dtls.client.authServer=true
      -Dtls.client.trustCertPath="${TLS_CA:?TLS=1 needs TLS_CA, the PEM file of the authority to trust}")
  fi
}

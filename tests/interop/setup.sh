#!/usr/bin/env bash
# Installs the stock clients that the interop suites and the examples drive, through the package managers.
#
#   tests/interop/setup.sh                 everything
#   tests/interop/setup.sh ruby curl       only these: java go ruby perl node stompjs chromium python
#                                          curl fuzz schemathesis kafka-python kafka-node kafka-go
#                                          kafka-librdkafka kafka-groups mqhttp-python mqhttp-node
#                                          rocketmq-python faketime counts
#   tests/interop/setup.sh compiled        what the suites compile, and download for that: otherwise the first run of each
#                                          does it
#
# Quick when nothing is missing. System packages come from apt (Debian 12 or a relative, as root or through
# sudo); the rest lands in target/interop-tools and the folders node_modules of the suites.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/retry.sh"
tools=$(cd "$here/../.." && pwd)/target/interop-tools
all="java go ruby perl node stompjs chromium python curl fuzz schemathesis kafka-python kafka-node kafka-go kafka-librdkafka"
all="$all kafka-groups mqhttp-python mqhttp-node rocketmq-python faketime counts"
wanted=${*:-$all}
missing=()

need() { # need COMMAND PACKAGE...: the packages are missing unless the command is there
  command -v "$1" >/dev/null || missing+=("${@:2}")
}

find_missing() {
  local part
  for part in $wanted; do
    case $part in
      go | kafka-go) need go golang-go ;;
      java) need javac default-jdk-headless; need mvn maven ;;
      ruby) need ruby ruby; ruby -rstomp -e1 2>/dev/null || missing+=(ruby-stomp) ;;
      perl)
        need perl perl
        perl -MNet::Stomp -MIO::Socket::SSL -MJSON -e1 2>/dev/null ||
          missing+=(libnet-stomp-perl libio-socket-ssl-perl libjson-perl)
        ;;
      node | stompjs | kafka-node | mqhttp-node) need node nodejs; need npm npm; need openssl openssl ;;
      chromium) need chromium chromium ;;
      kafka-python) venv_works "$part" || missing+=(python3 python3-venv); need kcat kcat; need openssl openssl ;;
      python | schemathesis | mqhttp-python | rocketmq-python) venv_works "$part" || missing+=(python3 python3-venv) ;;
      kafka-groups)
        venv_works "$part" || missing+=(python3 python3-venv)
        need node nodejs; need npm npm; need javac default-jdk-headless; need mvn maven
        ;;
      curl) need curl curl ca-certificates; need jq jq; need openssl openssl ;;
      faketime) [ -n "$(find /usr/lib -name libfaketime.so.1 -print -quit 2>/dev/null)" ] || missing+=(libfaketime) ;;
      counts) need valgrind valgrind; need strace strace ;;
      kafka-librdkafka)
        need g++ g++; need make make; need jq jq
        [ -f /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
        [ -f /usr/include/zlib.h ] || missing+=(zlib1g-dev)
        ;;
      fuzz) need g++ g++ ;; # the fuzzing engine is written in it
      *) echo "setup.sh: unknown part '$part'; known: $all compiled" >&2; exit 2 ;;
    esac
  done
}

venv_works() { # venv_works NAME
  [ -x "$tools/$1/bin/python" ] || python3 -c 'import venv, ensurepip' 2>/dev/null
}

install_missing() {
  [ ${#missing[@]} -eq 0 ] && return
  local sudo=
  if ! command -v apt-get >/dev/null; then
    echo "setup.sh: this system has no apt-get; install these (Debian's names) yourself: ${missing[*]}" >&2
    exit 2
  fi
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
      { echo "setup.sh: neither root nor sudo here; as root run: apt-get install ${missing[*]}" >&2; exit 2; }
    sudo=sudo
  fi
  retry $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive retry $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# A stamp is the list that was installed: another list, or an interrupted installation, starts afresh.
install_python() { # install_python NAME [VERSION]: an environment of its own for that suite, and version of its client
  local list=$here/$1/requirements${2:+-$2}.txt venv=$tools/$1${2:+-$2}
  cmp -s "$list" "$venv/installed" && return
  rm -rf "$venv"
  python3 -m venv "$venv"
  retry "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$list"
  cp "$list" "$venv/installed"
}

install_node() { # install_node NAME: what that suite's lock file lists
  cmp -s "$here/$1/package-lock.json" "$here/$1/node_modules/.installed" && return
  retry env -C "$here/$1" npm ci --silent --no-audit --no-fund
  cp "$here/$1/package-lock.json" "$here/$1/node_modules/.installed"
}

install_go() { # install_go FOLDER PROGRAM
  retry env -C "$here/$1" go list -deps . >/dev/null # downloads what is missing
  (cd "$here/$1" && go build -o "$tools/$2" .)
}

compile() { # each suite knows how; one after the other, because they share Maven's repository
  local suite version
  export ONLY_COMPILE=1
  for version in 5.5.0 4.9.8; do CLIENT_VERSION=$version "$here/java/run.sh"; done
  for version in 4.4.0 2.8.2; do CLIENT_VERSION=$version "$here/kafka-java/run.sh"; done
  for suite in mqadmin mqhttp-java spring-relay kafka-streams kafka-connect kafka-librdkafka; do "$here/$suite/run.sh"; done
  "$here/kafka-groups/groups.sh"
  local examples=$here/../../examples
  for version in 2.2.2 2.3.4; do
    retry mvn -q -B -f "$examples/spring/pom.xml" compile "-Dstarter.version=$version"
  done
  retry mvn -q -B -f "$examples/java-tls/pom.xml" compile exec:help >/dev/null
}

if [ "$*" = compiled ]; then
  compile
  exit
fi
mkdir -p "$tools"
# Suites that start at the same time must not install over each other.
if command -v flock >/dev/null; then
  exec 9>"$tools/lock"
  flock 9
fi
find_missing
install_missing
for part in $wanted; do
  case $part in
    python | schemathesis | kafka-python | kafka-groups | mqhttp-python | rocketmq-python) install_python "$part" ;;&
    python) for version in 8.1.0 9.0.0; do install_python python "$version"; done ;;
    node | stompjs | kafka-node | kafka-groups | mqhttp-node) install_node "$part" ;;
    go) install_go go go-interop ;;
    kafka-go) install_go kafka-go kafka-go-interop ;;
  esac
done

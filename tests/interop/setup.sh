#!/usr/bin/env bash
# Installs the stock clients that the interop suites and the examples drive, through the package managers.
#
#   tests/interop/setup.sh                 everything
#   tests/interop/setup.sh ruby curl       only these: java go ruby perl node stompjs chromium python
#                                          curl fuzz schemathesis kafka-python
#
# Quick when nothing is missing. System packages come from apt (Debian 12 or a relative, as root or through
# sudo); the rest lands in target/interop-tools and the folders node_modules of the suites.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$(cd "$here/../.." && pwd)/target/interop-tools
wanted=${*:-java go ruby perl node stompjs chromium python curl fuzz schemathesis kafka-python}
missing=()

need() { # need COMMAND PACKAGE...: the packages are missing unless the command is there
  command -v "$1" >/dev/null || missing+=("${@:2}")
}

find_missing() {
  local part
  for part in $wanted; do
    case $part in
      go) need go golang-go ;;
      java) need javac default-jdk-headless; need mvn maven ;;
      ruby) need ruby ruby; ruby -rstomp -e1 2>/dev/null || missing+=(ruby-stomp) ;;
      perl)
        need perl perl
        perl -MNet::Stomp -MIO::Socket::SSL -MJSON -e1 2>/dev/null ||
          missing+=(libnet-stomp-perl libio-socket-ssl-perl libjson-perl)
        ;;
      node | stompjs) need node nodejs; need npm npm ;;
      chromium) need chromium chromium ;;
      kafka-python) venv_works "$part" || missing+=(python3 python3-venv); need kcat kcat ;;
      python | schemathesis) venv_works "$part" || missing+=(python3 python3-venv) ;;
      curl) need curl curl ca-certificates; need jq jq; need openssl openssl ;;
      fuzz) need g++ g++ ;; # the fuzzing engine is written in it
      *) echo "setup.sh: unknown part '$part'; known: java go ruby perl node stompjs chromium python curl fuzz schemathesis kafka-python" >&2; exit 2 ;;
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
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# A stamp is the list that was installed: another list, or an interrupted installation, starts afresh.
install_python() { # install_python NAME [VERSION]: an environment of its own for that suite, and version of its client
  local list=$here/$1/requirements${2:+-$2}.txt venv=$tools/$1${2:+-$2}
  cmp -s "$list" "$venv/installed" && return
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$list"
  cp "$list" "$venv/installed"
}

install_node() { # install_node NAME: what that suite's lock file lists
  cmp -s "$here/$1/package-lock.json" "$here/$1/node_modules/.installed" && return
  (cd "$here/$1" && npm ci --silent --no-audit --no-fund)
  cp "$here/$1/package-lock.json" "$here/$1/node_modules/.installed"
}

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
    python | schemathesis | kafka-python) install_python "$part" ;;&
    python) for version in 8.1.0 9.0.0; do install_python python "$version"; done ;;
    node | stompjs) install_node "$part" ;;
    go) (cd "$here/go" && go build -o "$tools/go-interop" .) ;;
  esac
done

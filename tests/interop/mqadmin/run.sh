#!/usr/bin/env bash
# Runs the commands of stock `mqadmin` against the broker at NAMESRV_ADDR, all in one JVM, and checks what they print.
#   run.sh [CHECK...]        all of them by default; a name may end in *
# With ACL_USER, ACL_SECRET, ACL_LIMITED_USER and ACL_LIMITED_SECRET the secret file and the commands for users are
# checked too; with SHOW=1 all that is printed is shown.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$here/target
. "$here/../java/jvm.sh"

build

REMOTING_README=$here/../../../protocols/remoting/README.md
export REMOTING_README
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir "$home/conf"
set_options "$home"
cd "$home" # some commands write beside where they are called
java "${options[@]}" -Drocketmq.home.dir="$home" -cp "$target/classes:$target/lib/*" sluice.mqadmin.Main "$@"

#!/usr/bin/env bash
# Kafka Streams against the broker at KAFKA_ADDR; see ../README.md for the environment.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$here/target
. "$here/../java/jvm.sh"
build

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dstate="$home" -cp "$target/classes:$target/lib/*" sluice.streams.Main

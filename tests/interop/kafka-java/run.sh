#!/usr/bin/env bash
# The stock Kafka client for Java against the broker at KAFKA_ADDR; see ../README.md for the environment.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=${CLIENT_VERSION:-4.4.0}
target=$here/target/$version
. "$here/../java/jvm.sh"
build "-Dkafka.version=$version"

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
if [ -n "${TLS_CLIENT_CERT:-}" ]; then
  # This client reads stores; PEM it learned in 2.7, but PKCS#12 every version knows.
  openssl pkcs12 -export -in "$TLS_CLIENT_CERT" -inkey "$TLS_CLIENT_KEY" -name client -passout pass:changeit -out "$home/client.p12"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$ACL_USER" \
    -keyout "$home/stranger.key" -out "$home/stranger.pem" 2>/dev/null
  openssl pkcs12 -export -in "$home/stranger.pem" -inkey "$home/stranger.key" -name client -passout pass:changeit -out "$home/stranger.p12"
  keytool -importcert -noprompt -alias ca -file "$TLS_CA" -keystore "$home/trust.p12" -storetype PKCS12 -storepass changeit 2>/dev/null
fi
java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dstores="$home" \
  -cp "$target/classes:$target/lib/*" sluice.kafka.Main "$version"

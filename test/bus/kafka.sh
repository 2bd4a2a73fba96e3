#!/usr/bin/env bash
# Runs a command with Apache Kafka itself at hand, for the tests that start a broker of it:
#
#   test/bus/kafka.sh go test -run ApacheKafka ./...
#
# in the directory test/bus. The broker is that of Maven Central, in this version, kept in the user's cache; Java 17 or
# newer and Maven are needed, and kcat, which reads the topics back. Where root runs it, kcat is installed.
set -euo pipefail

version=4.4.0

die() {
  echo "test/bus/kafka.sh: $*" >&2
  exit 1
}

[ $# -gt 0 ] || die "which command is to be run? test/bus/kafka.sh COMMAND [ARGUMENT]..."
command -v java >/dev/null || die "java is missing: install Java 17 or newer"
command -v mvn >/dev/null || die "mvn is missing: install Maven"
command -v kcat >/dev/null ||
  { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -yq kcat >&2; } ||
  die "kcat is missing: install the package kcat"
kept=${XDG_CACHE_HOME:-$HOME/.cache}/pillarbox/kafka-$version
mkdir -p "$kept"
exec 9>"$kept/.lock"
command -v flock >/dev/null && flock 9
if [ ! -e "$kept/complete" ]; then
  cat >"$kept/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>x</groupId><artifactId>x</artifactId><version>1</version><dependencies><dependency>
<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version>
</dependency></dependencies></project>
END
  rm -rf "$kept/jars"
  mvn --quiet --batch-mode -f "$kept/pom.xml" dependency:copy-dependencies -DoutputDirectory="$kept/jars" >&2 ||
    die "mvn could not install Kafka: see above"
  touch "$kept/complete"
fi
exec 9>&-
PILLARBOX_TEST_KAFKA_JARS=$kept/jars exec "$@"

#!/bin/sh
# need.sh PROGRAM PACKAGE: makes sure that PROGRAM is there; as root on Debian it installs PACKAGE.
set -eu
program=$1 package=$2
command -v "$program" >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "setup: installing $package" >&2
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$package" >/dev/null
    command -v "$program" >/dev/null 2>&1 && exit 0
fi
echo "setup: $program is missing; install it (on Debian: apt-get install $package) and run again" >&2
exit 1

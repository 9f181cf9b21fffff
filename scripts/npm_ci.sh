#!/bin/sh
# npm_ci.sh FOLDER: installs what FOLDER/package-lock.json locks; a no-op when it is there.
set -eu
cd "$1"
cmp -s package-lock.json node_modules/.installed && exit 0
echo "setup: installing $1/package-lock.json" >&2
npm ci --no-audit --no-fund --no-update-notifier --loglevel=error
cp package-lock.json node_modules/.installed

#!/bin/sh
# Packs what `unclip train data` reads of the installed packages into one compressed file (13 MB), for a machine without
# a network. There: tar -xJf FILE -C DIR, then unclip train data --packages DIR
set -eu
if [ $# -ne 1 ]; then
    echo "usage: $0 FILE.tar.xz" >&2
    exit 2
fi
packages="${PACKAGES:-$(dirname "$0")/node_modules}"
if [ ! -d "$packages/emojibase-data" ]; then
    echo "$packages: no packages installed; run npm ci in $(dirname "$0") first" >&2
    exit 1
fi
# Sorted and without owners and times, so that the same packages make the same file.
(cd "$packages" && find @iconify-json emojibase-data -type f \
    \( -name icons.json -o -name info.json -o -name chars.json -o -name package.json \
    -o -path 'emojibase-data/en/data.json' -o -path 'emojibase-data/en/shortcodes/*.json' \
    -o -path 'emojibase-data/meta/groups.json' -o -name LICENSE \) -print | LC_ALL=C sort) |
    tar -c -C "$packages" --owner=0 --group=0 --mtime=@0 --no-recursion -T - | xz -6 >"$1"

#!/usr/bin/env bash
# Trains on another machine: one with a GPU and Python's torch 2.11.0, but without Rust, this repository or a network.
#
#   scripts/train_away.sh pack [DIR]             here: puts what has to travel into DIR (out/away), after `make train-data`
#   bash DIR/train_away.sh slice OUT [MINUTES]   there: trains on for so many minutes (9), and writes results to OUT
#   scripts/train_away.sh join OUT               here: unpacks results into out/train
#
# Folders are relative to the repository's root, except a slice's. CONFIGS=cpu trains what training/configs/cpu says.
# A slice goes on where the last one stopped: state stays there, in DIR/work. What comes back are the averaged weights,
# metrics and sheets, in files of at most 16 MB.
set -euo pipefail

PARTS="clip decoder prior upsampler judge"

pack() {
    local folder="${1:-out/away}" packages=training/data/node_modules
    [ -x target/release/unclip ] && [ -d "$packages" ] || { echo "run 'make train-data' first" >&2; exit 1; }
    mkdir -p "$folder"
    strip -o "$folder/unclip" target/release/unclip
    tar --create --dereference --sort=name --directory "$packages" @iconify-json emojibase-data/package.json \
        emojibase-data/en emojibase-data/meta | xz --threads=0 -6 > "$folder/packages.tar.xz"
    mkdir -p "$folder/training"
    cp --recursive training/configs "$folder/training/"
    cp scripts/train_away.sh "$folder/"
    du --summarize --human-readable "$folder"
}

# The libraries of Python's torch, in the place of those that the program was built with. It is linked for the CPU, so
# that nothing but the preload makes libtorch know a GPU.
use_torch() {
    local libraries
    libraries="$(python3 -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))')"
    export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    [ ! -e "$libraries/libtorch_cuda.so" ] || export UNCLIP_PRELOAD="$libraries/libtorch_cuda.so"
}

unclip() { LD_PRELOAD="${UNCLIP_PRELOAD:-}" ./unclip "$@"; }

draw_data() {
    [ ! -e work/drawn ] || return 0
    mkdir -p work/packages
    tar --extract --xz --file packages.tar.xz --directory work/packages
    unclip train data --packages work/packages --side 64 --out work/small
    unclip train data --packages work/packages --side 128 --sets twemoji,fluent-emoji-flat --out work/large
    touch work/drawn
}

train() {
    local part="$1" minutes="$2" store=work/small clip=()
    [ "$part" != upsampler ] || store=work/large
    case "$part" in decoder | prior) clip=(--clip work/clip/bundle) ;; esac
    unclip train "$part" --config "training/configs/${CONFIGS:-h100}/$part.toml" --store "$store" "${clip[@]}" --run "work/$part" \
        --resume --minutes "$minutes" --workers "$(nproc)"
}

results() {
    local part found=()
    for part in $PARTS; do
        for name in bundle metrics.jsonl loss.png run.json sheets; do
            [ ! -e "work/$part/$name" ] || found+=("$part/$name")
        done
    done
    rm -f "$1"/results.tar.*
    tar --create --directory work "${found[@]}" | split --bytes=16MB --numeric-suffixes - "$1/results.tar."
}

slice() {
    local out="$1" end=$((SECONDS + ${2:-9} * 60)) part
    out="$(realpath "$out")"
    mkdir -p "$out"
    cd "$(dirname "${BASH_SOURCE[0]}")"
    chmod +x unclip
    use_torch
    draw_data
    for part in $PARTS; do
        # Less than a minute is not worth a start.
        [ $((end - SECONDS)) -gt 60 ] || break
        train "$part" $(((end - SECONDS) / 60))
    done
    results "$out"
}

join() {
    mkdir -p out/train
    cat "$1"/results.tar.* | tar --extract --directory out/train
    ls out/train
}

case "${1:-} $#" in
    "pack "[12] | "join 2") cd "$(dirname "${BASH_SOURCE[0]}")/.." && "$@" ;;
    "slice "[23]) "$@" ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

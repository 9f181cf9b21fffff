#!/usr/bin/env bash
# Trains on another machine: one with a GPU and Python's torch 2.11.0, but without Rust, this repository or a network.
#
#   scripts/train_away.sh pack [DIR]                      here: puts what has to travel into DIR (out/away), at most 60 MiB
#   bash DIR/train_away.sh slice OUT MINUTES PART[:SHARE]...   there: trains parts for so many minutes in all, and writes results to OUT
#   scripts/train_away.sh join OUT                        here: unpacks results into out/train
#
# A part is the name of a configuration: decoder, decoder-more, upsampler-first and so on. Each gets its share of the minutes (all
# the same by default) and its learning rate falls to zero within them. CONFIGS=cpu takes training/configs/cpu instead of h100.
# CLIP, prior and judge are minutes of a CPU: train them here first, they travel (out/train/clip, out/train/prior). A part whose run
# is in out/train starts from its averaged weights. Results are written after every part: averaged weights in bf16, metrics, the
# newest sheet, in at most 8 files of 16 MiB.
set -euo pipefail

MOST_TRAVELS=$((60 << 20))
MOST_FILES=8

fail() { echo "train_away: $*" >&2; exit 1; }

pack() {
    local folder="${1:-out/away}" packages=training/data/node_modules program=target/release/examples/train run
    [ -x "$program" ] || fail "$program is missing: cargo build --release --package unclip-training --example train"
    [ -d "$packages" ] || fail "$packages is missing: make train-data"
    rm -rf "$folder"
    mkdir -p "$folder/training" "$folder/have"
    strip -o "$folder/train" "$program"
    training/data/pack.sh "$folder/packages.tar.xz"
    cp -r training/configs "$folder/training/"
    cp scripts/train_away.sh "$folder/"
    for run in out/train/*/; do
        [ -e "$run/run.json" ] || continue
        case "$run" in */judge/) continue ;; esac
        mkdir -p "$folder/have/$(basename "$run")"
        # CLIP stays as it is: what is trained on it knows it by its bytes.
        cp -r "$run/run.json" "$run/bundle" "$folder/have/$(basename "$run")/"
    done
    local size
    size="$(du --summarize --bytes "$folder" | cut -f 1)"
    [ "$size" -le "$MOST_TRAVELS" ] || fail "$folder has $((size >> 20)) MiB, at most $((MOST_TRAVELS >> 20)) MiB travel; remove runs that are not needed from $folder/have: $(du -sm "$folder"/have/* | tr '\n' ' ')"
    echo "$folder: $((size >> 20)) MiB"
}

# The libraries of Python's torch, in the place of those that the program was built with. It is linked for the CPU, so
# that nothing but the preload makes libtorch know a GPU.
use_torch() {
    local libraries
    libraries="$(python3 -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))')"
    export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    [ ! -e "$libraries/libtorch_cuda.so" ] || export PRELOAD="$libraries/libtorch_cuda.so"
    export OMP_WAIT_POLICY=PASSIVE
}

program() { LD_PRELOAD="${PRELOAD:-}" ./train "$@"; }

# The stores of the sides that the configurations ask for; drawn once.
store() {
    local side="$1"
    if [ ! -e "work/$side.unclipds" ]; then
        [ -d work/packages ] || { mkdir -p work/packages; tar --extract --xz --file packages.tar.xz --directory work/packages; }
        program data --packages work/packages --names training/configs/names.txt --side "$side" --out "work/$side.unclipds" >&2
    fi
    echo "work/$side.unclipds"
}

# Trains one part until the second DEADLINE.
train() {
    local part="$1" deadline="$2" config="training/configs/${CONFIGS:-h100}/$1.toml" stage="${1%%-*}" side arguments=()
    [ -e "$config" ] || fail "no part $part: $config is missing"
    side="$(sed -n '/^\[unet\]/,/^\[/s/^side *= *//p' "$config")"
    case "$stage" in decoder | prior) arguments+=(--clip have/clip/bundle) ;; esac
    [ ! -d "have/$part" ] || arguments+=(--init "have/$part/bundle")
    program "$stage" --config "$config" --run "work/$part" --store "$(store $((${side:-64} > 64 ? side : 64)))" --resume \
        --workers "$(nproc)" --within "$(((deadline - SECONDS) / 60))" "${arguments[@]}"
}

# What there is of all parts so far.
results() {
    local out="$1" run name newest
    rm -rf work/results
    for run in work/*/run.json; do
        run="$(dirname "$run")" name="$(basename "$(dirname "$run")")"
        name="$(basename "$run")"
        mkdir -p "work/results/$name"
        program export "$run" --output "work/results/$name/bundle" --dtype bf16
        cp "$run/run.json" "$run/metrics.jsonl" "work/results/$name/"
        [ ! -d "$run/judge" ] || cp -r "$run/judge" "work/results/$name/"
        newest="$(ls "$run"/sheets 2>/dev/null | tail -n 1)"
        [ -z "$newest" ] || cp "$run/sheets/$newest" "work/results/$name/"
    done
    rm -f "$out"/results.tar.*
    tar --create --directory work/results . | split --bytes=16MiB --numeric-suffixes - "$out/results.tar."
    [ "$(ls "$out"/results.tar.* | wc -l)" -le "$MOST_FILES" ] || fail "results have more than $MOST_FILES files of 16 MiB; train fewer parts in a slice"
}

slice() {
    local out="$1" end=$((SECONDS + $2 * 60)) shares=0 part share
    shift 2
    mkdir -p "$out"
    out="$(realpath "$out")"
    cd "$(dirname "${BASH_SOURCE[0]}")"
    chmod +x train
    mkdir -p work
    use_torch
    for part in "$@"; do share="${part#*:}"; [ "$share" != "$part" ] || share=1; shares=$((shares + share)); done
    for part in "$@"; do
        share="${part#*:}"; [ "$share" != "$part" ] || share=1
        # Minutes that a part left over are the next ones'.
        train "${part%%:*}" $((SECONDS + (end - SECONDS) * share / shares))
        shares=$((shares - share))
        results "$out"
    done
}

join() {
    mkdir -p out/train
    cat "$1"/results.tar.* | tar --extract --directory out/train
    ls out/train
}

case "${1:-} $#" in
    "pack "[12] | "join 2") cd "$(dirname "${BASH_SOURCE[0]}")/.." && "$@" ;;
    "slice "[4-9]) "$@" ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

# What `check` and `train` share: the unpacked kit and the libraries of this machine's torch. Sourced, with $kit as the kit's folder.

fail() { echo "$(basename "$0"): $*" >&2; exit 1; }

# Where the kit is unpacked: in memory where there is room, since disks of new machines are slow at first. Programs must be
# allowed to run there, which containers often forbid in /dev/shm.
home() {
    local folder room trial
    for folder in /dev/shm "${TMPDIR:-/tmp}" "$kit"; do
        room="$(df --output=avail --block-size=1G "$folder" 2>/dev/null | tail -n 1 | tr -d ' ')"
        [ "${room:-0}" -ge 16 ] || continue
        trial="$folder/unclip-gpu-trial-$$"
        if cp "$(type -P true)" "$trial" 2>/dev/null && "$trial" 2>/dev/null; then
            rm -f "$trial"
            echo "$folder"
            return
        fi
        rm -f "$trial"
    done
    fail "no folder with 16 GiB in which programs may run; set KIT_HOME"
}

# Unpacks the kit, unless this very kit is there already with what it has drawn, and goes there.
unpack() {
    local home mark
    home="${KIT_HOME:-}"
    [ -n "$home" ] || home="$(home)/unclip-gpu-$(id -u)"
    mark="$(cksum <"$kit/kit.tar.xz")"
    if [ "$(cat "$home/done" 2>/dev/null)" != "$mark" ]; then
        rm -rf "$home"
        mkdir -p "$home/work"
        untar "$kit/kit.tar.xz" "$home"
        echo "$mark" >"$home/done"
    fi
    cd "$home"
}

# The libraries of Python's torch in the place of those that the programs were built with. They are linked for the CPU: only the
# preload makes libtorch know a GPU.
use_torch() {
    local libraries folder
    libraries="$(python3 -c 'import importlib.util, os; print(os.path.join(os.path.dirname(importlib.util.find_spec("torch").origin), "lib"))')"
    for folder in "$libraries" "$libraries"/../../nvidia/*/lib; do
        [ ! -d "$folder" ] || LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$(realpath "$folder")"
    done
    export LD_LIBRARY_PATH OMP_WAIT_POLICY=PASSIVE NO_COLOR=1
    export UNCLIP_ONNXRUNTIME="$PWD/lib/libonnxruntime.so" PYTHONPATH="$PWD/python${PYTHONPATH:+:$PYTHONPATH}"
    # For the programs alone: Python would load it twice.
    export KIT_PRELOAD=""
    [ ! -e "$libraries/libtorch_cuda.so" ] || KIT_PRELOAD="$libraries/libtorch_cuda.so"
}

# Runs one of the kit's programs.
program() {
    local name="$1"
    shift
    LD_PRELOAD="$KIT_PRELOAD" "bin/$name" "$@"
}

# The store of pictures of a side, drawn once, and its path. The sets are those that training/configs/h100 names.
store() {
    local side="$1" sets=twemoji,fluent-emoji-flat,noto
    [ "$side" -gt 64 ] || sets="$sets,fluent-emoji"
    (
        flock 9
        if [ ! -e "work/$side.unclipds" ]; then
            (
                flock 8
                [ -d work/packages ] || {
                    mkdir -p work/packages.partial
                    untar "$kit/packages.tar.xz" work/packages.partial
                    mv work/packages.partial work/packages
                }
            ) 8>work/packages.lock
            LD_PRELOAD="" bin/train data --packages work/packages --names training/configs/names.txt --sets "$sets" \
                --side "$side" --out "work/$side.unclipds" >&2
        fi
    ) 9>"work/$side.lock"
    echo "work/$side.unclipds"
}

# Unpacks a .tar.xz; Python's own can where there is no xz.
untar() {
    if command -v xz >/dev/null; then
        tar --extract --xz --touch --file "$1" --directory "$2"
    else
        python3 -m tarfile --extract "$1" "$2"
    fi
}

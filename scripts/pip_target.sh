#!/bin/sh
# pip_target.sh REQUIREMENTS FOLDER [OPTION...]: installs Python packages into FOLDER, for PYTHONPATH; a no-op when it holds them.
# A folder instead of a virtual environment, because Debian's python3 comes without venv.
set -eu
requirements=$1 folder=$2
shift 2
cmp -s "$requirements" "$folder/.installed" && exit 0
echo "setup: installing $requirements into $folder" >&2
rm -rf "$folder"
python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action=ignore \
    --target "$folder" --requirement "$requirements" "$@"
cp "$requirements" "$folder/.installed"

#!/usr/bin/env bash
# Run bench/gpu.py on a machine without network:
#   bench/gpu.sh --download FOLDER           first, elsewhere: fetch the wheels that it lacks, for Python 3.12 on Linux
#   bench/gpu.sh FOLDER [options of gpu.py]  there: install them beside the repository's sources, and run
set -euo pipefail
bench=$(cd "$(dirname "$0")" && pwd)
if [[ ${1:-} == --download && -n ${2:-} ]]; then
    exec python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --dest "$2" --requirement "$bench/gpu_wheels.txt"
fi
[[ -d ${1:-} ]] || { echo "usage: gpu.sh --download FOLDER, or gpu.sh FOLDER [options of gpu.py]" >&2; exit 2; }
wheels=$1
shift
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
python3 -m pip install --quiet --no-index --no-deps --no-cache-dir --target "$site" "$wheels"/*.whl
PYTHONPATH="$bench/../src:$bench:$site${PYTHONPATH:+:$PYTHONPATH}" python3 "$bench/gpu.py" "$@"

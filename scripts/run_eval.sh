#!/usr/bin/env bash
# Evaluate the detector that the setting checkpoint_path names: run_eval.sh CONFIG_PATH [DEVICE_ID] [OPTION ...]
# The output is also written to eval.log.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: bash scripts/run_eval.sh CONFIG_PATH [DEVICE_ID] [OPTION ...]" >&2; exit 2; }
export DEVICE_ID=${2:-0}
program=$(dirname "$0")/../eval.py
"${PYTHON:-python}" "$program" --config_path="$1" "${@:3}" 2>&1 | tee eval.log

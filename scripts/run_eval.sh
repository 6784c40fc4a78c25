#!/usr/bin/env bash
# Evaluate the detector in checkpoint_path of the config: run_eval.sh CONFIG_PATH [DEVICE_ID] [OPTION ...]
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: bash scripts/run_eval.sh CONFIG_PATH [DEVICE_ID]" >&2; exit 2; }
export DEVICE_ID=${2:-0}
program=$(dirname "$0")/../eval.py
"${PYTHON:-python}" "$program" --config_path="$1" "${@:3}" 2>&1 | tee eval.log

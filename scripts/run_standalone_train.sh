#!/usr/bin/env bash
# Train on one device, in the background: run_standalone_train.sh CONFIG_PATH [DEVICE_ID] [OPTION ...]
# The output is written to train.log, the run to a new folder in checkpoint/.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: bash scripts/run_standalone_train.sh CONFIG_PATH [DEVICE_ID] [OPTION ...]" >&2; exit 2; }
export DEVICE_ID=${2:-0}
[ -r "$1" ] || { echo "$1: cannot be read; pass the path of a YAML file" >&2; exit 2; }
program=$(dirname "$0")/../train.py
nohup "${PYTHON:-python}" "$program" --config_path="$1" --runs checkpoint "${@:3}" > train.log 2>&1 &
echo "training in the background (process $!); log: train.log; runs: checkpoint/"

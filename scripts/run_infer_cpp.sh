#!/usr/bin/env bash
# Evaluate an exported file: run_infer_cpp.sh MINDIR_PATH CONFIG_PATH [SSIM_THRESHOLD L1_THRESHOLD] [DEVICE_TYPE] [DEVICE_ID]
# The default is the thresholds in the file. The summary line of the evaluation is written to acc.log.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: bash $0 MINDIR_PATH CONFIG_PATH [SSIM_THRESHOLD L1_THRESHOLD] [DEVICE_TYPE] [DEVICE_ID]" >&2; exit 2; }
options=(--config_path="$2" --checkpoint_path="$1")
shift 2
if [[ ${1:-} =~ ^[0-9]*\.?[0-9]+$ && ${2:-} =~ ^[0-9]*\.?[0-9]+$ ]]; then
    options+=(--ssim_threshold="$1" --l1_threshold="$2")
    shift 2
fi
export DEVICE_ID=${2:-0}
program=$(dirname "$0")/../eval.py
"${PYTHON:-python}" "$program" "${options[@]}" --device_target="${1:-Ascend}" 2>&1 | tee infer.log
grep '^ok: ' infer.log | tee acc.log

#!/usr/bin/env bash
# Evaluate an exported file on Ascend: run_infer_310.sh MINDIR_PATH CONFIG_PATH [SSIM_THRESHOLD L1_THRESHOLD] [DEVICE_ID]
# The default is the thresholds in the file. DEVICE_TARGET=CPU runs the file on a machine without an Ascend.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: bash $0 MINDIR_PATH CONFIG_PATH [SSIM_THRESHOLD L1_THRESHOLD] [DEVICE_ID]" >&2; exit 2; }
target=${DEVICE_TARGET:-Ascend}
case $# in
    2 | 4) set -- "$@" "$target" 0 ;;
    *) set -- "${@:1:$#-1}" "$target" "${@: -1}" ;;
esac
bash "$(dirname "$0")/run_infer_cpp.sh" "$@"

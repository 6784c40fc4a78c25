"""OM files for Ascend 310 boards: made from an ONNX file by the tool of its maker, where that is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ssim_ae.detector.detector_file import DetectorFile, write_json_beside
from ssim_ae.errors import InputError
from ssim_ae.network.onnx_network import PATCHES

TOOL = "atc"  # of CANN, the maker's software
ONNX = "5"  # the tool's number for it


def om_command(network: Path, target: Path, file: DetectorFile, *, batch_size: int, soc_version: str) -> list[str]:
    """Return the command that makes an OM file of a network's ONNX file."""
    side = file.config.tile_size
    return [
        TOOL,
        f"--model={network}",
        f"--framework={ONNX}",
        f"--output={target.with_suffix('')}",  # the tool adds .om
        f"--input_shape={PATCHES}:{batch_size},{file.config.channels},{side},{side}",
        f"--soc_version={soc_version}",
    ]


def write_om(target: Path, file: DetectorFile, command: list[str], *, batch_size: int) -> None:
    """Run the command, and write our JSON beside the file. InputError that says it, where the tool is not here."""
    if not shutil.which(TOOL):
        raise InputError(f"{target}: only {TOOL}, of CANN, makes OM files; where it is installed: {' '.join(command)}")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not target.exists():
        said = (done.stdout + done.stderr).strip().splitlines() or [f"exit status {done.returncode}"]
        raise InputError(f"{target}: {TOOL} failed: {said[-1]}")
    write_json_beside(target, file, batch_size)

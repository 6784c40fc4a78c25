"""The OM format, for Ascend boards: an ONNX file, converted by the compiler `atc` of CANN, Ascend's software."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from ssim_ae.detector.detector_file import network_of, write_json_beside
from ssim_ae.errors import InputError
from ssim_ae.export.export import run_job
from ssim_ae.export.job import ExportJob
from ssim_ae.export.onnx_files import open_network
from ssim_ae.export.options import DEFAULT_CHIP, ExportOptions
from ssim_ae.export.parity import Inspect
from ssim_ae.network.network import PATCHES

COMPILER = "atc"
FRAMEWORK_ONNX = "5"  # atc's number of the input format ONNX
ATC_OPSET = 11  # of the ONNX file: the oldest that `ExportOptions` permits


def write(path: Path, job: ExportJob) -> Inspect:
    """Export the network to an ONNX file beside the target and convert it to an OM file.

    Returns a function that inspects an image with the ONNX file, because an OM file runs only on Ascend boards.
    InputError with the command if `atc` is not installed; the ONNX file remains, for a conversion elsewhere.
    """
    batch_size = job.options.batch_size or 1
    options = ExportOptions("onnx", "network", batch_size=batch_size, opset=job.options.opset or ATC_OPSET)
    onnx_file = options.target(job.source, job.target.with_suffix(".onnx"))
    run_job(replace(job, target=onnx_file, options=options))
    if not shutil.which(COMPILER):
        command = " ".join(_command(onnx_file, job.target, job, batch_size))
        raise InputError(f"{job.target}: {COMPILER} of CANN is not installed; where it is installed, run: {command}")
    _run(_command(onnx_file, path, job, batch_size), path, job.target)
    write_json_beside(path, job.file, batch_size)
    return open_network(onnx_file, job.file)


def _command(onnx_file: Path, output: Path, job: ExportJob, batch_size: int) -> list[str]:
    """Return the command that converts an ONNX file of the network to an OM file."""
    shape = ",".join(map(str, (batch_size, *network_of(job.file.config, job.file.alignment).input_shape)))
    return [
        COMPILER,
        f"--model={onnx_file}",
        f"--framework={FRAMEWORK_ONNX}",
        f"--output={output.with_suffix('')}",  # atc appends .om
        f"--input_shape={PATCHES}:{shape}",
        f"--soc_version={job.options.soc_version or DEFAULT_CHIP}",
    ]


def _run(command: list[str], output: Path, target: Path) -> None:
    """Run a command that writes `output`. InputError about `target` if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not output.exists():
        lines = (done.stdout + done.stderr).strip().splitlines() or [f"exit status {done.returncode}"]
        raise InputError(f"{target}: {command[0]} failed: {lines[-1]}")

"""Which runtime runs a network here."""

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ssim_ae.errors import InputError
from ssim_ae.network.architecture import Layer
from ssim_ae.runtimes import DEVICE_TARGETS, Runtime

RUNTIMES = ("auto", "onnxruntime", "openvino", "torch")
DRIVER_TOOLS = {"GPU": "nvidia-smi", "Ascend": "npu-smi"}  # come with the driver of an accelerator


def open_runtime(
    table: tuple[Layer, ...],
    weights: Mapping[str, np.ndarray],
    *,
    crop_size: int,
    name: str = "auto",
    device_target: str = "auto",
    threads: int | None = None,
) -> Runtime:
    """Return a runtime for the network of `table`; `auto` takes the fastest there is here.

    InputError where the runtime is not installed, or has no such device. `threads`: at most; None: one a core.
    """
    if name not in RUNTIMES:
        raise InputError(f"runtime: should be one of {', '.join(RUNTIMES)}, not {name!r}")
    if device_target not in DEVICE_TARGETS:
        raise InputError(f"device_target: should be one of {', '.join(DEVICE_TARGETS)}, not {device_target!r}")
    if name == "auto":
        name, device_target = _fastest(device_target)
    if name == "torch":
        from ssim_ae.runtimes.torch_runtime import TorchRuntime, pick_device

        return TorchRuntime(table, weights, pick_device(device_target), threads)
    from ssim_ae.network.onnx_network import network_model

    model = network_model(table, weights, crop_size=crop_size).SerializeToString()
    if name == "openvino":
        from ssim_ae.runtimes.openvino_runtime import OpenVinoRuntime

        return OpenVinoRuntime(model, device_target, threads)
    from ssim_ae.runtimes.onnx_runtime import OnnxRuntime

    return OnnxRuntime(model, device_target, threads)


def open_model(path: Path, *, name: str = "auto", device_target: str = "auto", threads: int | None = None) -> Runtime:
    """Return the runtime of an OpenVINO model. InputError where another one is asked for."""
    if name not in ("auto", "openvino"):
        raise InputError(f"runtime: {path} is OpenVINO's, {name} cannot run it")
    from ssim_ae.runtimes.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(path, device_target, threads)


def _fastest(device_target: str) -> tuple[str, str]:
    """Return runtime and device: an accelerator where there is one, else the CPU (measured: docs/speed.md)."""
    from ssim_ae.runtimes.onnx_runtime import available_devices

    for device in ("Ascend", "GPU"):
        if device_target not in ("auto", device):
            continue
        if device in available_devices():
            return "onnxruntime", device
        if device_target == device or (shutil.which(DRIVER_TOOLS[device]) and _torch_has(device)):
            return "torch", device
    return "onnxruntime", "CPU"


def _torch_has(device: str) -> bool:
    if not find_spec("torch"):
        return False
    from ssim_ae.runtimes.torch_runtime import pick_device

    return pick_device("auto").type == {"GPU": "cuda", "Ascend": "npu"}[device]

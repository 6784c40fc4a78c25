"""Reconstruction with ONNX Runtime, which needs no training framework."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import onnxruntime

from ssim_ae.errors import InputError
from ssim_ae.network.onnx_network import PATCHES, RECONSTRUCTIONS
from ssim_ae.runtimes import in_batches

PROVIDERS = {"Ascend": "CANNExecutionProvider", "GPU": "CUDAExecutionProvider", "CPU": "CPUExecutionProvider"}
ERRORS_ONLY = 3


class OnnxRuntime:
    """Runs the network in an ONNX model, patches in and reconstructions out."""

    def __init__(self, model: bytes, device_target: str = "auto", threads: int | None = None) -> None:
        self.model = model
        self.device_target = device_target
        self.session = open_session(model, device_target, threads)
        size = self.session.get_inputs()[0].shape[0]  # a name where any will do
        self.batch_size = size if isinstance(size, int) else None
        self.local = threading.local()  # a worker's own session

    def reconstruct(self, patches: np.ndarray) -> np.ndarray:
        """(B, C, S, S) float32 in [0, 1] -> the reconstructions, same shape, dtype and range."""
        session = getattr(self.local, "session", self.session)
        return in_batches(lambda batch: session.run([RECONSTRUCTIONS], {PATCHES: batch})[0], patches, self.batch_size)

    @contextmanager
    def workers(self) -> Iterator[Callable[[], None]]:
        """Give what a worker thread calls first, so that its calls keep to it: workers would wait for each other."""

        def begin() -> None:
            self.local.session = open_session(self.model, self.device_target, threads=1)

        yield begin


def open_session(model: bytes, device_target: str = "auto", threads: int | None = None) -> onnxruntime.InferenceSession:
    """Open a model. InputError where ONNX Runtime has no such device; `threads`: at most, None for one a core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = ERRORS_ONLY
    return onnxruntime.InferenceSession(model, options, providers=_providers(device_target))


def available_devices() -> list[str]:
    """Return the kinds of device that this ONNX Runtime is built for, the fastest first."""
    available = set(onnxruntime.get_available_providers())
    return [device for device, provider in PROVIDERS.items() if provider in available]


def _providers(device_target: str) -> list[str]:
    if device_target == "auto":
        return [PROVIDERS[device] for device in available_devices()]
    if device_target not in available_devices():
        raise InputError(f"device_target {device_target}: this ONNX Runtime has no {PROVIDERS[device_target]}")
    return list(dict.fromkeys([PROVIDERS[device_target], PROVIDERS["CPU"]]))

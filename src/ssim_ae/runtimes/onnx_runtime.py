"""Networks in ONNX Runtime, which is part of the base installation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ssim_ae.errors import InputError
from ssim_ae.frameworks import import_onnxruntime
from ssim_ae.machine import return_freed_memory
from ssim_ae.network.network import PATCHES
from ssim_ae.runtimes.runtime import run_in_batches

if TYPE_CHECKING:
    import onnxruntime

PROVIDERS = {"Ascend": "CANNExecutionProvider", "GPU": "CUDAExecutionProvider", "CPU": "CPUExecutionProvider"}
ERRORS_ONLY = 3  # log severity


class OnnxRuntime:
    """Runs an ONNX model of a network."""

    def __init__(self, model: bytes, device_target: str = "auto", threads: int | None = None) -> None:
        self.model = model
        self.device_target = device_target
        self.session = open_session(model, device_target, threads)
        self.output = self.session.get_outputs()[0].name
        size = self.session.get_inputs()[0].shape[0]  # a name if the batch size is free
        self.batch_size = size if isinstance(size, int) else None
        self.local = threading.local()  # the session of a thread in `concurrent`
        return_freed_memory()  # constants are computed while a session is opened

    def run(self, patches: np.ndarray) -> np.ndarray:
        """Return the network's outputs, float32, for patches (B, C, H, W) float32 in [0, 1]."""
        session = getattr(self.local, "session", self.session)
        return run_in_batches(lambda batch: session.run([self.output], {PATCHES: batch})[0], patches, self.batch_size)

    @contextmanager
    def concurrent(self) -> Iterator[Callable[[], None]]:
        """Prepare for calls from several threads: they share a session that computes each call on one core."""
        session = open_session(self.model, self.device_target, threads=1)
        return_freed_memory()

        def initialize_thread() -> None:
            self.local.session = session

        yield initialize_thread


def open_session(model: bytes, device_target: str = "auto", threads: int | None = None) -> onnxruntime.InferenceSession:
    """Open a model with at most `threads` CPU threads; None: one per core.

    Raises InputError if ONNX Runtime is built without support for the device.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = ERRORS_ONLY
    return onnxruntime.InferenceSession(model, options, providers=_providers(device_target))


def available_devices() -> list[str]:
    """Return the kinds of device that this build of ONNX Runtime supports, the fastest first."""
    available = set(import_onnxruntime().get_available_providers())
    return [device for device, provider in PROVIDERS.items() if provider in available]


def _providers(device_target: str) -> list[str]:
    """Return the execution providers of a device in order of preference; the CPU is the fallback."""
    if device_target == "auto":
        return [PROVIDERS[device] for device in available_devices()]
    if device_target not in available_devices():
        provider = PROVIDERS[device_target]
        raise InputError(f"device_target {device_target}: this ONNX Runtime has no {provider}; use --device_target=CPU")
    return list(dict.fromkeys([PROVIDERS[device_target], PROVIDERS["CPU"]]))

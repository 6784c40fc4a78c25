"""Reconstruction with ONNX Runtime, which needs no training framework."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import onnxruntime

from ssim_ae.errors import InputError

INPUT, OUTPUT = "patches", "reconstruction"
PROVIDERS = {"Ascend": "CANNExecutionProvider", "GPU": "CUDAExecutionProvider", "CPU": "CPUExecutionProvider"}
ERRORS_ONLY = 3


class OnnxRuntime:
    """Runs the network in an ONNX model, patches in and reconstructions out."""

    def __init__(self, model: bytes, device_target: str = "auto") -> None:
        self.model = model
        self.providers = _providers(device_target)
        self.session = self._session(threads=0)
        self.batch_size = self.session.get_inputs()[0].shape[0]  # a number, or a name where any will do
        self.local = threading.local()  # a worker's own session

    def reconstruct(self, patches: np.ndarray) -> np.ndarray:
        """(B, C, S, S) float32 in [0, 1] -> the reconstructions, same shape, dtype and range."""
        session = getattr(self.local, "session", self.session)
        size = self.batch_size
        if not isinstance(size, int):  # exported for batches of any size
            reconstruction: np.ndarray = session.run([OUTPUT], {INPUT: patches})[0]
            return reconstruction
        padded = np.concatenate([patches, np.zeros((-len(patches) % size, *patches.shape[1:]), np.float32)])
        batches = [padded[start : start + size] for start in range(0, len(padded), size)]
        return np.concatenate([session.run([OUTPUT], {INPUT: batch})[0] for batch in batches])[: len(patches)]

    @contextmanager
    def workers(self) -> Iterator[Callable[[], None]]:
        """Give what a worker thread calls first, so that its calls keep to it: workers would wait for each other."""

        def begin() -> None:
            self.local.session = self._session(threads=1)

        yield begin

    def _session(self, *, threads: int) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads  # 0: a thread a core
        options.log_severity_level = ERRORS_ONLY
        return onnxruntime.InferenceSession(self.model, options, providers=self.providers)


def _providers(device_target: str) -> list[str]:
    """Return the execution providers of `device_target`, the best first: auto takes what there is."""
    if device_target not in ("auto", *PROVIDERS):
        raise InputError(f"device_target: should be one of auto, {', '.join(PROVIDERS)}, not {device_target!r}")
    available = set(onnxruntime.get_available_providers())
    if device_target == "auto":
        return [provider for provider in PROVIDERS.values() if provider in available]
    if PROVIDERS[device_target] not in available:
        raise InputError(f"device_target {device_target}: this ONNX Runtime has no {PROVIDERS[device_target]}")
    return list(dict.fromkeys([PROVIDERS[device_target], PROVIDERS["CPU"]]))

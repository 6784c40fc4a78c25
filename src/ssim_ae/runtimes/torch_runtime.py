"""Networks of layers in PyTorch, in float32."""

import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from ssim_ae.errors import InputError
from ssim_ae.machine import check_not_forked, global_lock
from ssim_ae.network.architecture import Layer
from ssim_ae.network.torch_network import Autoencoder
from ssim_ae.runtimes.runtime import DEVICE_TARGETS


class TorchRuntime:
    """Runs the network of `table` with `weights` on a device."""

    def __init__(
        self,
        table: tuple[Layer, ...],
        weights: Mapping[str, np.ndarray],
        device: torch.device,
        threads: int | None = None,
    ) -> None:
        check_not_forked("PyTorch")
        self.threads = threads
        self.device = device
        network = Autoencoder(table)
        network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
        self.network = network.to_device(self.device).eval()
        self.local = threading.local()  # of a thread in `concurrent`

    @torch.inference_mode()
    def run(self, patches: np.ndarray) -> np.ndarray:
        """Return the network's outputs, float32, for patches (B, C, H, W) float32 in [0, 1]."""
        batch = torch.from_numpy(patches).to(self.device).contiguous(memory_format=torch.channels_last)
        if hasattr(self.local, "has_one_core"):
            return self._run(batch)
        with _restored_threads() as threads:
            torch.set_num_threads(min(threads, self.threads or threads))
            return self._run(batch)

    @contextmanager
    def concurrent(self) -> Iterator[Callable[[], None]]:
        """Prepare for calls from several threads: each limits PyTorch to one core."""

        def initialize_thread() -> None:
            torch.set_num_threads(1)
            self.local.has_one_core = True

        with _restored_threads():
            yield initialize_thread

    def _run(self, batch: torch.Tensor) -> np.ndarray:
        reconstructions: np.ndarray = self.network(batch).contiguous().cpu().numpy()
        return reconstructions


class _Threads:
    """PyTorch's number of threads before the first of the open blocks of `_restored_threads`, and their number."""

    lock = global_lock()
    open_blocks = 0
    before = 0


@contextmanager
def _restored_threads() -> Iterator[int]:
    """Yield PyTorch's number of threads and restore it after the block.

    PyTorch has a number per thread, and a new thread starts with the number that any thread set last. So blocks that
    overlap must not restore what they find, but what was set before the first of them.
    """
    with _Threads.lock:
        if not _Threads.open_blocks:
            _Threads.before = torch.get_num_threads()
        _Threads.open_blocks += 1
        before = _Threads.before
    try:
        yield before
    finally:
        torch.set_num_threads(before)
        with _Threads.lock:
            _Threads.open_blocks -= 1


def pick_device(target: str) -> torch.device:
    """Return the device of `device_target`; `auto` selects Ascend, then CUDA, then the CPU.

    LOCAL_RANK or DEVICE_ID selects one of several accelerators. Raises InputError if the device does not exist.
    """
    if target not in DEVICE_TARGETS:
        raise InputError(f"device_target: should be one of {', '.join(DEVICE_TARGETS)}, not {target!r}")
    index = int(os.environ.get("LOCAL_RANK", os.environ.get("DEVICE_ID", "0")))
    if target in ("Ascend", "auto") and importlib.util.find_spec("torch_npu"):
        import torch_npu  # type: ignore[import-not-found]  # noqa: F401 (registers the device)

        if torch.npu.is_available():  # type: ignore[attr-defined]
            return torch.device("npu", index)
    if target == "Ascend":
        raise InputError("device_target Ascend: no Ascend device found (torch_npu is needed); use --device_target=CPU")
    if target in ("GPU", "auto") and torch.cuda.is_available():
        count = torch.cuda.device_count()
        if index >= count:
            raise InputError(
                f"device_target GPU: no device {index}; set LOCAL_RANK or DEVICE_ID to {count - 1} or less"
            )
        torch.cuda.set_device(index)
        torch.backends.cudnn.allow_tf32 = False  # float32 is float32: results equal those of other runtimes
        return torch.device("cuda", index)
    if target == "GPU":
        raise InputError("device_target GPU: no CUDA device found; use --device_target=CPU")
    return torch.device("cpu")

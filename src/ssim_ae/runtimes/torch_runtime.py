"""Reconstruction with PyTorch, in float32."""

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from ssim_ae.errors import InputError
from ssim_ae.network.architecture import Layer
from ssim_ae.network.torch_network import Autoencoder
from ssim_ae.runtimes import DEVICE_TARGETS


class TorchRuntime:
    """Runs the network of `table` with `weights` on a device."""

    def __init__(
        self,
        table: tuple[Layer, ...],
        weights: Mapping[str, np.ndarray],
        device: torch.device,
        threads: int | None = None,
    ) -> None:
        self.threads = threads
        self.device = device
        network = Autoencoder(table)
        network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
        self.network = network.placed(self.device).eval()

    @torch.inference_mode()
    def reconstruct(self, patches: np.ndarray) -> np.ndarray:
        """(B, C, S, S) float32 in [0, 1] -> the reconstructions, same shape, dtype and range."""
        batch = torch.from_numpy(patches).to(self.device).contiguous(memory_format=torch.channels_last)
        before = torch.get_num_threads()
        torch.set_num_threads(min(before, self.threads or before))
        try:
            reconstructions: np.ndarray = self.network(batch).contiguous().cpu().numpy()
        finally:
            torch.set_num_threads(before)
        return reconstructions

    @contextmanager
    def workers(self) -> Iterator[Callable[[], None]]:
        """Give what a worker thread calls first, so that its calls keep to it: workers would wait for each other."""
        threads = torch.get_num_threads()
        try:
            yield lambda: torch.set_num_threads(1)
        finally:
            torch.set_num_threads(threads)


def pick_device(target: str) -> torch.device:
    """Return the device of `device_target`: auto takes Ascend or CUDA where there is one. InputError if absent."""
    if target not in DEVICE_TARGETS:
        raise InputError(f"device_target: should be one of {', '.join(DEVICE_TARGETS)}, not {target!r}")
    index = int(os.environ.get("LOCAL_RANK", os.environ.get("DEVICE_ID", "0")))
    if target in ("Ascend", "auto") and importlib.util.find_spec("torch_npu"):
        import torch_npu  # type: ignore[import-not-found]  # noqa: F401 (registers the device)

        if torch.npu.is_available():  # type: ignore[attr-defined]
            return torch.device("npu", index)
    if target == "Ascend":
        raise InputError("device_target Ascend: no Ascend device here (torch_npu is needed); try --device_target=CPU")
    if target in ("GPU", "auto") and torch.cuda.is_available():
        if index >= torch.cuda.device_count():
            raise InputError(f"device_target GPU: no device {index}, there are {torch.cuda.device_count()}")
        torch.cuda.set_device(index)
        return torch.device("cuda", index)
    if target == "GPU":
        raise InputError("device_target GPU: no CUDA device here; try --device_target=CPU")
    return torch.device("cpu")

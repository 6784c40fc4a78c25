"""NumPy arrays on the device of a batch, copied without waiting for it."""

import numpy as np
import torch
from torch import Tensor


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Return an array as a tensor of the same dtype."""
    return torch.from_numpy(array).to(device, non_blocking=True)


def floats_to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Return an array as a float32 tensor."""
    return to_device(array.astype(np.float32), device)

"""The SSIM losses that come ready for PyTorch: 1 - the mean SSIM, 11 px window, sigma 1.5, range 1."""

import sys
from collections.abc import Callable
from unittest.mock import MagicMock

from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def pytorch_msssim(channels: int) -> Loss:
    """Return the loss of pytorch-msssim."""
    from pytorch_msssim import SSIM

    ssim = SSIM(data_range=1, win_size=11, win_sigma=1.5, channel=channels)
    return lambda x, y: 1 - ssim(x, y)


def kornia(channels: int) -> Loss:
    """Return the loss of kornia, over the windows that fit."""
    from kornia.metrics import ssim

    return lambda x, y: 1 - ssim(x, y, 11, padding="valid").mean()


def torchmetrics(channels: int) -> Loss:
    """Return the loss of torchmetrics, which counts the mirrored windows along the border too."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    return lambda x, y: 1 - structural_similarity_index_measure(x, y, sigma=1.5, kernel_size=11, data_range=1.0)


def piq(channels: int) -> Loss:
    """Return the loss of piq, whose other measures want torchvision."""
    for name in ("torchvision", "torchvision.models"):
        sys.modules.setdefault(name, MagicMock())
    from piq import SSIMLoss

    return SSIMLoss(kernel_size=11, kernel_sigma=1.5, data_range=1.0)


STOCK_LOSSES = {make.__name__: make for make in (pytorch_msssim, kornia, torchmetrics, piq)}

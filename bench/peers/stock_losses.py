"""Published SSIM losses for PyTorch: 1 - mean SSIM, Gaussian window of 11 px, sigma 1.5, data range 1."""

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
    """Return the loss of kornia, over the windows that lie within the image."""
    from kornia.metrics import ssim

    return lambda x, y: 1 - ssim(x, y, 11, padding="valid").mean()


def torchmetrics(channels: int) -> Loss:
    """Return the loss of torchmetrics, which also includes windows that extend beyond the border, by reflection."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    return lambda x, y: 1 - structural_similarity_index_measure(x, y, sigma=1.5, kernel_size=11, data_range=1.0)


def piq(channels: int) -> Loss:
    """Return the loss of piq. Its import needs torchvision, its SSIM does not."""
    for name in ("torchvision", "torchvision.models"):
        sys.modules.setdefault(name, MagicMock())
    from piq import SSIMLoss

    return SSIMLoss(kernel_size=11, kernel_sigma=1.5, data_range=1.0)


STOCK_LOSSES = {make.__name__: make for make in (pytorch_msssim, kornia, torchmetrics, piq)}

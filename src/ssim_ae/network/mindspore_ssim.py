"""The SSIM loss in MindSpore."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ssim_ae.frameworks import import_mindspore
from ssim_ae.network.ssim import C1, C2, gaussian_matrix

if TYPE_CHECKING:
    from mindspore import Tensor


def ssim_loss(size: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function of two batches (B, C, S, S) in [0, 1]: 1 - their mean SSIM over the windows that fit.

    The loss is computed in float32, from the difference d of the two images: see `ssim_ae.network.ssim`.
    """
    mindspore = import_mindspore()
    float32, matmul = mindspore.float32, mindspore.ops.matmul
    rows = mindspore.Tensor(gaussian_matrix(size).copy())
    columns = mindspore.Tensor(gaussian_matrix(size).T.copy())

    def local_mean(maps: Tensor) -> Tensor:
        return matmul(matmul(rows, maps), columns)

    def loss(reconstruction: Tensor, target: Tensor) -> Tensor:
        x, y = reconstruction.astype(float32), target
        mu_x, mu_y = local_mean(x), local_mean(y)
        mu_d = mu_x - mu_y
        sigma_d2 = local_mean((x - y) * (x - y)) - mu_d * mu_d
        sigma_x2_y2 = local_mean(x * x + y * y) - mu_x * mu_x - mu_y * mu_y  # sigma_x² + sigma_y²
        luminance_loss = mu_d * mu_d / (mu_x * mu_x + mu_y * mu_y + C1)
        structure_loss = sigma_d2 / (sigma_x2_y2 + C2)
        return (luminance_loss + structure_loss - luminance_loss * structure_loss).mean()

    return loss

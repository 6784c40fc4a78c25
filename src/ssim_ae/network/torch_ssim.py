"""The SSIM loss with its gradient, in PyTorch.

The derivative is written out, not left to the framework: four filters forward, three back, and the intermediate maps
of a few patches at a time, which stay in the cache.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ssim_ae.network.ssim import C1, C2, COLUMNS, LINES, blocks, gaussian_matrix

CACHED = {"cpu": 2**18}  # px handled at once, so that all maps of them stay in the cache; other devices: all


class SSIMLoss(nn.Module):
    """1 - the mean SSIM of two batches (B, C, S, S) in [0, 1], over the windows that fit. In float32 or more."""

    gaussian: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("gaussian", torch.from_numpy(gaussian_matrix(size).copy()), persistent=False)

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        loss: Tensor = _Loss.apply(reconstruction, target, self.gaussian)  # type: ignore[no-untyped-call]
        return loss


class _Loss(torch.autograd.Function):
    """Works out the gradient on the way forward, while everything it needs is in the cache."""

    @staticmethod
    def forward(ctx: Any, reconstruction: Tensor, target: Tensor, gaussian: Tensor) -> Tensor:
        batch, channels, size, _ = reconstruction.shape
        dtype = torch.promote_types(torch.promote_types(reconstruction.dtype, target.dtype), torch.float32)
        x, y = (_lines_first(images, dtype) for images in (reconstruction, target))
        gradient = torch.empty_like(x, dtype=reconstruction.dtype) if ctx.needs_input_grad[0] else None
        total = x.new_zeros(())
        planes = max(1, CACHED.get(x.device.type, x.numel()) // size**2)
        for start in range(0, batch * channels, planes):
            part = slice(start, start + planes)
            total += _quarter_ssim(
                x[:, part], y[:, part], gaussian.to(dtype), None if gradient is None else gradient[:, part]
            )
        share = 4 / (batch * channels * len(gaussian) ** 2)
        if gradient is not None:
            ctx.share = share
            in_place = gradient.view(size, batch, channels, size).permute(1, 2, 0, 3)
            ctx.save_for_backward(torch.empty_like(reconstruction).copy_(in_place))
        return 1 - share * total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (of_total,) = ctx.saved_tensors
        return of_total * (-ctx.share * gradient).to(of_total.dtype), None, None


def _lines_first(images: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, C, S, S) -> (S, B * C, S): a filter along the lines is then one matrix product for all images."""
    batch, channels, size, _ = images.shape
    lines = images.new_empty((size, batch, channels, size), dtype=dtype)
    return lines.copy_(images.permute(2, 0, 1, 3)).view(size, batch * channels, size)


def _quarter_ssim(x: Tensor, y: Tensor, gaussian: Tensor, gradient: Tensor | None) -> Tensor:
    """Return a quarter of the sum of SSIM over all windows of x and y, (S, P, S); write its gradient by x.

    With n = mx my + C1/2, d = mx^2 + my^2 + C1 (luminance) and m = cov + C2/2, e = var x + var y + C2 (contrast and
    structure), a quarter of SSIM is nm / de. The constants ride along where they cost nothing.
    """
    size, planes, _ = x.shape
    inputs = x.new_empty(size, 4, planes, size)
    x, y = inputs[:, 0].copy_(x), inputs[:, 1].copy_(y)
    torch.addcmul(x.new_tensor((C1 + C2) / 2), x, y, out=inputs[:, 2])
    torch.addcmul(x.new_tensor(C1 + C2), x, x, out=inputs[:, 3]).addcmul_(y, y)
    mean_x, mean_y, product, squares = _filtered(inputs, gaussian).unbind(1)

    n = torch.addcmul(x.new_tensor(C1 / 2), mean_x, mean_y)
    d = torch.addcmul(x.new_tensor(C1), mean_x, mean_x).addcmul_(mean_y, mean_y)
    m = product.sub_(n)
    e = squares.sub_(d)
    if gradient is None:
        return n.mul_(m).div_(d.mul_(e)).sum()

    by_mean, by_product, by_squares = (outputs := x.new_empty(len(gaussian), 3, *d.shape[1:])).unbind(1)
    inverse = torch.mul(d, e).reciprocal_()
    by_m = torch.mul(n, inverse, out=by_product)
    by_n = torch.mul(m, inverse, out=by_mean)
    ssim = m.mul_(by_m)
    total = ssim.sum()
    minus_by_e = torch.div(ssim, e, out=by_squares)
    minus_by_d = ssim.div_(d)
    by_n.sub_(by_m).mul_(mean_y).addcmul_(minus_by_e - minus_by_d, mean_x, value=2)
    through_mean, through_product, through_squares = _filtered(outputs, gaussian.T).unbind(1)
    gradient.copy_(through_mean.addcmul_(through_product, y).addcmul_(through_squares, x, value=-2))
    return total


def _filtered(maps: Tensor, matrix: Tensor) -> Tensor:
    """(S, K, P, S) -> (T, K, P, T): every map filtered by the banded matrix (T, S) along lines and columns."""
    length, size = matrix.shape
    _, kinds, planes, _ = maps.shape
    lines, along_lines = maps.view(size, -1), maps.new_empty(length, kinds * planes * size)
    for block, needed in blocks(matrix.shape, LINES):
        torch.mm(matrix[block, needed], lines[needed], out=along_lines[block])
    columns, along_both = along_lines.view(-1, size), maps.new_empty(length * kinds * planes, length)
    for block, needed in blocks(matrix.shape, COLUMNS):
        torch.mm(columns[:, needed], matrix[block, needed].T, out=along_both[:, block])
    return along_both.view(length, kinds, planes, length)

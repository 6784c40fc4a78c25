"""The SSIM loss and its gradient in PyTorch.

SSIM of a window of x and y (Wang et al. 2004) is

    SSIM = (2 mu_x mu_y + C1) (2 sigma_xy + C2) / ((mu_x² + mu_y² + C1) (sigma_x² + sigma_y² + C2))
         = 4 a1 a2 / (b1 b2)

    a1 = mu_x mu_y + C1/2        b1 = mu_x² + mu_y² + C1
    a2 = sigma_xy + C2/2         b2 = sigma_x² + sigma_y² + C2

With G the Gaussian filter, mu_x = G x, mu_y = G y and

    p = G (x y + (C1 + C2)/2)        a2 = p - a1
    q = G (x² + y² + C1 + C2)        b2 = q - b1

because the weights of G sum to 1. The gradient of the sum of f = a1 a2 / (b1 b2) over all windows with respect to x is

    G' (df/dmu_x)  +  y G' (df/dp)  +  2 x G' (df/dq)

    df/dp = a1 / (b1 b2)         df/dmu_x = (a2 - a1) / (b1 b2) mu_y + 2 (f / b2 - f / b1) mu_x
    df/dq = -f / b2

with G' the transpose of G. The derivative is implemented by hand because it is faster than autograd: it takes four
filters forward and three backward, and processes a few planes at a time so that all intermediate maps stay in the
CPU cache.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ssim_ae.network.ssim import C1, C2, COLUMN_BLOCK, ROW_BLOCK, band_blocks, gaussian_matrix

CHUNK_PIXELS = {"cpu": 2**18}  # px processed at once, by device type; devices without an entry: all


class SSIMLoss(nn.Module):
    """1 - the mean SSIM of two batches (B, C, S, S) in [0, 1], over the windows that fit into the image.

    It is computed in float32, or in float64 if an input is. Only the reconstruction gets a gradient.
    """

    gaussian: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("gaussian", torch.from_numpy(gaussian_matrix(size).copy()), persistent=False)

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        loss: Tensor = _SSIMLossFunction.apply(reconstruction, target, self.gaussian)  # type: ignore[no-untyped-call]
        return loss


class _SSIMLossFunction(torch.autograd.Function):
    """Computes the gradient in the forward pass, while the maps that it needs are in the cache."""

    @staticmethod
    def forward(ctx: Any, reconstruction: Tensor, target: Tensor, gaussian: Tensor) -> Tensor:
        batch, channels, size, _ = reconstruction.shape
        dtype = torch.promote_types(torch.promote_types(reconstruction.dtype, target.dtype), torch.float32)
        x, y = (_rows_first(images, dtype) for images in (reconstruction, target))
        gradient = torch.empty_like(x, dtype=reconstruction.dtype) if ctx.needs_input_grad[0] else None
        total = x.new_zeros(())  # of SSIM / 4 over all windows
        planes = max(1, CHUNK_PIXELS.get(x.device.type, x.numel()) // size**2)
        for start in range(0, batch * channels, planes):
            chunk = slice(start, start + planes)
            terms = _ssim_terms(x[:, chunk], y[:, chunk], gaussian.to(dtype))
            if gradient is None:
                total += _sum(terms)
            else:
                total += _sum_and_gradient(terms, gaussian.to(dtype), gradient[:, chunk])
        scale = 4 / (batch * channels * len(gaussian) ** 2)
        if gradient is not None:
            ctx.scale = scale
            planes_first = gradient.view(size, batch, channels, size).permute(1, 2, 0, 3)
            ctx.save_for_backward(torch.empty_like(reconstruction).copy_(planes_first))
        return 1 - scale * total

    @staticmethod
    def backward(ctx: Any, loss_gradient: Tensor) -> tuple[Tensor, None, None]:
        (total_gradient,) = ctx.saved_tensors
        return total_gradient * (-ctx.scale * loss_gradient).to(total_gradient.dtype), None, None


class _SSIMTerms(NamedTuple):
    """The terms of SSIM in the module's notation: x and y (S, P, S), all others (S - 10, P, S - 10); P planes."""

    x: Tensor
    y: Tensor
    mu_x: Tensor
    mu_y: Tensor
    a1: Tensor
    a2: Tensor
    b1: Tensor
    b2: Tensor


def _rows_first(images: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, C, S, S) -> (S, B * C, S): the vertical filter is one matrix product for all images."""
    batch, channels, size, _ = images.shape
    rows = images.new_empty((size, batch, channels, size), dtype=dtype)
    return rows.copy_(images.permute(2, 0, 1, 3)).view(size, batch * channels, size)


def _ssim_terms(x: Tensor, y: Tensor, gaussian: Tensor) -> _SSIMTerms:
    """Return the terms of SSIM for P planes, (S, P, S)."""
    size, planes, _ = x.shape
    maps = x.new_empty(size, 4, planes, size)
    x, y = maps[:, 0].copy_(x), maps[:, 1].copy_(y)
    # Every constant is the first argument of an addcmul, where adding it takes no time
    torch.addcmul(x.new_full((), (C1 + C2) / 2), x, y, out=maps[:, 2])
    torch.addcmul(x.new_full((), C1 + C2), x, x, out=maps[:, 3]).addcmul_(y, y)
    mu_x, mu_y, p, q = _filter(maps, gaussian).unbind(1)

    a1 = torch.addcmul(x.new_full((), C1 / 2), mu_x, mu_y)
    b1 = torch.addcmul(x.new_full((), C1), mu_x, mu_x).addcmul_(mu_y, mu_y)
    return _SSIMTerms(x, y, mu_x, mu_y, a1, a2=p.sub_(a1), b1=b1, b2=q.sub_(b1))


def _sum(terms: _SSIMTerms) -> Tensor:
    """Return the sum of f = SSIM / 4 over all windows. Overwrites a1 and b1."""
    return terms.a1.mul_(terms.a2).div_(terms.b1.mul_(terms.b2)).sum()


def _sum_and_gradient(terms: _SSIMTerms, gaussian: Tensor, gradient: Tensor) -> Tensor:
    """Return the sum of f = SSIM / 4 over all windows; write its gradient with respect to x to `gradient`.

    Overwrites a2.
    """
    x, y, mu_x, mu_y, a1, a2, b1, b2 = terms
    derivatives = x.new_empty(len(gaussian), 3, *b1.shape[1:])
    df_dmu_x, df_dp, minus_df_dq = derivatives.unbind(1)

    inverse = torch.mul(b1, b2).reciprocal_()  # 1 / (b1 b2)
    torch.mul(a1, inverse, out=df_dp)
    torch.mul(a2, inverse, out=df_dmu_x)  # only its first term; completed below
    f = a2.mul_(df_dp)
    total = f.sum()
    torch.div(f, b2, out=minus_df_dq)
    f_over_b1 = f.div_(b1)  # overwrites f
    df_dmu_x.sub_(df_dp).mul_(mu_y).addcmul_(minus_df_dq - f_over_b1, mu_x, value=2)

    from_mu_x, from_p, minus_from_q = _filter(derivatives, gaussian.T).unbind(1)
    gradient.copy_(from_mu_x.addcmul_(from_p, y).addcmul_(minus_from_q, x, value=-2))
    return total


def _filter(maps: Tensor, matrix: Tensor) -> Tensor:
    """Filter maps (S, K, P, S) along both axes with a banded matrix (T, S); return (T, K, P, T)."""
    length, size = matrix.shape
    _, count, planes, _ = maps.shape
    rows, vertical = maps.view(size, -1), maps.new_empty(length, count * planes * size)
    for outputs, inputs in band_blocks(matrix.shape, ROW_BLOCK):
        torch.mm(matrix[outputs, inputs], rows[inputs], out=vertical[outputs])
    lines, filtered = vertical.view(-1, size), maps.new_empty(length * count * planes, length)
    for outputs, inputs in band_blocks(matrix.shape, COLUMN_BLOCK):
        torch.mm(lines[:, inputs], matrix[outputs, inputs].T, out=filtered[:, outputs])
    return filtered.view(length, count, planes, length)

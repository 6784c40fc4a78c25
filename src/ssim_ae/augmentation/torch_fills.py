"""What the shapes of corrupted patches are filled with, in PyTorch: a batched function for each `Fill`."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ssim_ae.augmentation.corruption import Corruption, Fill
from ssim_ae.augmentation.torch_arrays import floats_to_device, to_device
from ssim_ae.augmentation.torch_noise import uniform_noise


class _Chosen(NamedTuple):
    """The patches with one kind of fill, their pieces of other images, and their corruption."""

    patches: Tensor
    pieces: Tensor
    corruption: Corruption


def fill_patches(patches: Tensor, pieces: Tensor, corruption: Corruption) -> Tensor:
    """Return the fill of each patch for its whole area, (B, C, S, S).

    `patches` and `pieces`, the pieces of other images for the fill PIECE, are (B, C, S, S) in [0, 1].
    """
    fills = torch.empty_like(patches)
    for fill, function in FILL_FUNCTIONS.items():
        chosen = np.flatnonzero(corruption.fill == fill)
        if len(chosen):
            index = to_device(chosen, patches.device)
            fills[index] = function(_Chosen(patches[index], pieces[index], corruption.take(chosen)))
    return fills


def _piece(chosen: _Chosen) -> Tensor:
    """Return the pieces, rotated and shifted."""
    turns = chosen.corruption.piece_quarter_turns
    is_odd = to_device(turns % 2 == 1, chosen.pieces.device)[:, None, None, None]
    upright = torch.where(is_odd, chosen.pieces.transpose(2, 3), chosen.pieces)
    # A quarter turn is a transposition followed by a flip of the rows; half a turn flips rows and columns
    flipped = np.stack([(turns == 1) | (turns == 2), (turns == 2) | (turns == 3)], axis=1)
    return _rolled(upright, chosen.corruption.piece_position, flipped)


def _shifted(chosen: _Chosen) -> Tensor:
    """Return the patches, shifted."""
    return _rolled(chosen.patches, chosen.corruption.shift, np.zeros((len(chosen.patches), 2), bool))


def _color(chosen: _Chosen) -> Tensor:
    """Return one color."""
    return _per_channel(chosen.corruption.color, chosen.patches).expand_as(chosen.patches)


def _smooth_noise(chosen: _Chosen) -> Tensor:
    """Return uniform noise of a coarse grain, enlarged."""
    patches, _, corruption = chosen

    def noise(grains: int, members: np.ndarray) -> Tensor:
        return uniform_noise(corruption.seed[members], (patches.shape[1], grains, grains), patches.device)

    return _enlarged_by_group(patches, np.rint(1 / corruption.grain).astype(int), noise)


def _tint(chosen: _Chosen) -> Tensor:
    """Return the patches with another contrast and color."""
    patches, _, corruption = chosen
    mean = patches.mean(dim=(2, 3), keepdim=True)
    contrast = floats_to_device(corruption.contrast, patches.device)[:, None, None, None]
    return ((patches - mean) * contrast + mean + _per_channel(corruption.tint, patches)).clamp_(0, 1)


def _blur(chosen: _Chosen) -> Tensor:
    """Return the means of squares of the patches, enlarged."""
    patches, _, corruption = chosen

    def means(side: int, members: np.ndarray) -> Tensor:
        return functional.avg_pool2d(patches[to_device(members, patches.device)], side)

    sides = np.maximum(1, np.rint(patches.shape[-1] * corruption.grain)).astype(int)
    return _enlarged_by_group(patches, sides, means)


FILL_FUNCTIONS: dict[Fill, Callable[[_Chosen], Tensor]] = {
    Fill.PIECE: _piece,
    Fill.SHIFTED: _shifted,
    Fill.COLOR: _color,
    Fill.SMOOTH_NOISE: _smooth_noise,
    Fill.TINT: _tint,
    Fill.BLUR: _blur,
}


def _enlarged_by_group(patches: Tensor, sizes: np.ndarray, coarse: Callable[[int, np.ndarray], Tensor]) -> Tensor:
    """Return coarse images at the size of the patches, in [0, 1].

    `coarse(size, members)` returns those of the patches with this one of `sizes` (B,), by their indices (n,):
    (n, C, s, s).
    """
    result = torch.empty_like(patches)
    for size in np.unique(sizes).tolist():
        members = np.flatnonzero(sizes == size)
        values = coarse(size, members)
        enlarged = functional.interpolate(values, size=patches.shape[2:], mode="bicubic", align_corners=False)
        result[to_device(members, patches.device)] = enlarged.clamp_(0, 1)
    return result


def _rolled(patches: Tensor, shift: np.ndarray, flipped: np.ndarray) -> Tensor:
    """Return patches that are flipped, then shifted with wrap-around.

    `flipped` and `shift`, in sides of the patch, are (B, 2) as (y, x).
    """
    side = patches.shape[-1]
    sources = (np.arange(side) - np.rint(shift * side).astype(int)[..., None]) % side  # (B, 2, side)
    sources = np.where(flipped[..., None], side - 1 - sources, sources)
    rows, columns = to_device(sources, patches.device).unbind(1)
    patch = torch.arange(len(patches), device=patches.device)
    return patches.movedim(1, -1)[patch[:, None, None], rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _per_channel(values: np.ndarray, patches: Tensor) -> Tensor:
    """Return values (B, 3) for the channels of the patches, (B, C, 1, 1)."""
    return floats_to_device(values[:, : patches.shape[1]], patches.device)[:, :, None, None]

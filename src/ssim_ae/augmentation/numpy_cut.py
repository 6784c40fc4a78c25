"""Cut patches from images, in NumPy, for engines whose framework does not do it."""

import numpy as np

from ssim_ae.augmentation.patches import PatchBatch, illumination_gain


def cut(stack: np.ndarray, picks: PatchBatch, crop_size: int) -> np.ndarray:
    """Cut patches from images: (B, C, crop_size, crop_size) float32 in [0, 1].

    `stack` is (N, C, S, S), uint8 or float32 in [0, 1]. Turned patches are bilinear; beyond its border an image goes
    on mirrored, so that they have no black corners.
    """
    patches = np.empty((len(picks), stack.shape[1], crop_size, crop_size), np.float32)
    affine = picks.affine(stack.shape[-1], crop_size)
    for number, (image, (y, x)) in enumerate(zip(picks.image, picks.corner, strict=True)):
        if picks.angle[number]:
            patches[number] = _turned(stack[image], affine[number], crop_size)
        else:
            patch = stack[image, :, y : y + crop_size, x : x + crop_size]
            patches[number] = np.flip(patch, tuple(np.flatnonzero(picks.flipped[number]) + 1))
    if stack.dtype == np.uint8:
        patches /= np.float32(255)
    return (
        patches
        if picks.illumination is None
        else np.clip(patches * illumination_gain(picks.illumination, crop_size), 0, 1)
    )


def _turned(image: np.ndarray, affine: np.ndarray, crop_size: int) -> np.ndarray:
    """(C, S, S) -> (C, crop_size, crop_size): the patch whose px lie where `affine` (2, 3) puts them."""
    size = image.shape[-1]
    along = (2 * np.arange(crop_size, dtype=np.float32) + 1) / crop_size - 1
    x, y = affine[:, :1, None] * along + affine[:, 1:2, None] * along[:, None] + affine[:, 2:, None]
    (left, right, share_x), (top, bottom, share_y) = (_neighbours(values, size) for values in (x, y))
    values = image.astype(np.float32)
    upper = values[:, top, left] * (1 - share_x) + values[:, top, right] * share_x
    lower = values[:, bottom, left] * (1 - share_x) + values[:, bottom, right] * share_x
    turned: np.ndarray = upper * (1 - share_y) + lower * share_y
    return turned


def _neighbours(coordinates: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the px before and after coordinates of -1 to 1 across the image, mirrored at its edges, and the share of
    the one after."""
    positions = ((coordinates + 1) * size - 1) / 2
    from_edge = np.abs(positions + 0.5) % (2 * size)
    positions = np.clip(np.minimum(from_edge, 2 * size - from_edge) - 0.5, 0, size - 1)
    before = np.floor(positions).astype(int)
    return before, np.minimum(before + 1, size - 1), positions - before

"""Cut patches from images in NumPy, for an engine without such a function and for the host."""

import numpy as np

from ssim_ae.augmentation.patches import PatchBatch, illumination_weights
from ssim_ae.images.size import Size


def cut_patches(images: np.ndarray, batch: PatchBatch, crop_size: int | Size) -> np.ndarray:
    """Return patches (B, C, h, w), float32 in [0, 1].

    `crop_size` is their size, or the side of square ones; `images` is (N, C, H, W), uint8 or float32 in [0, 1]. Rotated
    patches are interpolated bilinearly. Images are extended by reflection, so that rotated patches have no black
    corners.
    """
    crop = Size.of(crop_size)
    patches = np.empty((len(batch), images.shape[1], *crop), np.float32)
    affine = batch.affine(images.shape[-2:], crop)
    for index, (image, (y, x)) in enumerate(zip(batch.image, batch.corner, strict=True)):
        if batch.angle[index]:
            patches[index] = _rotated_patch(images[image], affine[index], crop)
        else:
            patch = images[image, :, y : y + crop.height, x : x + crop.width]
            patches[index] = np.flip(patch, tuple(np.flatnonzero(batch.flipped[index]) + 1))
    if images.dtype == np.uint8:
        patches /= np.float32(255)
    if batch.illumination is None:
        return patches
    rows, columns = map(illumination_weights, crop)
    gain = 1 + rows @ batch.illumination[:, None] @ columns.T
    return np.clip(patches * gain, 0, 1)


def _rotated_patch(image: np.ndarray, affine: np.ndarray, crop: Size) -> np.ndarray:
    """Return the patch (C, *crop) of image (C, H, W) in the range of the image.

    `affine` (2, 3) maps coordinates of the patch to those of the image, both in [-1, 1].
    """
    down, right = ((2 * np.arange(side, dtype=np.float32) + 1) / side - 1 for side in crop)
    x, y = affine[:, :1, None] * right + affine[:, 1:2, None] * down[:, None] + affine[:, 2:, None]
    left, right, right_weight = _neighbors(x, image.shape[-1])
    top, bottom, bottom_weight = _neighbors(y, image.shape[-2])
    values = image.astype(np.float32)
    upper = values[:, top, left] * (1 - right_weight) + values[:, top, right] * right_weight
    lower = values[:, bottom, left] * (1 - right_weight) + values[:, bottom, right] * right_weight
    patch: np.ndarray = upper * (1 - bottom_weight) + lower * bottom_weight
    return patch


def _neighbors(coordinates: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels before and after coordinates, and the weight of the pixel after.

    The coordinates -1 and 1 are the borders of an image of `length` pixels; beyond them, the image is reflected.
    """
    positions = ((coordinates + 1) * length - 1) / 2
    from_border = np.abs(positions + 0.5) % (2 * length)
    positions = np.clip(np.minimum(from_border, 2 * length - from_border) - 0.5, 0, length - 1)
    before = np.floor(positions).astype(int)
    return before, np.minimum(before + 1, length - 1), positions - before

"""Cut patches from images in PyTorch, on the device of the images."""

from math import ceil, hypot

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ssim_ae.augmentation.patches import PatchBatch, illumination_weights
from ssim_ae.augmentation.torch_arrays import to_device
from ssim_ae.images.size import Size


def cut_patches(images: Tensor, batch: PatchBatch, crop_size: int | Size) -> Tensor:
    """Return patches (B, C, h, w), float32 in [0, 1], on the device of the images.

    `crop_size` is their size, or the side of square ones; `images` is (N, C, H, W), uint8 or float32 in [0, 1]. Rotated
    patches are interpolated bilinearly. Images are extended by reflection, so that rotated patches have no black
    corners.
    """
    if images.device.type == "cpu":
        patches = _cut_on_cpu(images, batch, crop_size)
    else:
        patches = _rotated_patches(images, batch, crop_size)
    if images.dtype == torch.uint8:
        patches.div_(255)
    if batch.illumination is not None:
        rows, columns = (to_device(illumination_weights(side), patches.device) for side in patches.shape[2:])
        gain = rows @ to_device(batch.illumination, patches.device)[:, None] @ columns.T
        patches.mul_(gain.add_(1)).clamp_(0, 1)
    return patches


def _cut_on_cpu(images: Tensor, batch: PatchBatch, crop_size: int | Size) -> Tensor:
    """Copy the patches that are not rotated, usually most of them, and interpolate only the others."""
    height, width = Size.of(crop_size)
    patches = torch.empty(len(batch), images.shape[1], height, width)
    upright = batch.angle == 0
    for index in np.flatnonzero(upright).tolist():
        y, x = batch.corner[index]
        patch = images[batch.image[index], :, y : y + height, x : x + width]
        patches[index] = patch.flip((np.flatnonzero(batch.flipped[index]) + 1).tolist())
    if not upright.all():
        windows = _windows(images, batch.take(~upright), crop_size)
        patches[torch.from_numpy(~upright)] = _rotated_patches(*windows, crop_size)
    return patches


def _windows(images: Tensor, batch: PatchBatch, crop_size: int | Size) -> tuple[Tensor, PatchBatch]:
    """Return the part of the image around each patch that a rotation can reach, and the batch relative to it."""
    size, crop = np.array(images.shape[-2:]), Size.of(crop_size)
    height, width = window = np.minimum(size, ceil(hypot(*crop)) + 2)
    start = np.clip(batch.corner - (window - crop) // 2, 0, size - window)
    windows = [
        images[image, :, y : y + height, x : x + width]
        for image, (y, x) in zip(batch.image.tolist(), start.tolist(), strict=True)
    ]
    return torch.stack(windows), PatchBatch(np.arange(len(batch)), batch.corner - start, batch.angle, batch.flipped)


def _rotated_patches(images: Tensor, batch: PatchBatch, crop_size: int | Size) -> Tensor:
    """Return patches (B, C, h, w) rotated and flipped in one interpolation, in the range of images."""
    chosen = images[to_device(batch.image, images.device)].float()
    shape = [len(batch), images.shape[1], *Size.of(crop_size)]
    affine = to_device(batch.affine(images.shape[-2:], crop_size), images.device)
    grid = functional.affine_grid(affine, shape, align_corners=False)
    return functional.grid_sample(chosen, grid, padding_mode="reflection", align_corners=False)

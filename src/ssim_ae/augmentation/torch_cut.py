"""Cut patches from images, in PyTorch, where the images are."""

from math import ceil, sqrt

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ssim_ae.augmentation.patches import PatchBatch, illumination_gain


def cut(stack: Tensor, picks: PatchBatch, crop_size: int) -> Tensor:
    """Cut patches from images on their device: (B, C, crop_size, crop_size) float32 in [0, 1].

    `stack` is (N, C, S, S), uint8 or float32 in [0, 1]. Turned patches are bilinear; beyond its border an image goes
    on mirrored, so that they have no black corners.
    """
    patches = _copied(stack, picks, crop_size) if stack.device.type == "cpu" else _turned(stack, picks, crop_size)
    if stack.dtype == torch.uint8:
        patches.div_(255)
    if picks.illumination is not None:
        patches.mul_(_moved(illumination_gain(picks.illumination, crop_size), patches.device)).clamp_(0, 1)
    return patches


def _copied(stack: Tensor, picks: PatchBatch, crop_size: int) -> Tensor:
    """Copy what is not turned, which is most, and turn the rest."""
    patches = torch.empty(len(picks), stack.shape[1], crop_size, crop_size)
    still = picks.angle == 0
    for number in np.flatnonzero(still).tolist():
        y, x = picks.corner[number]
        patch = stack[picks.image[number], :, y : y + crop_size, x : x + crop_size]
        patches[number] = patch.flip((np.flatnonzero(picks.flipped[number]) + 1).tolist())
    if not still.all():
        patches[torch.from_numpy(~still)] = _turned(*_windows(stack, picks.take(~still), crop_size), crop_size)
    return patches


def _windows(stack: Tensor, picks: PatchBatch, crop_size: int) -> tuple[Tensor, PatchBatch]:
    """Return the part of each image that a patch can reach however it is turned, and the picks within."""
    side = min(stack.shape[-1], ceil(crop_size * sqrt(2)) + 2)
    start = np.clip(picks.corner - (side - crop_size) // 2, 0, stack.shape[-1] - side)
    windows = [
        stack[image, :, y : y + side, x : x + side]
        for image, (y, x) in zip(picks.image.tolist(), start.tolist(), strict=True)
    ]
    return torch.stack(windows), PatchBatch(np.arange(len(picks)), picks.corner - start, picks.angle, picks.flipped)


def _turned(stack: Tensor, picks: PatchBatch, crop_size: int) -> Tensor:
    images = stack[_moved(picks.image, stack.device)].float()
    shape = [len(picks), stack.shape[1], crop_size, crop_size]
    affine = _moved(picks.affine(stack.shape[-1], crop_size), stack.device)
    grid = functional.affine_grid(affine, shape, align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _moved(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device, non_blocking=True)

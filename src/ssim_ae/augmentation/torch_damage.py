"""Damaged images and where their damage is visible, in PyTorch."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ssim_ae.augmentation.damage import STRIDE, Damage, damaged
from ssim_ae.augmentation.torch_arrays import floats_to_device
from ssim_ae.augmentation.torch_noise import gaussian_noise

FAINT = 0.03  # difference of brightness at which damage is as likely called visible as not
FAINT_WIDTH = 0.008  # of the transition
INVISIBLE = 0.2 * FAINT  # less is no damage at all


def damaged_images(images: Tensor, good: Tensor, damage: Damage, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return damaged images, (B, C, H, W) in [0, 1], and labels of the damage, (B, 1, H / 4, W / 4), on a device.

    `images` (B, C, H, W) float32 in [0, 1] and the images `good` that pieces come from are in the host's memory.
    """
    pool = good.numpy()
    drawn = np.stack([damaged(image, pool, seed) for image, seed in zip(images.numpy(), damage.seed, strict=True)])
    before, after = images.to(device, non_blocking=True), torch.from_numpy(drawn).to(device, non_blocking=True)
    gain, std = (floats_to_device(values, device)[:, None, None, None] for values in (damage.gain, damage.noise_std))
    noise = gaussian_noise(damage.seed, after.shape[1:], device).mul_(std)
    return noise.addcmul_(after, gain).clamp_(0, 1), visible_change(before, after)


def visible_change(before: Tensor, after: Tensor) -> Tensor:
    """Return how visibly each block of STRIDE px differs in two images (B, C, H, W), (B, 1, h, w) in [0, 1]."""
    difference = functional.avg_pool2d((after - before).abs_().mean(dim=1, keepdim=True), 3, 1, 1)
    difference = functional.max_pool2d(difference, STRIDE)
    return torch.sigmoid((difference - FAINT) / FAINT_WIDTH) * (difference > INVISIBLE)

"""Random numbers that are a function of a seed and a position: equal on every device, for any batch.

PyTorch's generators draw other numbers on each type of device, and one call cannot have a seed per patch.
"""

from collections.abc import Sequence
from functools import cache
from math import prod

import numpy as np
import torch
from torch import Tensor

from ssim_ae.augmentation.torch_arrays import to_device

SEED_STEP = 0x9E3779B9  # distance of the first counters of two consecutive seeds
# The multipliers of a hash of 32 bits with little bias (Wellons 2018, "Prospecting for Hash Functions", lowbias32)
FIRST_MULTIPLIER, SECOND_MULTIPLIER = 0x7FEB352D, 0x846CA68B
LEVELS = 2**16  # of a number


def uniform_noise(seed: np.ndarray, shape: Sequence[int], device: torch.device) -> Tensor:
    """Return independent uniform numbers in (0, 1), (B, *shape) float32, for seeds (B,)."""
    return _levels(seed, shape, device).float().add_(0.5).div_(LEVELS)


def gaussian_noise(seed: np.ndarray, shape: Sequence[int], device: torch.device) -> Tensor:
    """Return independent Gaussian numbers, (B, *shape) float32, for seeds (B,); none is more than 4.4 from 0."""
    levels = _levels(seed, shape, device)
    return _gaussian_quantiles(device).index_select(0, levels.view(-1)).view(levels.shape)


def _levels(seed: np.ndarray, shape: Sequence[int], device: torch.device) -> Tensor:
    """Return independent uniform integers in [0, LEVELS), (B, *shape) int32: the halves of hashed counters."""
    first = to_device((seed * SEED_STEP).astype(np.int32), device)
    value = first[:, None] + torch.arange((prod(shape) + 1) // 2, dtype=torch.int32, device=device)
    value = _shifted_xor(value, 16).mul_(_signed(FIRST_MULTIPLIER))
    value = _shifted_xor(value, 15).mul_(_signed(SECOND_MULTIPLIER))
    value = _shifted_xor(value, 16)
    return value.view(torch.int16)[:, : prod(shape)].to(torch.int32).add_(LEVELS // 2).view(len(seed), *shape)


@cache
def _gaussian_quantiles(device: torch.device) -> Tensor:
    """Return the quantiles of the Gaussian distribution at the middles of LEVELS equal shares, float32."""
    shares = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
    return torch.special.ndtri(shares).float().to(device)


def _shifted_xor(value: Tensor, bits: int) -> Tensor:
    """Return value ^ (value >> bits) of 32-bit integers without sign, which PyTorch has not."""
    return (value >> bits).bitwise_and_((1 << (32 - bits)) - 1).bitwise_xor_(value)


def _signed(value: int) -> int:
    """Return the signed 32-bit integer of the same bits."""
    return value - 2**32 if value >= 2**31 else value

"""What a network is trained on: the inputs of a batch, and what it should return for them, in PyTorch."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ssim_ae.augmentation.corruption import Corruption
from ssim_ae.augmentation.damage import Damage
from ssim_ae.augmentation.patches import PatchBatch, corruption_pieces
from ssim_ae.augmentation.torch_corruption import apply_corruption
from ssim_ae.augmentation.torch_cut import cut_patches
from ssim_ae.augmentation.torch_damage import damaged_images
from ssim_ae.images.size import Size


class Batches(Protocol):
    """Makes batches of images (N, C, H, W), uint8 or float32 in [0, 1], for a network on `device`."""

    def __init__(self, size: Size, device: torch.device) -> None: ...

    def stored(self, images: np.ndarray) -> Tensor:
        """Return images where batches are made from them."""
        ...

    def pair(self, images: Tensor, batch: PatchBatch) -> tuple[Tensor, Tensor]:
        """Return the inputs (B, C, h, w) float32 in [0, 1] and the targets of a batch of stored images, on the device.

        A step does not wait for the device.
        """
        ...


class PatchesToReconstruct:
    """Patches as inputs, corrupted if the batch has a corruption, and as targets. Images are kept on the device."""

    def __init__(self, size: Size, device: torch.device) -> None:
        self.size = size
        self.device = device

    def stored(self, images: np.ndarray) -> Tensor:
        """Return images on the device."""
        return torch.from_numpy(images).to(self.device)

    def pair(self, images: Tensor, batch: PatchBatch) -> tuple[Tensor, Tensor]:
        """Return the inputs and the patches to reconstruct."""
        patches = cut_patches(images, batch, self.size)
        if batch.corruption is None:
            return patches, patches
        assert isinstance(batch.corruption, Corruption)
        chosen = corruption_pieces(batch.corruption, images.shape[-2:], self.size.height)
        pieces = cut_patches(images, chosen, self.size)
        return apply_corruption(patches, pieces, batch.corruption), patches


class DamageToSegment:
    """Damaged images as inputs, and where their damage is visible as targets. Images stay in the host's memory."""

    def __init__(self, size: Size, device: torch.device) -> None:
        self.size = size
        self.device = device

    def stored(self, images: np.ndarray) -> Tensor:
        """Return images in the host's memory."""
        return torch.from_numpy(images)

    def pair(self, images: Tensor, batch: PatchBatch) -> tuple[Tensor, Tensor]:
        """Return the inputs and the labels of their damage."""
        assert isinstance(batch.corruption, Damage)
        return damaged_images(cut_patches(images, batch, self.size), images, batch.corruption, self.device)

"""The method `repair`: a U-Net that is trained to remove synthetic damage (after Bauer et al. 2024).

A network that sees its input nearly whole reconstructs good parts to the pixel, so a defect is what differs on a
coarser scale: SSIM is compared at half the size, or at a quarter of a large image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ssim_ae.augmentation.corruption import Corruption, draw_corruption
from ssim_ae.images.size import Size
from ssim_ae.methods.reconstruction import ReconstructionMethod
from ssim_ae.methods.trained import LossWeights
from ssim_ae.network.architecture import CODE_SIZE, Layer, halvings
from ssim_ae.network.ssim import gaussian_filter, ssim_residual
from ssim_ae.spelling import counted

if TYPE_CHECKING:
    from ssim_ae.config import Config

EXCLUDED_BORDER = 4  # px along the border that are not compared: a network that pads with zeros reconstructs them badly
LARGE_IMAGE_SIZE = 256  # px: SSIM of images with as many pixels as such a square is computed at a quarter of the size
MAX_SKIP_SIZE = 32  # px: a skip connection at a larger size would copy defects pixel by pixel
MIN_IMAGE_SIDE = 64  # px of the image: at a smaller size too few windows of SSIM are left


class RepairMethod(ReconstructionMethod):
    """A U-Net, trained to remove synthetic damage from nearly whole images, that inspects the whole image at once."""

    name = "repair"
    summary = "a U-Net trained to remove synthetic damage"
    defaults = {  # noqa: RUF012 (declared as a class variable in Method)
        "resolution": 144,
        "online_aug": True,
        "rotate_angle": None,
        "p_rotate": 0.5,
        "p_horizontal_flip": 0.0,  # flipped, a good part may be a defective one
        "p_vertical_flip": 0.0,
        "illumination_std": 0.08,
        "flc": 16,
        "epochs": 10,
        "optimizer": "muon",
    }
    unsupported_exports = frozenset({"mindir", "air"})  # MindSpore's network has no skip connections here
    loss = LossWeights(ssim=1.0, squared_error=10.0)
    max_gradient_norm = 1.0  # limits the effect of a single difficult batch
    inspects_whole_image = True
    normalizes_residuals = True
    calibrates_on_training_images = True
    score_distribution = "frechet"  # scores of normalized residuals differ by factors

    def layers(self, config: Config) -> tuple[Layer, ...]:
        """Return the layer table of the network."""
        return unet_layers(crop_size=config.crop_size, channels=config.channels, flc=config.flc)

    def smallest_side(self, config: Config) -> int:
        """Return the least height and width that images can be resized to, px."""
        return max(config.crop_size, MIN_IMAGE_SIDE)

    def size_multiple(self, config: Config) -> int:
        """Return by how much the U-Net reduces an image: its height and width are multiples of it, px."""
        return config.crop_size // CODE_SIZE

    def draw_corruption(self, count: int, images: int, rng: np.random.Generator) -> Corruption:
        """Draw how `count` patches are corrupted, with pieces of `images` images."""
        return draw_corruption(count, images, rng)

    def residual_weights(self, config: Config) -> tuple[float, ...]:  # noqa: ARG002 (the interface)
        """Return a lower weight for the L1 residual: a small change of illumination raises it."""
        return (1.0, 0.25)

    def residual_maps(self, image: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Return 1 - SSIM of the reduced images, enlarged again, and the absolute difference; both smoothed."""
        inner = slice(EXCLUDED_BORDER, -EXCLUDED_BORDER)
        factor = reduction(Size(*image.shape[1:]))
        compared = image.copy()
        compared[:, inner, inner] = output[:, inner, inner]
        coarse = ssim_residual(_reduce(image, factor), _reduce(compared, factor)).mean(axis=0)
        return gaussian_filter(np.stack([_repeat_pixels(coarse, factor), np.abs(image - compared).mean(axis=0)]))

    def combine(self, ratios: np.ndarray) -> np.ndarray:
        """Return the sum of both maps."""
        ssim, l1 = ratios
        combined: np.ndarray = ssim + l1
        return combined

    def describe(self, config: Config) -> str:
        """Describe the network in a few words, as text."""
        return f"U-Net of {counted(config.flc, 'channel')}, trained to remove synthetic damage"


METHOD = RepairMethod()


def reduction(size: Size) -> int:
    """Return how many pixels along each side are averaged before SSIM is computed, for an image of `size`."""
    return 2 if size.height * size.width < LARGE_IMAGE_SIZE**2 else 4


def _reduce(planes: np.ndarray, factor: int) -> np.ndarray:
    """(C, H, W) -> (C, H / factor, W / factor): the mean of each block of pixels."""
    channels, height, width = planes.shape
    mean: np.ndarray = planes.reshape(channels, height // factor, factor, width // factor, factor).mean(axis=(2, 4))
    return mean


def _repeat_pixels(values: np.ndarray, factor: int) -> np.ndarray:
    """(H / factor, W / factor) -> (H, W): each value repeated."""
    return values.repeat(factor, axis=0).repeat(factor, axis=1)


def unet_layers(*, crop_size: int, channels: int, flc: int) -> tuple[Layer, ...]:
    """Return the layer table of a U-Net (Ronneberger et al. 2015) for patches of `crop_size` = 8 * 2^k px, k >= 2.

    It halves the patch down to 8 x 8 px and doubles it again. Skip connections exist only at small sizes: what can be
    copied pixel by pixel would never be repaired.
    """
    sizes = [crop_size >> number for number in range(1, halvings(crop_size) + 1)]
    widths = [flc * min(8, max(1, 128 // size)) for size in sizes]
    inner = widths[-1]
    table = [
        Layer(f"down{number}", "conv", in_channels, width, 4, 2, 1)
        for number, (in_channels, width) in enumerate(zip([channels, *widths], widths, strict=False), 1)
    ]
    table += [Layer(f"middle{number}", "conv", inner, inner, 3, 1, 1) for number in (1, 2, 3)]
    in_channels = inner
    for number in range(len(sizes), 1, -1):
        has_skip = CODE_SIZE < sizes[number - 1] <= min(MAX_SKIP_SIZE, crop_size // 4)
        skip = f"down{number}" if has_skip else ""
        joined, width = in_channels + has_skip * widths[number - 1], widths[number - 2]
        table.append(Layer(f"up{number}", "conv_transpose", joined, width, 4, 2, 1, skip=skip))
        if number < len(sizes):
            table.append(Layer(f"same{number}", "conv", width, width, 3, 1, 1))
        in_channels = width
    return (*table, Layer("up1", "conv_transpose", in_channels, channels, 4, 2, 1, "linear"))

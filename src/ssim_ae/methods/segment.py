"""The method `segment`: a U-Net that is trained from scratch to segment drawn damage.

After Schlüter et al. 2022, "Natural Synthetic Anomalies for Self-Supervised Anomaly Detection and Localization" (NSA),
and the discriminative network of Zavrtanik et al. 2021 (DRAEM).
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ssim_ae.augmentation.damage import Damage, draw_damages
from ssim_ae.images.resize import resize
from ssim_ae.images.size import Size
from ssim_ae.methods.trained import TRAINING_SETTINGS, LossWeights, TrainedMethod
from ssim_ae.network.architecture import Layer, LayeredNetwork
from ssim_ae.network.ssim import gaussian_filter
from ssim_ae.spelling import counted

if TYPE_CHECKING:
    from ssim_ae.config import Config

LOG_ODDS = "log_odds"  # the name of the output in an ONNX graph
HALVINGS = 5
MIN_IMAGE_SIDE = 64  # px
NEGLIGIBLE = -10.0  # log-odds of damage that count as none; a threshold is above it
PART_SHARE = 0.1  # of the blocks: fewer than those on the edges of a part
SMOOTHING = 1.0  # standard deviation of the Gaussian over the blocks: a block alone is rarely damage
INITIAL_LOG_ODDS = -3.0  # damage is rare


class SegmentMethod(TrainedMethod):
    """A U-Net that returns how likely each place of an image is damaged, trained on damage drawn into good images."""

    name = "segment"
    summary = "a U-Net trained to segment drawn damage, in minutes (after NSA, Schlüter et al. 2022)"
    defaults = {  # noqa: RUF012 (declared as a class variable in Method)
        "resolution": 256,
        "online_aug": True,
        "augment_num": 2_000,
        "rotate_angle": 3.0,
        "p_rotate": 1.0,
        "p_horizontal_flip": 0.0,  # flipped, a good part may be a defective one
        "p_vertical_flip": 0.0,
        "flc": 16,
        "epochs": 24,
        "batch_size": 8,
        "optimizer": "muon",
        "lr": 6.0e-4,
    }
    own_settings = TRAINING_SETTINGS | {"align", "damage_threshold", "absence_threshold"}
    unsupported_exports = frozenset({"mindir", "air", "int8"})  # MindSpore has no skip connections here
    residual_names = ("damage", "absence")
    inspects_whole_image = True
    weak_on_random_textures = True  # a piece of such a texture is no damage elsewhere
    loss = LossWeights(focal=10.0)
    max_gradient_norm = 1.0  # limits the effect of a single difficult batch

    def layers(self, config: Config) -> tuple[Layer, ...]:
        """Return the layer table of the network."""
        return unet_layers(channels=config.channels, flc=config.flc)

    def network(self, config: Config, size: Size) -> LayeredNetwork:
        """Return the network of the layer table, whose output is a quarter of its input's size."""
        return LayeredNetwork(self.layers(config), (config.channels, *size), LOG_ODDS)

    def smallest_side(self, config: Config) -> int:  # noqa: ARG002 (the interface)
        """Return the least height and width that images can be resized to, px."""
        return MIN_IMAGE_SIDE

    def size_multiple(self, config: Config) -> int:  # noqa: ARG002 (the interface)
        """Return by how much the U-Net reduces an image: its height and width are multiples of it, px."""
        return 1 << HALVINGS

    def draw_corruption(self, count: int, images: int, rng: np.random.Generator) -> Damage:  # noqa: ARG002
        """Draw what the damage of `count` images is drawn from."""
        return draw_damages(count, rng)

    def residual_weights(self, config: Config) -> tuple[float, ...]:  # noqa: ARG002 (the interface)
        """Return a lower weight for `absence`: an image without its part is far above its threshold."""
        return (1.0, 0.5)

    def residual_maps(self, image: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Return two maps of the smoothed log-odds of damage, at the size of the image.

        `damage`: by how much they exceed negligible ones. `absence`, everywhere the same: the odds against damage in
        the blocks, their quantile PART_SHARE. Edges of a part always look a little damaged, so it is high only if there
        is no part.
        """
        smoothed = gaussian_filter(output, SMOOTHING)
        damage = np.maximum(resize(smoothed, *image.shape[1:]) - np.float32(NEGLIGIBLE), 0)
        odds = np.exp(-smoothed.ravel())
        last = part_blocks(len(odds)) - 1
        return np.concatenate([damage, np.full_like(damage, np.partition(odds, last)[last])])

    def describe(self, config: Config) -> str:
        """Describe the network in a few words, as text."""
        return f"U-Net of {counted(config.flc, 'channel')}, trained to segment drawn damage"


METHOD = SegmentMethod()


def part_blocks(count: int) -> int:
    """Return how many of `count` blocks tell whether a part is in the image: those that are most likely damaged."""
    return ceil(PART_SHARE * count)


def unet_layers(*, channels: int, flc: int) -> tuple[Layer, ...]:
    """Return the layer table of a U-Net (Ronneberger et al. 2015) that ends at a quarter of the size, with one map.

    All sizes have skip connections: what is damaged is to be seen pixel by pixel.
    """
    a, b, c, d = flc, 2 * flc, 4 * flc, 6 * flc
    return (
        Layer("down1", "conv", channels, a, 4, 2, 1),
        Layer("down2", "conv", a, b, 4, 2, 1),
        Layer("same2", "conv", b, b, 3, 1, 1),
        Layer("down3", "conv", b, c, 4, 2, 1),
        Layer("same3", "conv", c, c, 3, 1, 1),
        Layer("down4", "conv", c, d, 4, 2, 1),
        Layer("same4", "conv", d, d, 3, 1, 1),
        Layer("down5", "conv", d, d, 4, 2, 1),
        Layer("same5", "conv", d, d, 3, 1, 1),
        Layer("up5", "conv_transpose", d, d, 4, 2, 1),
        Layer("up4", "conv_transpose", 2 * d, c, 4, 2, 1, skip="same4"),
        Layer("after4", "conv", c, c, 3, 1, 1),
        Layer("up3", "conv_transpose", 2 * c, b, 4, 2, 1, skip="same3"),
        Layer("after3", "conv", 2 * b, b, 3, 1, 1, skip="same2"),
        Layer("damage", "conv", b, 1, 3, 1, 1, "linear", initial_bias=INITIAL_LOG_ODDS),
    )

"""Methods that train a network to reconstruct images, and compare an image with its reconstruction."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from ssim_ae.augmentation.corruption import Corruption
from ssim_ae.images.size import Size
from ssim_ae.methods.method import Method
from ssim_ae.network.architecture import Layer, LayeredNetwork

if TYPE_CHECKING:
    from ssim_ae.config import Config

TRAINING_SETTINGS = frozenset(
    {
        *("crop_size", "do_aug", "online_aug", "augment_num", "aug_dir", "rotate_angle", "p_rotate"),
        *("p_horizontal_flip", "p_vertical_flip", "illumination_std", "flc", "epochs", "minutes", "batch_size"),
        *("optimizer", "lr", "weight_decay", "schedule", "lr_peak_factor", "precision", "checkpoint_seconds"),
        *("load_ckpt_path", "distribute", "ssim_threshold", "l1_threshold"),
    }
)


class LossWeights(NamedTuple):
    """The weight of each term of the training loss."""

    ssim: float = 1.0  # of 1 - SSIM
    squared_error: float = 0.0  # of the mean squared error


class ReconstructionMethod(Method):
    """A network of layers that is trained to reconstruct; the residuals are SSIM and L1."""

    own_settings = TRAINING_SETTINGS
    engines: ClassVar[tuple[str, ...]] = ("torch",)
    residual_names = ("ssim", "l1")
    residual_weights = (1.0, 1.0)
    reconstructs = True

    loss: ClassVar[LossWeights] = LossWeights()
    max_gradient_norm: ClassVar[float | None] = None  # gradients are clipped to this norm

    @abstractmethod
    def layers(self, config: Config) -> tuple[Layer, ...]:
        """Return the layer table of the network."""

    def smallest_side(self, config: Config) -> int:
        """Return the size of a patch: the least height and width that images can be resized to, px."""
        return config.crop_size

    def network(self, config: Config, size: Size) -> LayeredNetwork:
        """Return the network of the layer table."""
        return LayeredNetwork(self.layers(config), (config.channels, *size))

    def draw_corruption(self, count: int, images: int, rng: np.random.Generator) -> Corruption | None:  # noqa: ARG002
        """Draw how `count` patches are corrupted, with pieces of `images` images; None if they are not."""
        return None

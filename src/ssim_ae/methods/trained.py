"""Methods that train a network of layers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from ssim_ae.augmentation.corruption import Corruption
from ssim_ae.augmentation.damage import Damage
from ssim_ae.methods.method import Method
from ssim_ae.network.architecture import Layer

if TYPE_CHECKING:
    from ssim_ae.config import Config

TRAINING_SETTINGS = frozenset(
    {
        *("do_aug", "online_aug", "augment_num", "aug_dir", "rotate_angle", "p_rotate"),
        *("p_horizontal_flip", "p_vertical_flip", "illumination_std", "flc", "epochs", "minutes", "batch_size"),
        *("optimizer", "lr", "weight_decay", "schedule", "lr_peak_factor", "precision", "checkpoint_seconds"),
        *("load_ckpt_path", "distribute"),
    }
)


class LossWeights(NamedTuple):
    """The weight of each term of the training loss."""

    ssim: float = 0.0  # of 1 - SSIM
    squared_error: float = 0.0  # of the mean squared error
    focal: float = 0.0  # of the cross-entropy of log-odds, each weighted by its error (Lin et al. 2017, gamma 1)


class TrainedMethod(Method):
    """A network of layers that is trained on patches, or on whole images if the setting `crop_size` is not used."""

    own_settings = TRAINING_SETTINGS
    engines: ClassVar[tuple[str, ...]] = ("torch",)

    loss: ClassVar[LossWeights]
    max_gradient_norm: ClassVar[float | None] = None  # gradients are clipped to this norm

    @abstractmethod
    def layers(self, config: Config) -> tuple[Layer, ...]:
        """Return the layer table of the network."""

    def draw_corruption(self, count: int, images: int, rng: np.random.Generator) -> Corruption | Damage | None:  # noqa: ARG002
        """Draw how `count` patches are corrupted, with pieces of `images` images; None if they are not."""
        return None

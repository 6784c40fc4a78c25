"""The method `features`: distances of the features of an image from those of good images.

After Defard et al. 2021, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization". It is
fitted in seconds, and needs no training framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ssim_ae.features.backbones import BACKBONES
from ssim_ae.features.distances import DistanceNetwork
from ssim_ae.features.extractor import STRIDE
from ssim_ae.images.resize import resize
from ssim_ae.images.size import Size
from ssim_ae.methods.method import Method

if TYPE_CHECKING:
    from ssim_ae.config import Config

SMALLEST_SIDE = 4 * STRIDE  # px of the image


class FeaturesMethod(Method):
    """A Gaussian of features at each place; the residual is the distance from it."""

    name = "features"
    summary = "distances of features from those of good images, fitted in seconds (after PaDiM, Defard et al. 2021)"
    defaults = {"resolution": 512}  # noqa: RUF012 (declared as a class variable in Method)
    own_settings = frozenset({"align", "backbone", "distance_threshold"})
    unsupported_exports = frozenset({"mindir", "air", "int8"})  # MindSpore builds layers only; int8 moves distances
    residual_names = ("distance",)
    inspects_whole_image = True
    score_distribution = "frechet"  # distances differ by factors

    def network(self, config: Config, size: Size) -> DistanceNetwork:
        """Return the frozen network with the Gaussians."""
        return DistanceNetwork((config.channels, *size), config.backbone)

    def smallest_side(self, config: Config) -> int:  # noqa: ARG002 (the interface)
        """Return the least height and width that images can be resized to, px."""
        return SMALLEST_SIDE

    def size_multiple(self, config: Config) -> int:  # noqa: ARG002 (the interface)
        """Return what the height and the width that images are resized to are multiples of, px."""
        return STRIDE

    def residual_maps(self, image: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Return the distances (1, h, w), enlarged to the size of the image."""
        return resize(output, *image.shape[1:])

    def describe(self, config: Config) -> str:
        """Describe the network in a few words, as text."""
        return f"{BACKBONES[config.backbone].description}, a Gaussian of the features at each place"


METHOD = FeaturesMethod()

"""What was found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from ssim_ae.images.colours import eight_bit, heatmap, pixels
from ssim_ae.images.view import View


@dataclass(frozen=True)
class Inspection:
    """What was found in one image of H x W px, of which S x S px were inspected.

    `pixels` is the image (H, W, C) uint8 or uint16, `anomaly` the anomaly map, (S, S) float32 with limit 1, and
    `planes` what the network made of it, (C, S, S) float32 in [0, 1].
    """

    pixels: np.ndarray
    anomaly: np.ndarray
    planes: np.ndarray
    view: View

    @property
    def score(self) -> float:
        """The highest value of the anomaly map: above 1 the image is defective."""
        return float(self.anomaly.max())

    @property
    def verdict(self) -> Literal["ok", "nok"]:
        """nok for a defective image."""
        return "nok" if self.score > 1 else "ok"

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        return eight_bit(self.pixels, self.view.bit_depth)

    @property
    def inspected(self) -> np.ndarray:
        """(S, S, 3) uint8: the part of the image that was inspected, resized."""
        return eight_bit(pixels(self.view.centre(self.pixels)))

    @property
    def reconstruction(self) -> np.ndarray:
        """(S, S, 3) uint8: what the network made of it."""
        return eight_bit(pixels(self.planes))

    @cached_property
    def anomaly_map(self) -> np.ndarray:
        """(H, W) float32, the limit is 1."""
        return self.view.back(self.anomaly, *self.pixels.shape[:2])

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, True where the image is defective."""
        return self.anomaly_map > 1

    @property
    def defect_share(self) -> float:
        """The share of the image's H x W pixels that is defective."""
        return self.view.share(self.anomaly > 1, *self.pixels.shape[:2])

    @property
    def heatmap(self) -> np.ndarray:
        """(H, W, 3) uint8: the anomaly map in colours over the image."""
        return heatmap(self.image, self.anomaly_map)

"""What was found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from ssim_ae.images.colours import eight_bit, heatmap, pixels
from ssim_ae.images.view import View
from ssim_ae.maps.levels import anomaly_levels
from ssim_ae.maps.regions import label, without_small_regions


class Defect(NamedTuple):
    """The box around a defective region, in px of the image, and the highest value of the anomaly map there."""

    x: int
    y: int
    width: int
    height: int
    score: float


@dataclass(frozen=True)
class Inspection:
    """What was found in one image of H x W px, of which S x S px were inspected.

    `pixels` is the image (H, W, C) uint8 or uint16, `anomaly` the anomaly map, (S, S) float32 with limit 1, and
    `planes` what the network made of it, (C, S, S) float32. Regions below `min_area` px are no defects.
    """

    pixels: np.ndarray
    anomaly: np.ndarray
    planes: np.ndarray
    view: View
    min_area: int = 1

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
        return eight_bit(pixels(self.view.crop(self.pixels)))

    @property
    def reconstruction(self) -> np.ndarray:
        """(S, S, 3) uint8: what the network made of it."""
        return eight_bit(pixels(np.clip(self.planes, 0, 1)))

    @cached_property
    def anomaly_map(self) -> np.ndarray:
        """(H, W) float32, the limit is 1."""
        return self.view.to_image_size(self.anomaly, *self.pixels.shape[:2])

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, True where the image is defective."""
        return self.anomaly_map > 1

    @property
    def levels(self) -> np.ndarray:
        """(S, S) uint8: the number of `LEVEL_THRESHOLDS` that the anomaly map exceeds."""
        return anomaly_levels(self.anomaly, self.min_area)

    def above(self, limit: float) -> np.ndarray:
        """(S, S) bool: what would be defective if the limit were not 1."""
        return without_small_regions(self.anomaly > np.float32(limit), self.min_area)

    def defects(self, limit: float = 1.0) -> list[Defect]:
        """Return the connected defective regions, the worst first."""
        labels, count = label(self.above(limit))
        rows, columns = np.nonzero(labels)
        owner = labels[rows, columns] - 1
        low, high = np.full((2, count), self.view.size), np.full((2, count), -1)
        scores = np.zeros(count, np.float32)
        for axis, positions in enumerate((rows, columns)):
            np.minimum.at(low[axis], owner, positions)
            np.maximum.at(high[axis], owner, positions)
        np.maximum.at(scores, owner, self.anomaly[rows, columns])
        height, width = self.pixels.shape[:2]
        boxes = [
            self.view.to_image_box(low[0][i], high[0][i], low[1][i], high[1][i], height, width) for i in range(count)
        ]
        found = [Defect(*box, float(score)) for box, score in zip(boxes, scores, strict=True)]
        return sorted(found, key=lambda defect: -defect.score)

    @property
    def defect_share(self) -> float:
        """The share of the image's H x W pixels that is defective."""
        return self.view.image_share(self.anomaly > 1, *self.pixels.shape[:2])

    @property
    def heatmap(self) -> np.ndarray:
        """(H, W, 3) uint8: the anomaly map in colours over the image."""
        return heatmap(self.image, self.anomaly_map)

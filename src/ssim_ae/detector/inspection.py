"""The result of inspecting one image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from ssim_ae.images.colors import eight_bit, heatmap, pixels
from ssim_ae.images.view import View
from ssim_ae.maps.levels import anomaly_levels
from ssim_ae.maps.regions import label, without_small_regions
from ssim_ae.maps.verdict import THRESHOLD, is_defective


class Defect(NamedTuple):
    """The box around a defective region, in pixels of the image, and the maximum of the anomaly map in it."""

    x: int
    y: int
    width: int
    height: int
    score: float


@dataclass(frozen=True)
class Inspection:
    """The result of inspecting an image of H x W px, with a view of S x S px.

    `pixels` is the image (H, W, C) uint8 or uint16, `anomaly` the anomaly map of the view (S, S) float32 with the
    threshold 1, and `planes` the reconstruction (C, S, S) float32. Regions of fewer than `min_area` px of the view are
    no defects.
    """

    pixels: np.ndarray
    anomaly: np.ndarray
    planes: np.ndarray
    view: View
    min_area: int = 1

    @property
    def score(self) -> float:
        """The maximum of the anomaly map; above 1 the image is defective."""
        return float(self.anomaly.max())

    @property
    def verdict(self) -> Literal["ok", "nok"]:
        """The verdict: nok for a defective image."""
        return "nok" if is_defective(self.score) else "ok"

    @property
    def image(self) -> np.ndarray:
        """The image, (H, W, 3) uint8."""
        return eight_bit(self.pixels, self.view.bit_depth)

    @property
    def inspected(self) -> np.ndarray:
        """The view: the inspected part of the image, resized, (S, S, 3) uint8."""
        return eight_bit(pixels(self.view.crop(self.pixels)))

    @property
    def reconstruction(self) -> np.ndarray:
        """The reconstruction of the view, (S, S, 3) uint8."""
        return eight_bit(pixels(np.clip(self.planes, 0, 1)))

    @cached_property
    def anomaly_map(self) -> np.ndarray:
        """The anomaly map at the size of the image, (H, W) float32; the threshold is 1."""
        return self.view.to_image_size(self.anomaly, *self.pixels.shape[:2])

    @property
    def mask(self) -> np.ndarray:
        """The defective pixels of the image, (H, W) bool."""
        return is_defective(self.anomaly_map)

    @property
    def levels(self) -> np.ndarray:
        """The number of `LEVEL_THRESHOLDS` that each pixel of the view exceeds, (S, S) uint8."""
        return anomaly_levels(self.anomaly, self.min_area)

    def above(self, threshold: float) -> np.ndarray:
        """Return the defective pixels of the view at another threshold, (S, S) bool."""
        return without_small_regions(self.anomaly > np.float32(threshold), self.min_area)

    def defects(self, threshold: float = THRESHOLD) -> list[Defect]:
        """Return the connected defective regions, in descending order of their scores."""
        labels, count = label(self.above(threshold))
        rows, columns = np.nonzero(labels)
        region = labels[rows, columns] - 1
        first, last = np.full((2, count), self.view.size), np.full((2, count), -1)
        scores = np.zeros(count, np.float32)
        for axis, positions in enumerate((rows, columns)):
            np.minimum.at(first[axis], region, positions)
            np.maximum.at(last[axis], region, positions)
        np.maximum.at(scores, region, self.anomaly[rows, columns])
        height, width = self.pixels.shape[:2]
        boxes = [
            self.view.to_image_box(first[0][i], last[0][i], first[1][i], last[1][i], height, width)
            for i in range(count)
        ]
        found = [Defect(*box, float(score)) for box, score in zip(boxes, scores, strict=True)]
        return sorted(found, key=lambda defect: -defect.score)

    @property
    def defect_share(self) -> float:
        """The share of the H x W pixels of the image that is defective."""
        return self.view.image_share(is_defective(self.anomaly), *self.pixels.shape[:2])

    @property
    def heatmap(self) -> np.ndarray:
        """The anomaly map in colors over the image, (H, W, 3) uint8."""
        return heatmap(self.image, self.anomaly_map)

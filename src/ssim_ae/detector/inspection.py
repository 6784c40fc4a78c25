"""The result of inspecting one image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
from PIL import Image

from ssim_ae.detector.box import Box
from ssim_ae.detector.defects import boxes
from ssim_ae.detector.overlay import draw_overlay, overlay_png
from ssim_ae.detector.regions import colored
from ssim_ae.images.colors import eight_bit, heatmap, pixels
from ssim_ae.images.view import View
from ssim_ae.maps.levels import anomaly_levels
from ssim_ae.maps.regions import without_small_regions
from ssim_ae.maps.verdict import THRESHOLD

MAX_NOTEBOOK_SIDE = 1024  # px, of the overlay in a notebook


@dataclass(frozen=True, eq=False, repr=False)
class Inspection:
    """The result of inspecting an image of H x W px, with a view of h x w px.

    `pixels` is the image (H, W, C) uint8 or uint16, `anomaly` the anomaly map of the view (h, w) float32, and `planes`
    the reconstruction (C, h, w) float32; None if the method does not reconstruct. A pixel of the anomaly map above
    `threshold` is defective. Regions of fewer than `min_area` px of the view are no defects. `milliseconds` is the time
    for decoding and inspection. `sensitivity` is that of the view (h, w) float32, 0 where it is ignored; None without
    regions.
    """

    pixels: np.ndarray
    anomaly: np.ndarray
    planes: np.ndarray | None
    view: View
    min_area: int = 1
    threshold: float = THRESHOLD
    milliseconds: float = 0.0
    sensitivity: np.ndarray | None = None

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        count = len(self.defects)
        threshold = "" if self.threshold == THRESHOLD else f", threshold {self.threshold:.4g}"
        defects = "1 defect" if count == 1 else f"{count} defects"
        return f"<Inspection: {self.verdict}, score {self.score:.4f}{threshold}, {defects}, {width} x {height} px>"

    def _repr_png_(self) -> bytes:
        """Return the overlay as PNG, for notebooks."""
        image = Image.fromarray(self.overlay)
        image.thumbnail((MAX_NOTEBOOK_SIDE, MAX_NOTEBOOK_SIDE))
        return overlay_png(np.asarray(image))

    def at(self, threshold: float) -> Self:
        """Return the result at another threshold of the anomaly map; all images and numbers but the score follow."""
        return replace(self, threshold=float(np.float32(threshold)))

    @property
    def score(self) -> float:
        """The maximum of the anomaly map; above the threshold the image is defective."""
        return float(self.anomaly.max())

    @property
    def verdict(self) -> Literal["ok", "nok"]:
        """The verdict: nok for a defective image."""
        return "nok" if self.score > self.threshold else "ok"

    @property
    def image(self) -> np.ndarray:
        """The image, (H, W, 3) uint8."""
        return eight_bit(self.pixels, self.view.bit_depth)

    @property
    def inspected(self) -> np.ndarray:
        """The view: the inspected part of the image, resized, (h, w, 3) uint8."""
        return eight_bit(pixels(self.view.crop(self.pixels)))

    @property
    def reconstruction(self) -> np.ndarray | None:
        """The reconstruction of the view, (h, w, 3) uint8; None if the method does not reconstruct."""
        return None if self.planes is None else eight_bit(pixels(np.clip(self.planes, 0, 1)))

    @property
    def anomaly_map(self) -> np.ndarray:
        """The anomaly map at the size of the image, (H, W) float32."""
        return self.view.to_image_size(self.anomaly, *self.pixels.shape[:2])

    @property
    def view_mask(self) -> np.ndarray:
        """The defective pixels of the view, (h, w) bool."""
        return without_small_regions(self.anomaly > np.float32(self.threshold), self.min_area)

    @property
    def mask(self) -> np.ndarray:
        """The defective pixels of the image, (H, W) bool."""
        return self.view.to_image_size(self.view_mask, *self.pixels.shape[:2])

    @property
    def levels(self) -> np.ndarray:
        """The number of `LEVEL_THRESHOLDS` that each pixel of the view exceeds, (h, w) uint8."""
        return anomaly_levels(self.anomaly, self.min_area)

    @cached_property
    def defects(self) -> list[Box]:
        """The connected defective regions, in descending order of their scores."""
        return boxes(self.view_mask, self.anomaly, self.view, *self.pixels.shape[:2])

    @property
    def regions(self) -> np.ndarray | None:
        """Ignored pixels and those of other sensitivities, in colors, (h, w, 4) uint8; None without regions."""
        return None if self.sensitivity is None else colored(self.sensitivity)

    @property
    def defect_share(self) -> float:
        """The share of the H x W pixels of the image that is defective."""
        return self.view.image_share(self.view_mask, *self.pixels.shape[:2])

    @property
    def heatmap(self) -> np.ndarray:
        """The anomaly map in colors over the image, (H, W, 3) uint8; the threshold has the middle color."""
        return heatmap(self.image, self.anomaly_map / np.float32(self.threshold))

    @property
    def overlay(self) -> np.ndarray:
        """The heatmap with the outlines of the mask, and a line with verdict and score below, (H + n, W, 3) uint8."""
        threshold = "" if self.threshold == THRESHOLD else f"  threshold {self.threshold:.4g}"
        return draw_overlay(self.heatmap, self.mask, self.verdict, f"{self.verdict}  {self.score:.4f}{threshold}")

"""The detector: any image in; score, verdict, mask and heatmap out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from ssim_ae.config import Config
from ssim_ae.detection.detector_file import read_detector, table_of
from ssim_ae.detection.residuals import Residuals, Thresholds, anomaly_map, residuals
from ssim_ae.detection.tiles import cut_tiles, stitch_tiles
from ssim_ae.errors import InputError
from ssim_ae.images.colours import eight_bit, gray, heatmap, pixels
from ssim_ae.images.files import read
from ssim_ae.images.view import View
from ssim_ae.runtimes import Runtime

TILE_BATCH = 64  # tiles reconstructed at once
DETECTOR_NAME = "detector.safetensors"  # in the folder of a run


@dataclass(frozen=True)
class Inspection:
    """What was found in one image of H x W px.

    `image` is the (H, W, 3) uint8 image, `anomaly` the anomaly map as inspected, (S, S) float32 with limit 1,
    `reconstruction` what the network made of it, (S, S, 3) uint8.
    """

    image: np.ndarray
    anomaly: np.ndarray
    reconstruction: np.ndarray
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
    def inspected(self) -> np.ndarray:
        """(S, S, 3) uint8: the part of the image that was inspected, resized."""
        return pixels(self.view.centre(self.image))

    @cached_property
    def anomaly_map(self) -> np.ndarray:
        """(H, W) float32, the limit is 1."""
        return self.view.back(self.anomaly, *self.image.shape[:2])

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, True where the image is defective."""
        return self.anomaly_map > 1

    @property
    def heatmap(self) -> np.ndarray:
        """(H, W, 3) uint8: the anomaly map in colours over the image."""
        return heatmap(self.image, self.anomaly_map)


class Detector:
    """Inspects images with a network, its config and its thresholds."""

    def __init__(
        self,
        config: Config,
        thresholds: Thresholds,
        runtime: Runtime,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        self.config = config
        self.thresholds = thresholds
        self.runtime = runtime
        self.provenance = provenance or {}
        self.view = View.of(config)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device_target: str = "auto") -> Self:
        """Open a detector file, or the one in a run's folder. InputError if it is none."""
        from ssim_ae.runtimes.torch_runtime import TorchRuntime, pick_device

        file = read_detector(detector_path(Path(path)))
        runtime = TorchRuntime(table_of(file.config), file.weights, pick_device(device_target))
        return cls(file.config, file.thresholds, runtime, file.provenance)

    def inspect(self, image: np.ndarray | str | os.PathLike[str]) -> Inspection:
        """Inspect a file, or an array (H, W, C) uint8 with C = 1 or 3 in RGB order, or (H, W) gray."""
        array = self._pixels(image)
        part = self.view.centre(array)
        reconstruction = self.reconstruct(part)
        maps = residuals(part, reconstruction, self.config.bg_mask)
        return Inspection(
            image=eight_bit(array, self.view.bit_depth),
            anomaly=anomaly_map(maps, self.thresholds, min_area=self.config.smallest_region),
            reconstruction=eight_bit(pixels(reconstruction)),
            view=self.view,
        )

    def inspect_all(self, paths: Iterable[Path]) -> Iterator[Inspection | InputError]:
        """Inspect one file after the other; a file that cannot be read gives its error instead."""
        for path in paths:
            try:
                yield self.inspect(path)
            except InputError as error:
                yield error

    def residuals(self, image: np.ndarray | str | os.PathLike[str]) -> Residuals:
        """Return the residual maps of an image: what thresholds are estimated from."""
        part = self.view.centre(self._pixels(image))
        return residuals(part, self.reconstruct(part), self.config.bg_mask)

    def reconstruct(self, part: np.ndarray) -> np.ndarray:
        """(C, S, S) float32 in [0, 1] -> its reconstruction, averaged where tiles overlap."""
        if not self.config.tiled:
            return self.runtime.reconstruct(part[None])[0]
        tiles = cut_tiles(part, self.config.crop_size, self.config.stride)
        batches = [tiles[start : start + TILE_BATCH] for start in range(0, len(tiles), TILE_BATCH)]
        reconstructions = np.concatenate([self.runtime.reconstruct(batch) for batch in batches])
        return stitch_tiles(reconstructions, part.shape[-1], self.config.stride)

    def _pixels(self, image: np.ndarray | str | os.PathLike[str]) -> np.ndarray:
        if not isinstance(image, np.ndarray):
            return read(Path(image), grayscale=self.config.grayscale)
        array = image[:, :, None] if image.ndim == 2 else image
        if array.ndim != 3 or array.shape[2] not in (1, 3) or array.dtype not in (np.uint8, np.uint16):
            raise InputError(
                f"an image should be (H, W), (H, W, 1) or (H, W, 3) of uint8, not {image.shape} of {image.dtype}"
            )
        if self.config.grayscale and array.shape[2] == 3:
            return np.rint(gray(np.moveaxis(array, 2, 0))).astype(array.dtype)[:, :, None]
        return np.repeat(array, 3, axis=2) if not self.config.grayscale and array.shape[2] == 1 else array


def detector_path(path: Path) -> Path:
    """Return the detector file that a path means: the file itself, or the one in a run's folder."""
    return path / DETECTOR_NAME if path.is_dir() else path

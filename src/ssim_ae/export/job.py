"""What the writer of a format needs: a detector, the options and good images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ssim_ae.console import print_note
from ssim_ae.detector.detector_file import DetectorFile
from ssim_ae.errors import InputError
from ssim_ae.export.options import ExportOptions
from ssim_ae.images.files import read_image
from ssim_ae.synthetic import fabric
from ssim_ae.training.recalibrate import KnownImages, known_images

MAX_COMPARISON_IMAGES = 10  # good images on which a file is compared with the detector


@dataclass(frozen=True)
class ExportJob:
    """One export.

    Attributes:
        source: path of the detector file.
        target: path of the exported file. The writer gets another path, in a temporary folder; `target` is for messages
            and for files that are useful on their own.
        file: content of the detector file.
        options: the options of the export.
        images: good images, for calibration and comparison.
    """

    source: Path
    target: Path
    file: DetectorFile
    options: ExportOptions
    images: ComparisonImages


class ComparisonImages:
    """The good images of a detector's data set. They are searched for and read when they are used first."""

    def __init__(self, source: Path, file: DetectorFile) -> None:
        self._source = source
        self._file = file

    @cached_property
    def paths(self) -> KnownImages:
        """The held-out images and the training images; none of either if no held-out image is found."""
        try:
            return known_images(self._file, self._source)
        except InputError:
            return KnownImages([], [])

    @cached_property
    def for_comparison(self) -> Sequence[np.ndarray]:
        """Up to MAX_COMPARISON_IMAGES held-out images (H, W, C); synthetic images if none is found."""
        held_out, _ = self.paths
        grayscale = self._file.config.grayscale
        if held_out:
            return [read_image(path, grayscale=grayscale) for path in held_out[:MAX_COMPARISON_IMAGES]]
        print_note(f"{self._source}: no held-out image found; the export is compared on synthetic images")
        height, width = self._file.config.working_size
        images = [
            fabric.draw("twill", size=max(height, width), seed=seed)[0][:height, :width]
            for seed in range(MAX_COMPARISON_IMAGES)
        ]
        return [image[:, :, :1] if grayscale else image for image in images]

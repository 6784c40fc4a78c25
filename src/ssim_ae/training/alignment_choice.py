"""The choice of the alignment for a training, and the pixels of aligned parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ssim_ae.alignment.choose import Alignment, choose_alignment
from ssim_ae.config import Config
from ssim_ae.console import print_note
from ssim_ae.detector.detector_file import frame_of
from ssim_ae.images.files import read_image
from ssim_ae.sampling import equal_intervals
from ssim_ae.training.good_images import GoodImages, read_pixels

MAX_ALIGNMENT_IMAGES = 100  # that decide whether parts are aligned


def alignment_of(images: Sequence[Path], config: Config) -> Alignment | None:
    """Decide from images at equal intervals whether parts are aligned, and say so; None if a method aligns none."""
    if not (config.align and config.uses("align")):
        return None
    paths = [images[index] for index in equal_intervals(len(images), MAX_ALIGNMENT_IMAGES)]
    read = (read_image(path, grayscale=config.grayscale) for path in paths)
    alignment, statistics = choose_alignment(read, config.bit_depth)
    if alignment:
        print_note(
            "parts lie at any angle and are turned before they are inspected: that lowers the spread of the good "
            f"images from {statistics.spread:.2f} to {statistics.aligned_spread:.2f}; --align False leaves them"
        )
    return alignment


def with_aligned_pixels(good: GoodImages, alignment: Alignment, config: Config, folder: Path) -> GoodImages:
    """Return good images with the pixels of the strips along their parts, which are read again.

    Pixels that do not fit in memory are in a temporary file in `folder`.
    """
    frame = frame_of(config, alignment)

    def strip(image: np.ndarray) -> np.ndarray:
        return frame.input(image, frame.pose(image))

    training, held_out = read_pixels(good.training_paths, good.held_out_paths, strip, config, folder)
    return replace(good, training_images=training, held_out_images=held_out)

"""Write the image files of a test image: a copy of it, what was inspected, the reconstruction, mask and overlay."""

from __future__ import annotations

from io import BytesIO
from math import sqrt
from pathlib import Path

import numpy as np
from PIL import Image

from ssim_ae.detector.inspection import Inspection
from ssim_ae.errors import InputError
from ssim_ae.images.colors import heatmap, outlined
from ssim_ae.images.files import write_png
from ssim_ae.maps.levels import levels_image
from ssim_ae.storage import write_atomic

THUMBNAIL_SIZE = 256  # px, the longer side
THUMBNAIL_QUALITY = 85  # of JPEG, in percent
COPY_QUALITY = 95  # of JPEG, in percent
MAX_COPY_BYTES = 2 * 2**20  # of the copy of an image
MAX_COPIES_BYTES = 500 * 2**20  # of all copies in a folder
MIN_COPY_SIDE = 256  # px, of the longer side; a copy is not reduced further, whatever its bytes


def copy_bytes(count: int) -> int:
    """Return the bytes that the copy of one of `count` images may take."""
    return min(MAX_COPY_BYTES, MAX_COPIES_BYTES // max(1, count))


def write_images(path: Path, inspection: Inspection, ground_truth: np.ndarray | None, max_copy_bytes: int) -> None:
    """Write the images of an inspection, each at the size of the anomaly map, and a copy of the image.

    Their names begin with that of `path`. The reference's four are `_origin`, `_rec` (if the method reconstructs),
    `_residual` (the mask) and `_visual` (the overlay). A report page also uses `_levels`, from which it computes mask
    and heatmap at any threshold, `_regions` (if the detector has some), the thumbnail `_small`, and `_image`, the image
    itself: at its own size if it takes at most `max_copy_bytes`, else reduced.
    """
    original = inspection.inspected
    mask = inspection.view_mask
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be written: {error.strerror}") from error
    images = {
        "origin": original,
        "rec": inspection.reconstruction,
        "residual": mask,
        "visual": outlined(heatmap(original, inspection.anomaly), mask),
        "levels": levels_image(inspection.levels, ground_truth),
        "regions": inspection.regions,
    }
    for kind, image in images.items():
        if image is not None:
            write_png(path.with_name(f"{path.name}_{kind}.png"), image)
    write_atomic(path.with_name(f"{path.name}_small.jpg"), thumbnail(Image.fromarray(original)))
    write_atomic(path.with_name(f"{path.name}_image.jpg"), _copy(inspection.image, max_copy_bytes))


def thumbnail(image: Image.Image) -> bytes:
    """Encode an RGB image as a small JPEG."""
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    return _jpeg(small, THUMBNAIL_QUALITY)


def _copy(pixels: np.ndarray, max_bytes: int) -> bytes:
    """Encode an image (H, W, 3) uint8 as JPEG, reduced in size until it takes at most `max_bytes`."""
    image = Image.fromarray(pixels)
    encoded = _jpeg(image, COPY_QUALITY, subsampling=0)  # fine colored lines keep their color
    while len(encoded) > max_bytes and max(image.size) > MIN_COPY_SIDE:
        side = int(max(image.size) * min(0.95, sqrt(max_bytes / len(encoded))))
        image = Image.fromarray(pixels)
        image.thumbnail((max(MIN_COPY_SIDE, side),) * 2)
        encoded = _jpeg(image, COPY_QUALITY, subsampling=0)
    return encoded


def _jpeg(image: Image.Image, quality: int, **options: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()

"""Write the image files of a test image: what was inspected, the reconstruction, the mask and the overlay."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ssim_ae.detector.inspection import Inspection
from ssim_ae.errors import InputError
from ssim_ae.evaluation.results import ImageResult
from ssim_ae.images.colors import heatmap, outlined
from ssim_ae.images.files import write_png
from ssim_ae.maps.levels import levels_image
from ssim_ae.storage import write_atomic

THUMBNAIL_SIZE = 256  # px, the longer side
THUMBNAIL_QUALITY = 85  # of JPEG, in percent


def write_images(folder: Path, result: ImageResult, inspection: Inspection) -> None:
    """Write the images of a result into `folder`, each at the size of the anomaly map.

    The reference's four are `<name>_origin`, `_rec`, `_residual` (the mask) and `_visual` (the overlay). A report
    page also uses `_levels`, from which it computes mask and heatmap at any threshold, and the thumbnail `_small`.
    """
    original = inspection.inspected
    mask = inspection.view_mask
    path = folder / result.image.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be written: {error.strerror}") from error
    images = {
        "origin": original,
        "rec": inspection.reconstruction,
        "residual": mask,
        "visual": outlined(heatmap(original, inspection.anomaly), mask),
        "levels": levels_image(inspection.levels, result.ground_truth),
    }
    for kind, image in images.items():
        write_png(path.with_name(f"{path.name}_{kind}.png"), image)
    write_atomic(path.with_name(f"{path.name}_small.jpg"), _thumbnail(original))


def _thumbnail(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()

"""Files that say where to look: JSON with polygons, or a mask."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, ValidationError

from ssim_ae.alignment.frame import Frame
from ssim_ae.alignment.pose import Pose, find_pose
from ssim_ae.alignment.strip import Strip, extent_in
from ssim_ae.console import print_note
from ssim_ae.detector.regions import MAX_REGIONS, Region, Regions, Sensitivity, _Strict
from ssim_ae.errors import InputError
from ssim_ae.images.files import read_image
from ssim_ae.images.size import Size
from ssim_ae.storage import parse_json, read_file

NONE = "none"  # in place of a file: no regions
SUFFIX = ".json"
SHAPE_TOLERANCE = 0.02  # relative difference between the aspect ratios of a file's image and the good images
Side = Annotated[int, Field(ge=1, le=2**20)]


class _Document(_Strict):
    """The content of a JSON file. Points are in px of an image of width x height px, such as `image`."""

    width: Side
    height: Side
    image: str = ""
    elsewhere: Sensitivity = 1.0
    regions: Annotated[list[Region], Field(max_length=MAX_REGIONS)]


def read_regions(path: Path, frame: Frame, good: Size | None) -> Regions:
    """Read a JSON file with polygons, or an image whose dark half of the gray values is ignored.

    `good` is the size of a good image, if one is known. Raises InputError, one line, if the file is not one of
    regions, does not fit the images, or leaves nothing to inspect. Regions outside of the view are noted.
    """
    regions = _of_document(path, frame, good) if path.suffix.lower() == SUFFIX else _of_mask(path, frame, good)
    try:
        regions.sensitivity(frame)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    for region in regions.without_effect(frame):
        print_note(f"{path}: region {region.name or 'unnamed'}: outside of what is inspected, or less than a pixel")
    return regions


def _of_document(path: Path, frame: Frame, good: Size | None) -> Regions:
    try:
        content = parse_json(read_file(path))
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file, or corrupt") from error
    try:
        document = _Document.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {_first_fault(error)}") from error
    size = Size(document.height, document.width)
    _check_shape(path, size, good)
    for region in document.regions:
        if not all(0 <= x <= size.width and 0 <= y <= size.height for x, y in region.polygon):
            raise InputError(
                f"{path}: region {region.name or 'unnamed'}: a point outside of the image of {size.width} x "
                f"{size.height} px; move it inside"
            )
    if not document.regions and document.elsewhere == 1:
        raise InputError(f"{path}: no regions; draw some, or use --regions {NONE}")
    if frame.alignment:
        pose = _pose(path, document, frame)
        polygons = [_in_strip(region.polygon, pose, frame.alignment.strip, size) for region in document.regions]
    else:
        polygons = [[[x / size.width, y / size.height] for x, y in region.polygon] for region in document.regions]
    placed = [
        region.model_copy(update={"polygon": polygon})
        for region, polygon in zip(document.regions, polygons, strict=True)
    ]
    return Regions(elsewhere=document.elsewhere, regions=placed)


def _of_mask(path: Path, frame: Frame, good: Size | None) -> Regions:
    image = read_image(path, grayscale=True)
    _check_shape(path, Size(*image.shape[:2]), good)
    if frame.alignment:
        raise InputError(f"{path}: parts are aligned, and a mask does not turn with them; draw polygons in a JSON file")
    view = frame.view
    rows, columns = (
        (2 * (np.arange(side) + margin) + 1) * length // (2 * whole)
        for side, margin, whole, length in zip(view.size, view.margin, view.working_size, image.shape[:2], strict=True)
    )
    inspected = image[rows[:, None], columns, 0] > np.iinfo(image.dtype).max // 2
    return Regions.of_mask(inspected)


def _check_shape(path: Path, size: Size, good: Size | None) -> None:
    """Raise InputError if an image has another aspect ratio than the good images."""
    if good and abs(size.height * good.width - size.width * good.height) > SHAPE_TOLERANCE * size.width * good.height:
        raise InputError(
            f"{path}: for images of {size.width} x {size.height} px, but the good images have {good.width} x "
            f"{good.height} px; draw it on a good image"
        )


def _pose(path: Path, document: _Document, frame: Frame) -> Pose:
    """Return the pose of the part in the image that the regions were drawn on."""
    if not document.image:
        raise InputError(f"{path}: parts are aligned, so name the image that the regions were drawn on as `image`")
    image_path = path.parent / document.image
    if not image_path.is_file():
        raise InputError(f"{path}: image {document.image}: no such file beside it; put the good image there")
    image = read_image(image_path)
    if image.shape[:2] != (document.height, document.width):
        raise InputError(
            f"{path}: image {document.image} has {image.shape[1]} x {image.shape[0]} px, not {document.width} x "
            f"{document.height}"
        )
    return find_pose(image, frame.view.bit_depth)


def _in_strip(polygon: list[list[float]], pose: Pose, strip: Strip, image: Size) -> list[list[float]]:
    """Return points (x, y) of an image in px as shares of the length and breadth of the strip."""
    extent = extent_in(strip, max(image))
    placed = []
    for point_x, point_y in polygon:
        y, x = point_y - float(pose.y), point_x - float(pose.x)
        along, across = y * float(pose.dy) + x * float(pose.dx), y * float(pose.dx) - x * float(pose.dy)
        placed.append([(along - extent.start) / extent.length, (across - extent.left) / extent.breadth])
    return placed


def _first_fault(error: ValidationError) -> str:
    """Return the first fault of a document in one line."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "the document"
    if first["type"] == "extra_forbidden":
        return f"{place}: unknown; known are width, height, image, elsewhere and regions of name, sensitivity, polygon"
    return f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}"

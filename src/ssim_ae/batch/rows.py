"""The function of a batch of images: a detector and images in, a row for each out. Every way to run a job calls it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssim_ae.batch.listing import ImageFile
from ssim_ae.batch.pictures import PictureWriter
from ssim_ae.buckets import is_url
from ssim_ae.buckets.store import ObjectStore, StoredObject
from ssim_ae.buckets.urls import parse_url
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.inspection import Inspection
from ssim_ae.errors import InputError
from ssim_ae.images.files import MAX_FILE_BYTES, decode_image, read_bytes
from ssim_ae.maps.verdict import THRESHOLD


class Row(NamedTuple):
    """The row of an image. Its fields are the columns, in this order. It depends on image and detector alone.

    Attributes:
        path: path or URL of the image.
        size: of the file in bytes; None if it cannot be read.
        sha256: of its content, in hex.
        width, height: of the image in px; None if it cannot be decoded.
        verdict: ok, nok, or error if the image cannot be inspected.
        score: maximum of the anomaly map.
        defect_share: share of the image's pixels that is defective.
        defects: boxes of the defects in px of the image, the highest score first.
        threshold: threshold of the score.
        detector: fingerprint of the detector.
        error: why the image has no verdict, or why its picture was not written.
        picture: name of its picture in the place of the job; empty without one.
    """

    path: str
    size: int | None
    sha256: str
    width: int | None
    height: int | None
    verdict: str
    score: float | None
    defect_share: float | None
    defects: list[dict[str, Any]]
    threshold: float
    detector: str
    error: str
    picture: str = ""


Read = Callable[[ImageFile], bytes]


def inspect_images(
    detector: Detector,
    images: Sequence[ImageFile],
    *,
    threshold: float = THRESHOLD,
    read: Read | None = None,
    pictures: PictureWriter | None = None,
) -> Iterator[Row]:
    """Inspect images; yield their rows in order. An image that cannot be used has a row with the reason.

    `read` returns the content of an image, by default of its file or object. `pictures` writes those of nok images.

    Raises:
        OSError: The machine or the object store failed. This says nothing about an image.
    """
    contents: dict[ImageFile, tuple[int, str]] = {}

    def pixels(image: ImageFile) -> np.ndarray:
        data = (read or read_content)(image)
        contents[image] = (len(data), hashlib.sha256(data).hexdigest())
        return decode_image(BytesIO(data), image.location, grayscale=detector.config.grayscale)

    def row(image: ImageFile, result: Inspection | InputError) -> Row:
        size, digest = contents.pop(image, (None, ""))
        found = None if isinstance(result, InputError) else result.at(threshold)
        height, width = found.pixels.shape[:2] if found else (None, None)
        error, picture = "" if found else str(result), ""
        if found and pictures and found.verdict == "nok":
            try:
                picture = pictures.write(found, digest)
            except InputError as fault:
                error = f"{image.location}: {fault}"
        return Row(
            path=image.location,
            size=size,
            sha256=digest,
            width=width,
            height=height,
            verdict=found.verdict if found else "error",
            score=found.score if found else None,
            defect_share=found.defect_share if found else None,
            defects=[asdict(box) for box in found.defects] if found else [],
            threshold=threshold,
            detector=detector.fingerprint,
            error=error,
            picture=picture,
        )

    results = detector.map_inspections(images, row, read=pixels)
    for image, result in zip(images, results, strict=True):
        yield row(image, result) if isinstance(result, InputError) else result


def read_content(image: ImageFile) -> bytes:
    """Return the content of an image. Raises InputError if it is missing or has changed since it was listed.

    Raises:
        OSError: The machine or the object store failed.
    """
    if not is_url(image.location):
        return read_bytes(Path(image.location))
    if image.size > MAX_FILE_BYTES:
        raise InputError(f"{image.location}: larger than {MAX_FILE_BYTES // 2**20} MiB")
    scheme, bucket, key = parse_url(image.location)
    listed = StoredObject(image.size, image.version) if image.size >= 0 else None
    try:
        data = _store(scheme, bucket).read(key, listed)
    except InputError as error:
        raise ConnectionError(str(error)) from error
    if data is None:
        raise InputError(f"{image.location}: no such object, or changed since it was listed")
    return data


@cache
def _store(scheme: str, bucket: str) -> ObjectStore:
    return ObjectStore(scheme, bucket, "")

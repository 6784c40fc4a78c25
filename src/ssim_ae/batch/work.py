"""The work on one part, on this machine or on a worker: open the detector once, inspect the images, write the rows."""

from __future__ import annotations

from functools import cache
from time import perf_counter
from typing import Any, NamedTuple

from ssim_ae.batch.parts import Part
from ssim_ae.batch.pictures import PictureWriter
from ssim_ae.batch.place import open_place
from ssim_ae.batch.rows import inspect_images
from ssim_ae.batch.summary import Summary
from ssim_ae.batch.tables import TABLE_SUFFIX, as_parquet
from ssim_ae.detector.detector import Detector
from ssim_ae.errors import InputError
from ssim_ae.locations import local_path


class Work(NamedTuple):
    """How parts are inspected: all that a worker has to know beside the part.

    Attributes:
        detector: absolute path or URL of the detector, which every worker reads.
        fingerprint: that of the detector.
        threshold: of the score.
        place: absolute path or URL of the folder that the parts are written to.
        pictures: kind of the pictures of nok images beside them; empty for none.
        runtime, device_target, threads: as in `Detector.load`.
    """

    detector: str
    fingerprint: str
    threshold: float
    place: str
    pictures: str = ""
    runtime: str = "auto"
    device_target: str = "auto"
    threads: int | None = None

    @property
    def key(self) -> str:
        """What decides on the rows of an image."""
        return f"{self.fingerprint} {self.threshold!r}"


class Scores(NamedTuple):
    """Labels and scores of the images of a part that could be inspected, and a line for each other one."""

    labels: list[str]
    scores: list[float]
    errors: list[str]


def write_part(work: Work, part: Part) -> Summary:
    """Inspect the images of a part, write their pictures, and then their rows to its file.

    Raises:
        InputError: The detector cannot be used here, or the file cannot be written.
        OSError: The machine or the object store failed.
    """
    start = perf_counter()
    detector = _open_detector(work)
    place = open_place(work.place)
    pictures = PictureWriter(place, work.pictures) if work.pictures else None
    rows = list(inspect_images(detector, part.images, threshold=work.threshold, pictures=pictures))
    place.write(part.name + TABLE_SUFFIX, as_parquet(rows))
    return Summary.of(rows, (perf_counter() - start) * detector.threads)


def score_part(work: Work, part: Part) -> Scores:
    """Return labels and scores of the images of a part. Raises InputError and OSError as `write_part` does."""
    rows = list(inspect_images(_open_detector(work), part.images, threshold=work.threshold))
    inspected = [
        (image.label, row.score) for image, row in zip(part.images, rows, strict=True) if row.score is not None
    ]
    return Scores(
        [label for label, _ in inspected], [score for _, score in inspected], [row.error for row in rows if row.error]
    )


@cache
def _open_detector(work: Work) -> Detector:
    options = {"runtime": work.runtime, "device_target": work.device_target, "threads": work.threads}
    return open_same_detector(work.detector, work.fingerprint, **options)


def open_same_detector(location: str, fingerprint: str, **options: Any) -> Detector:
    """Open the detector at a path or URL, with options of `Detector.load`. Raises InputError if it is another one."""
    detector = Detector.load(local_path(location), **options)
    if detector.fingerprint != fingerprint:
        raise InputError(f"{location}: not the same detector on every machine; put one file where all can read it")
    return detector

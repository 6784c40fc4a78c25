"""A job: the parts of a listing that are not done yet, inspected one after the other or by a cluster."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from itertools import chain
from pathlib import Path
from typing import Self

from ssim_ae.batch.listing import Listing
from ssim_ae.batch.parts import Part, cut_into_parts
from ssim_ae.batch.place import open_place, start_job, written_parts
from ssim_ae.batch.rows import inspect_images
from ssim_ae.batch.summary import Summary
from ssim_ae.batch.tables import TABLE_SUFFIX, read_rows, table_file
from ssim_ae.batch.work import Work
from ssim_ae.console import LOG_INTERVAL, print_message
from ssim_ae.detector.detector import Detector
from ssim_ae.errors import InputError
from ssim_ae.spelling import counted, listed

MAX_NAMED = 20  # files in a message
READERS = 8  # of parts that an earlier start has written
Distribute = Callable[[Iterable[Part]], Iterator[Summary]]


def write_table(detector: Detector, listing: Listing, path: Path, *, threshold: float, part_images: int) -> Summary:
    """Inspect the images of a listing on this machine; write their rows to one Parquet file. Return what was found."""
    summary = Summary()
    progress = Progress(listing)
    with table_file(path) as write:
        for part in cut_into_parts(listing, "", part_images):
            start = time.perf_counter()
            rows = list(inspect_images(detector, part.images, threshold=threshold))
            write(rows)
            done = Summary.of(rows, (time.perf_counter() - start) * detector.threads)
            summary.add(done)
            progress.advance(done.images)
    return summary


class PartsJob:
    """A job that writes a file for each part of a listing. `done_before` counts images that an earlier start did."""

    def __init__(self, work: Work, listing: Listing, *, part_images: int) -> None:
        """Raise InputError, with nothing written, if there is no image, or the place holds another job."""
        images = iter(listing)
        self._images = chain([next(images)], images)
        self._listing = listing
        self._work = work
        self._part_images = part_images
        self._identity = {
            "detector": work.fingerprint,
            "threshold": work.threshold,
            "images": sorted(listing.locations),
            "part_images": part_images,
            **({"pictures": work.pictures} if work.pictures else {}),
        }
        self._place = open_place(work.place)
        self._written = written_parts(self._place, work.place, self._identity)
        self.done_before = 0

    def run(self, distribute: Distribute) -> Summary:
        """Inspect the images of the parts that are not done; return what was found in all parts. Call it once.

        Raises InputError if the place holds rows of images that have changed since: these are named.
        """
        place = self._work.place
        start_job(self._place, self._identity)
        left = set(self._written)
        progress = Progress(self._listing)
        summary = Summary()
        with _EarlierParts(place) as earlier:

            def missing() -> Iterator[Part]:
                for part in cut_into_parts(self._images, self._work.key, self._part_images):
                    if part.name not in self._written:
                        yield part
                        continue
                    left.discard(part.name)
                    self.done_before += len(part.images)
                    earlier.count(part)
                    progress.skip(len(part.images))

            for done in distribute(missing()):
                summary.add(done)
                progress.advance(done.images)
        summary.add(earlier.summary)
        if left:
            raise InputError(
                f"{place}: holds rows of images that have changed or are gone since, in {counted(len(left), 'file')} "
                f"({_listed(left)}); remove these, all other rows are complete"
            )
        return summary


class _EarlierParts:
    """Counts the rows of parts that an earlier start has written, beside the work, a few parts at a time."""

    def __init__(self, place: str) -> None:
        self.summary = Summary()
        self._place = place
        self._pool = ThreadPoolExecutor(READERS)
        self._reading: deque[Future[Summary]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        while self._reading and kind is None:
            self._add_first()
        self._pool.shutdown(cancel_futures=True)

    def count(self, part: Part) -> None:
        """Read the rows of a part and count them. Raises InputError if an earlier part cannot be read."""
        if len(self._reading) >= 2 * READERS:
            self._add_first()
        self._reading.append(self._pool.submit(self._read, part.name + TABLE_SUFFIX))

    def _add_first(self) -> None:
        self.summary.add(self._reading.popleft().result())

    def _read(self, name: str) -> Summary:
        try:
            return Summary.of(read_rows(open_place(self._place).read(name) or b""))
        except ValueError as error:
            raise InputError(f"{self._place}: {name} is damaged; remove it and start again") from error


def _listed(parts: set[str]) -> str:
    names = [f"{name}{TABLE_SUFFIX}" for name in sorted(parts)]
    return listed(names, MAX_NAMED)


class Progress:
    """A line every few seconds: images done, of how many, their rate and the time left.

    The images are counted by listing them a second time, beside the work.
    """

    def __init__(self, listing: Listing) -> None:
        self.total = 0
        self.is_counted = False
        self.done = self.skipped = 0
        self.start = self.last_printed = time.monotonic()
        threading.Thread(target=self._count, args=[copy(listing)], daemon=True).start()

    def advance(self, images: int) -> None:
        """Report that images are inspected."""
        self.done += images
        now = time.monotonic()
        if now - self.last_printed < LOG_INTERVAL:
            return
        self.last_printed = now
        rate = self.done / (now - self.start)
        known = self.done + self.skipped
        of = f"of {self.total:,}" if self.is_counted else f"of more than {max(self.total, known):,}"
        seconds = round(max(0, self.total - known) / rate)
        left = f"  {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left" if self.is_counted else ""
        print_message(f"inspected {known:,} {of}  {rate:,.0f} images/s{left}")

    def skip(self, images: int) -> None:
        """Report that images were inspected by an earlier start."""
        self.skipped += images

    def _count(self, images: Listing) -> None:
        with suppress(InputError, OSError):  # the work itself reports them
            for _ in images:
                self.total += 1
            self.is_counted = True

"""Inspection in a Ray Data pipeline: `ssim_ae.ray.inspect` between your own read and write."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ssim_ae.batch.listing import ImageFile, file_of
from ssim_ae.batch.rows import Row, inspect_images
from ssim_ae.batch.tables import as_table
from ssim_ae.batch.work import open_same_detector
from ssim_ae.detector.detector import Detector
from ssim_ae.locations import absolute_location, local_path
from ssim_ae.maps.verdict import THRESHOLD

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset

PATH, CONTENT = "path", "bytes"  # columns of a dataset, as ray.data.read_binary_files names them
BATCH_SIZE = 16  # images, whose files are in memory at once


def inspect(
    dataset: Dataset,
    detector: str | os.PathLike[str],
    *,
    threshold: float = THRESHOLD,
    concurrency: int | tuple[int, int] | None = None,
    **options: Any,
) -> Dataset:
    """Return a dataset with the columns of `ssim_ae.batch.rows.Row` for each image, after those it has.

    `dataset` has a column `path`, of paths or URLs that every worker can read, and may have `bytes`, the contents of
    the files, which are then taken and dropped. `detector` is a path or URL that every worker can read. Each worker
    opens it once. `concurrency` is the number of workers, by default up to the number of CPUs of the cluster less one,
    which is left to reading and writing. `options` are those of `Dataset.map_batches`.

    Raises InputError if the detector cannot be used.
    """
    import ray

    location = absolute_location(os.fspath(detector))
    fingerprint = Detector.load(local_path(location)).fingerprint
    workers = concurrency or (1, max(1, int(ray.cluster_resources().get("CPU", 1)) - 1))
    return dataset.map_batches(
        _Inspector,
        fn_constructor_args=(location, fingerprint, threshold),
        batch_format="pyarrow",
        **{"batch_size": BATCH_SIZE, "num_cpus": 1, "concurrency": workers, **options},
    )


class _Inspector:
    """A worker: a detector, and the function of a batch."""

    def __init__(self, location: str, fingerprint: str, threshold: float) -> None:
        self.detector = open_same_detector(location, fingerprint, threads=1)
        self.threshold = threshold

    def __call__(self, batch: pa.Table) -> pa.Table:
        paths = batch[PATH].to_pylist()
        read = None
        if CONTENT in batch.column_names:
            images = [ImageFile(path, -1, str(number)) for number, path in enumerate(paths)]
            contents = batch[CONTENT]

            def read(image: ImageFile) -> bytes:
                return contents[int(image.version)].as_py()

            batch = batch.drop_columns([CONTENT])
        else:
            images = [file_of(path) for path in paths]
        rows = as_table(inspect_images(self.detector, images, threshold=self.threshold, read=read))
        for name in Row._fields:
            if name != PATH:
                batch = batch.append_column(name, rows[name])
        return batch

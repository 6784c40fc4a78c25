"""Jobs of any number of images: `predict --output` and `evaluate --ray`."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ssim_ae.commands import INPUT_ERROR, NOK_FOUND
from ssim_ae.commands.parser import Parser
from ssim_ae.errors import InputError
from ssim_ae.frameworks import LOCAL_RAY

if TYPE_CHECKING:
    from ssim_ae.batch.parts import Part
    from ssim_ae.batch.summary import Summary
    from ssim_ae.batch.work import Work
    from ssim_ae.detector.detector import Detector

PART_IMAGES = 256  # seconds to minutes of work, which a worker that dies loses
PICTURES = ("masks", "heatmaps", "overlays")
MAX_PRINTED_ERRORS = 20
Result = TypeVar("Result")


def add_ray_option(parser: Parser) -> None:
    """Add the option `--ray`."""
    parser.add_argument(
        "--ray",
        nargs="?",
        const=LOCAL_RAY,
        metavar="ADDRESS",
        help="inspect with Ray: on the cluster at HOST:PORT, on the one of this machine (auto), or on new workers here",
    )


def add_pictures_option(parser: Parser) -> None:
    """Add the option `--pictures`."""
    parser.add_argument(
        "--pictures", choices=PICTURES, help="also write a picture of each nok image into the folder or bucket --output"
    )


def predict(options: argparse.Namespace) -> int:
    """Inspect images and write their rows to `options.output`; return the exit status."""
    from ssim_ae.batch.job import PartsJob, write_table
    from ssim_ae.batch.listing import Listing
    from ssim_ae.batch.tables import TABLE_SUFFIX, check_replaceable
    from ssim_ae.batch.work import write_part
    from ssim_ae.commands.detectability import note_weakness
    from ssim_ae.console import print_note
    from ssim_ae.locations import local_output
    from ssim_ae.spelling import counted

    _check_options(options)
    detector = _load(options)
    note_weakness(detector)
    listing = Listing(options.images, detector.config.img_suffix)
    start = time.monotonic()
    done_before = 0
    if options.output.endswith(TABLE_SUFFIX):
        with local_output(options.output) as path:
            assert path is not None
            check_replaceable(path)
            summary = write_table(
                detector, listing, path, threshold=options.threshold_scale, part_images=options.part_images
            )
    else:
        work = _work(options, detector)
        job = PartsJob(work, listing, part_images=options.part_images)  # before a cluster is started or joined
        with _cluster(options):
            summary = job.run(lambda parts: _results(options, write_part, work, parts, options.images))
        done_before = job.done_before
    if listing.skipped:
        print_note(f"skipped: {listing.skipped_text()}")
    if done_before:
        print(f"{counted(done_before, 'image')} inspected by an earlier start", flush=True)
    return _report(summary, detector, time.monotonic() - start, options)


def evaluate(options: argparse.Namespace) -> int:
    """Print the metrics of images by the labels of a manifest; return the exit status."""
    import numpy as np

    from ssim_ae.batch.manifest import DEFECTIVE, read_manifest
    from ssim_ae.batch.parts import cut_into_parts
    from ssim_ae.batch.work import score_part
    from ssim_ae.commands.options import given_settings, named_detector
    from ssim_ae.console import print_message
    from ssim_ae.evaluation.metrics import Verdicts, auroc
    from ssim_ae.proportions import wilson
    from ssim_ae.spelling import counted

    for key in given_settings(options).keys() - {"device_target", "checkpoint_path"}:
        raise InputError(f"--{key}: no effect with --ray; leave it out")
    if not options.folder:
        raise InputError("evaluate --ray: no manifest; name a .csv or .parquet file with the columns path and label")
    options.detector, options.threshold_scale, options.output = str(named_detector(options)), 1.0, ""
    options.pictures = None
    options.device_target = getattr(options, "config.device_target") or "auto"
    images = read_manifest(options.folder)
    detector = _load(options)
    work = _work(options, detector)
    labels, parts, errors = bytearray(), [], 0
    with _cluster(options):
        for found in _results(
            options, score_part, work, cut_into_parts(images, work.key, PART_IMAGES), [options.folder]
        ):
            labels += bytes(label == DEFECTIVE for label in found.labels)
            parts.append(np.array(found.scores))
            for error in found.errors[: max(0, MAX_PRINTED_ERRORS - errors)]:
                print_message(f"error  {error}")
            errors += len(found.errors)
    scores, defective = np.concatenate(parts), np.frombuffer(labels, np.uint8).astype(bool)
    verdicts = Verdicts.of(scores, defective)
    print(f"{counted(len(scores), 'image')}: {verdicts.good} good, {verdicts.defective} defective; {errors} errors")
    print(f"image AUROC  {auroc(scores, defective):.4f}")
    shares = (
        ("ok", verdicts.good_accepted, verdicts.good),
        ("nok", verdicts.defective_rejected, verdicts.defective),
    )
    for name, correct, total in shares:
        low, high = wilson(correct, total)
        print(f"{name:11}  {correct / total if total else float('nan'):.4f}  (95 % interval {low:.4f}-{high:.4f})")
    print(f"avg          {verdicts.avg:.4f}")
    print("pixel metrics: not computed with --ray; run evaluate without it, on a data set with masks", flush=True)
    return INPUT_ERROR if errors else 0


def _check_options(options: argparse.Namespace) -> None:
    from ssim_ae.batch.tables import TABLE_SUFFIX
    from ssim_ae.buckets import is_url

    output = options.output or ""
    if options.part_images < 1:
        raise InputError(f"--part_images: should be at least 1, not {options.part_images}")
    if not output:
        option = "--ray" if options.ray else "--pictures"
        raise InputError(f"{option}: no place for the rows; name a folder or a prefix of a bucket with --output")
    for name in ("csv", "json", "overlays", "log"):
        if getattr(options, name):
            raise InputError(f"--output: cannot be combined with --{name}; start two commands")
    if options.ray and output.endswith(TABLE_SUFFIX):
        raise InputError(f"{output}: --ray writes parts; name a folder or a prefix of a bucket")
    if options.pictures and output.endswith(TABLE_SUFFIX):
        raise InputError(f"{output}: --pictures needs a folder or a prefix of a bucket; name one")
    if options.pictures and (outer := _location_around(output, options.images)):
        raise InputError(f"{output}: inside {outer}, whose images are inspected; write the pictures to another place")
    suffix = Path(output).suffix
    is_folder = output.endswith("/") or (not is_url(output) and Path(output).is_dir())
    if suffix not in ("", TABLE_SUFFIX) and not is_folder:
        raise InputError(f"{output}: unknown suffix {suffix}; use {TABLE_SUFFIX}, or end the name of a folder with /")


def _location_around(output: str, images: Sequence[str]) -> str | None:
    """Return the folder, pattern or prefix of images that an output is inside of, if any."""
    place = f"{_resolved(output)}/"
    for location in images:
        outer, *rest = re.split(r"[^/]*[*?\[]", location, maxsplit=1)  # before the part of a pattern with a wildcard
        if ("/" in rest[0] if rest else True) and place.startswith(f"{_resolved(outer)}/"):
            return location
    return None


def _resolved(location: str) -> str:
    from ssim_ae.buckets import is_url

    return location.rstrip("/") if is_url(location) else str(Path(location).resolve()).rstrip("/")


def import_packages(options: argparse.Namespace) -> None:
    """Import what a job needs, so that what is missing is said before the work starts."""
    import pyarrow  # noqa: F401

    if options.ray:
        from ssim_ae.batch.cluster import is_loopback
        from ssim_ae.frameworks import import_ray

        import_ray(loopback=is_loopback(options.ray))


def _load(options: argparse.Namespace) -> Detector:
    from ssim_ae.detector.detector import Detector
    from ssim_ae.locations import local_path

    import_packages(options)
    return Detector.load(
        local_path(options.detector),
        runtime=options.runtime,
        device_target=options.device_target,
        threads=options.threads,
    )


def _work(options: argparse.Namespace, detector: Detector) -> Work:
    from ssim_ae.batch.work import Work
    from ssim_ae.locations import absolute_location

    return Work(
        detector=absolute_location(options.detector),
        fingerprint=detector.fingerprint,
        threshold=options.threshold_scale,
        place=absolute_location(options.output) if options.output else "",
        pictures=options.pictures or "",
        runtime=options.runtime,
        device_target=options.device_target,
        threads=1 if options.ray else options.threads,
    )


def _cluster(options: argparse.Namespace) -> AbstractContextManager[None]:
    from ssim_ae.batch.cluster import cluster

    return cluster(options.ray) if options.ray else nullcontext()


def _results(
    options: argparse.Namespace,
    function: Callable[[Work, Part], Result],
    work: Work,
    parts: Iterable[Part],
    images: Sequence[str],
) -> Iterator[Result]:
    """Yield `function(work, part)` for each part, from this process or from a cluster."""
    from ssim_ae.batch.cluster import map_on_cluster
    from ssim_ae.buckets import is_url

    if not options.ray:
        return (function(work, part) for part in parts)
    return map_on_cluster(function, work, parts, local_images=not all(map(is_url, images)))


def _report(summary: Summary, detector: Detector, seconds: float, options: argparse.Namespace) -> int:
    from ssim_ae.batch.place import open_place, write_summary
    from ssim_ae.batch.score_histogram import ScoreHistogram
    from ssim_ae.batch.summary import Calibration
    from ssim_ae.batch.tables import TABLE_SUFFIX

    calibration = Calibration(
        detector.provenance.thresholds.expected if options.threshold_scale == 1 else None,
        ScoreHistogram.of(detector.usual.scores if detector.usual else (), options.threshold_scale),
    )
    for line in summary.lines(calibration, seconds):
        print(line, flush=True)
    if not options.output.endswith(TABLE_SUFFIX):
        write_summary(open_place(options.output), summary.as_json(calibration, seconds))
    if summary.reasons:
        return INPUT_ERROR
    return NOK_FOUND if options.fail_on_nok and summary.verdicts["nok"] else 0

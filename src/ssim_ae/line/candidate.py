"""A candidate: a version of a run's detector that reviews propose, and that a person adopts or not.

It is the folder `candidate` of the run. The run stays as it is until the candidate is adopted.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ssim_ae.console import progress
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import CONFIG_NAME, DetectorFile, read_detector, write_detector
from ssim_ae.detector.run_folder import DETECTOR_NAME, Version, config_path, detector_path, set_current
from ssim_ae.errors import InputError
from ssim_ae.line.reviews import ReviewedImage
from ssim_ae.maps.verdict import is_defective
from ssim_ae.methods import method_of
from ssim_ae.spelling import counted
from ssim_ae.storage import lock_folder, read_file, write_atomic
from ssim_ae.training.add_images import add_images
from ssim_ae.training.feature_fitter import MOMENTS_NAME

CANDIDATE_NAME = "candidate"
BASE_NAME = "base.txt"  # the fingerprint of the detector that the candidate was made from
LEARNED_NAME = "reviewed"  # folder of the run: the confirmed good images that it has learned from
MARGIN = 1 + 2**-20  # above the highest score: scores are rounded to 24 bits
COPIED = (CONFIG_NAME, DETECTOR_NAME, MOMENTS_NAME)


def propose(run: Path, reviewed: Sequence[ReviewedImage], *, learn: bool) -> Path:
    """Make the candidate of a run; return its folder.

    With `learn`, the run's statistics are continued with the confirmed good images, and thresholds estimated again from
    the other good images. Else its thresholds are raised just so far that it accepts all of them. Confirmed defective
    images are never learned.
    Raises InputError if nothing would change, or the method cannot learn like this.
    """
    file = read_detector(detector_path(run))
    config_path(run)  # raises InputError if it is no run
    good = [image for image in reviewed if image.verdict == "good"]
    if not good:
        raise InputError(f"{run}: no kept image was reviewed as good; review some on the page History")
    discard(run)
    folder = run / CANDIDATE_NAME
    folder.mkdir()
    try:
        if learn:
            _learn(run, file, good, folder)
        else:
            write_detector(folder / DETECTOR_NAME, with_raised_thresholds(run, file, [image.path for image in good]))
    except BaseException:
        discard(run)
        raise
    write_atomic(folder / BASE_NAME, file.fingerprint)  # last: with it the candidate is complete
    return folder


def with_raised_thresholds(run: Path, file: DetectorFile, good: Sequence[Path]) -> DetectorFile:
    """Return a detector whose thresholds are multiplied by the highest score of the confirmed good images.

    The images were chosen by their scores, so they say nothing about the rate of false alarms. But the same network
    with higher thresholds rejects no image that it accepted before: the rate estimated for the former thresholds is an
    upper bound.
    """
    scores = []
    with progress("measuring reviewed images", len(good)) as bar:
        for found in Detector.from_file(file).inspect_all(good):
            bar.advance()
            if not isinstance(found, InputError):
                scores.append(found.score)
    rejected = [score for score in scores if is_defective(score)]
    if not rejected:
        raise InputError(
            f"{run}: accepts all {counted(len(scores), 'confirmed good image')} already; no candidate made"
        )
    factor = max(rejected) * MARGIN
    origin = file.provenance.thresholds.model_copy(update={"reviewed_images": len(scores)})
    return file._replace(
        thresholds={name: value * factor for name, value in file.thresholds.items()},
        provenance=file.provenance.model_copy(update={"thresholds": origin}),
        detectability=None,
        usual=file.usual and file.usual.with_thresholds_times(factor),
    )


def _learn(run: Path, file: DetectorFile, good: Sequence[ReviewedImage], folder: Path) -> None:
    """Add confirmed good images to a copy of the run, in an empty folder."""
    if method_of(file.config).engines:
        raise InputError(
            f"{run}: method {file.config.method} is trained, and its images stay what they are; leave out --learn: the "
            "thresholds are raised"
        )
    images = run / LEARNED_NAME
    for image in good:
        target = images / f"{image.content[:32]}{image.path.suffix}"
        if not target.exists():
            images.mkdir(exist_ok=True)
            write_atomic(target, read_file(image.path))
    for name in COPIED:
        if (run / name).exists():
            shutil.copy2(run / name, folder / name)
    added = add_images(folder, images, are_fair_sample=False)
    if not any(added.new):
        raise InputError(f"{run}: knows all {counted(len(good), 'confirmed good image')} already; no candidate made")


def candidate_of(run: Path) -> Path | None:
    """Return the folder of the candidate of a run, or None if it has none that is complete."""
    folder = run / CANDIDATE_NAME
    return folder if (folder / BASE_NAME).exists() else None


def discard(run: Path) -> None:
    """Remove the candidate of a run, if there is one."""
    (run / CANDIDATE_NAME / BASE_NAME).unlink(missing_ok=True)  # first: from now on it is incomplete
    shutil.rmtree(run / CANDIDATE_NAME, ignore_errors=True)


def adopt(run: Path) -> Version:
    """Make the candidate the current version of its run. Raises InputError if there is none, or the run has changed."""
    folder = candidate_of(run)
    if not folder:
        raise InputError(f"{run}: has no candidate; make one with: ssim-ae review apply")
    with lock_folder(run):
        base = read_file(folder / BASE_NAME).decode(errors="replace")
        if base != read_detector(detector_path(run)).fingerprint:
            raise InputError(f"{run}: has another detector since its candidate was made; make a new candidate")
        # As in `add_images`: a process that is killed in between leaves the former detector current, or moments that
        # the next addition recognizes as those of another detector.
        if (folder / CONFIG_NAME).exists():
            write_atomic(run / CONFIG_NAME, read_file(folder / CONFIG_NAME))
        version = set_current(run, read_detector(folder / DETECTOR_NAME))
        if (folder / MOMENTS_NAME).exists():
            write_atomic(run / MOMENTS_NAME, read_file(folder / MOMENTS_NAME))
    discard(run)
    return version

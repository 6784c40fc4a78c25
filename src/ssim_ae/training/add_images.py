"""Adding good images to a run of a method that is fitted: its statistics are continued, not fitted from scratch."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ssim_ae.config import Config
from ssim_ae.console import print_note
from ssim_ae.detector.detector_file import DetectorFile, read_detector
from ssim_ae.detector.provenance import Provenance, installed_versions
from ssim_ae.detector.run_folder import config_path, detector_path
from ssim_ae.errors import InputError
from ssim_ae.images.folders import Dataset, content_hash, find_dataset, fingerprint
from ssim_ae.locations import dataset_of
from ssim_ae.maps.residuals import Thresholds, described
from ssim_ae.methods import method_of
from ssim_ae.spelling import counted
from ssim_ae.storage import lock_folder, remove_leftovers, write_atomic
from ssim_ae.training.feature_fitter import MOMENTS_NAME, FeatureFitter
from ssim_ae.training.good_images import NO_IMAGES, GoodImages, ImageCounts, load_good_images
from ssim_ae.training.recalibrate import KnownImages
from ssim_ae.training.train import Run, is_finished
from ssim_ae.training.training_result import TrainingResult


class Added(NamedTuple):
    """A run that images were added to: how many, to how many, and the thresholds before and after."""

    run: Run
    new: ImageCounts
    former: ImageCounts
    former_thresholds: Thresholds
    thresholds: Thresholds

    def __str__(self) -> str:
        if not any(self.new):
            return f"added no images: the run keeps its {counted(sum(self.former), 'good image')}"
        parts = f"{self.new.training} for training, {self.new.held_out} held out"
        images = f"added {counted(sum(self.new), 'good image')} to {sum(self.former)} ({parts})"
        return f"{images}; thresholds: {described(self.thresholds)}, before {described(self.former_thresholds)}"


def add_images(
    run: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    skip_bad: bool = False,
    are_fair_sample: bool = True,
) -> Added:
    """Add the good images of a folder to a run, which keeps its former detector.

    Images that the run knows are skipped. Of all its images the share `holdout` is held out; those that it had stay
    what they are. Images that are no fair sample, because they were chosen by their scores, are all trained on, and set
    no thresholds. Raises InputError if the run cannot be added to, or an image not be read.
    """
    run, folder = Path(run), Path(folder)
    run_config = Config.read(config_path(run))
    with lock_folder(run):
        remove_leftovers(run)
        file = read_detector(detector_path(run))
        _check_can_be_added_to(run, run_config, file)
        dataset, provenance = dataset_of(file.config), file.provenance
        former = ImageCounts(len(provenance.training_images), len(provenance.held_out_images))
        found = _new_images(folder, file)
        if not found.good:
            finished = Run(run, dataset, file.config, finished=True, trained=False, is_main=True)
            return Added(finished, NO_IMAGES, former, file.thresholds, file.thresholds)
        known = _find_known(run, dataset, provenance)
        split = file.config if are_fair_sample else file.config.replace(holdout=0.0)
        new = load_good_images(found, split, skip_bad=skip_bad, keep_pixels=False, former=former)
        counts = ImageCounts(len(new.training_paths), len(new.held_out_paths))
        good = replace(
            new,
            training_paths=(*known.training, *new.training_paths),
            held_out_paths=(*known.held_out, *new.held_out_paths),
        )
        fitter = _fitter(run, file, known.training, new.training_paths)
        learned = fitter.learn(run, "", resume=True, add=None)
        provenance = _extended(provenance, new, good, learned.seconds, fitter.describe())
        # An interruption before the detector is replaced leaves the run as it was: images that a detector does not know
        # count for nothing. One after it leaves moments of before, which the next addition recognizes.
        config = _with_folder(file.config, folder, new_images=found.good, dataset=dataset)
        fair = good
        if not are_fair_sample:
            fair = replace(good, training_paths=tuple(known.training), held_out_paths=tuple(known.held_out))
        result = TrainingResult.of(fitter, config, fair, provenance, file.regions)
        if config.more_paths != file.config.more_paths:
            _write_more_paths(run, config.more_paths)
        result.write(run)
        fitter.save(run, provenance.training_images)
    extended = Run(run, dataset_of(config), config, finished=True, trained=True, is_main=True)
    return Added(extended, counts, former, file.thresholds, result.file.thresholds)


def _check_can_be_added_to(run: Path, config: Config, file: DetectorFile) -> None:
    """Raise InputError if images cannot be added to a run."""
    if method_of(file.config).engines:
        add_epochs = f"ssim-ae train --resume {shlex.quote(str(run))} --epochs +5"
        raise InputError(
            f"{run}: method {file.config.method} is trained, and its images stay what they are; start a new run with "
            f"all images, or train on with: {add_epochs}"
        )
    if not file.config.dataset_path:
        raise InputError(f"{config_path(run)}: names no dataset_path; set it to the folder of the run's images")
    if not is_finished(run, config):
        raise InputError(f"{run}: not finished; continue it first with: ssim-ae train --resume {shlex.quote(str(run))}")


def _new_images(folder: Path, file: DetectorFile) -> Dataset:
    """Return the good images in a folder that a detector does not know, each content once; say what is skipped."""
    dataset = find_dataset(folder, img_suffix=file.config.img_suffix, mask_suffix=file.config.mask_suffix)
    if not dataset.good:
        raise InputError(f"{folder}: no good images to add; name a folder of images without defects")
    provenance = file.provenance
    known = {*provenance.training_images, *provenance.held_out_images}
    others = {"known image": 0, "excluded image": 0, "duplicate": 0, "test image": len(dataset.test)}
    new: dict[str, Path] = {}
    for path in dataset.good:
        content = content_hash(path)
        if content in known:
            others["known image"] += 1
        elif content in provenance.excluded_images:
            others["excluded image"] += 1
        elif content in new:
            others["duplicate"] += 1
        else:
            new[content] = path
    if skipped := ", ".join(counted(number, kind) for kind, number in others.items() if number):
        print_note(f"{folder}: {len(new)} new; skipped: {skipped}")
    return replace(dataset, good=tuple(new.values()), test=())


def _find_known(run: Path, dataset: Dataset, provenance: Provenance) -> KnownImages:
    """Return the images of a run that are still there. Raises InputError if those that set thresholds are missing."""
    hashes = {path: content_hash(path) for path in dataset.good}
    recorded = (provenance.held_out_images, provenance.training_images)
    known = KnownImages(*(_with_contents(contents, hashes) for contents in recorded))
    if provenance.held_out_images and not known.held_out:
        raise InputError(f"{run}: its held-out images are not in {dataset.root}; restore them, or start a new run")
    images = sum(map(len, recorded))
    if missing := images - sum(map(len, known)):
        print_note(f"{run}: {missing} of its {images} good images are not found; they do not set the thresholds")
    return known


def _with_contents(contents: Sequence[str], hashes: dict[Path, str]) -> list[Path]:
    """Return a file for each content, and take it out of the hashes of files; contents without a file are left out."""
    wanted = Counter(contents)
    found: list[Path] = []
    for path, content in list(hashes.items()):
        if wanted[content] > 0:
            wanted[content] -= 1
            found.append(path)
            del hashes[path]
    return found


def _fitter(run: Path, file: DetectorFile, known: Sequence[Path], new: Sequence[Path]) -> FeatureFitter:
    """Return a fitter of the new training images to the moments of the known ones.

    Without these moments it is one of all training images.
    """
    training_images = file.provenance.training_images
    fitter = FeatureFitter.of_detector(file, new)
    if fitter.restore(run, training_images):
        return fitter
    if missing := len(training_images) - len(known):
        raise InputError(
            f"{run}: {missing} of its {counted(len(training_images), 'training image')} are missing, and "
            f"{MOMENTS_NAME} is not that of its current detector; restore them, or start a new run with all images"
        )
    images = counted(len(known), "training image")
    print_note(f"{run / MOMENTS_NAME}: not the moments of its current detector; its {images} are measured again")
    return FeatureFitter.of_detector(file, [*known, *new])


def _extended(provenance: Provenance, new: GoodImages, good: GoodImages, seconds: float, device: str) -> Provenance:
    """Return the record of a run with new images; `good` are all that are found, `seconds` the time of the addition."""
    hashes = {path: content_hash(path) for path in (*good.training_paths, *good.held_out_paths)}
    return provenance.model_copy(
        update={
            "training_images": [*provenance.training_images, *(hashes[path] for path in new.training_paths)],
            "held_out_images": [*provenance.held_out_images, *(hashes[path] for path in new.held_out_paths)],
            "fingerprint": fingerprint(hashes),
            "minutes": round(provenance.minutes + seconds / 60, 2),
            "device": device,
            "versions": installed_versions(),
        }
    )


def _with_folder(config: Config, folder: Path, new_images: Sequence[Path], dataset: Dataset) -> Config:
    """Return the settings of a run with a folder of more images, unless its data set has them all."""
    known = {path.resolve() for path in dataset.good}
    if all(path.resolve() in known for path in new_images):
        return config
    return config.replace(more_paths=[*config.more_paths, str(folder.resolve())])


def _write_more_paths(run: Path, more_paths: list[str]) -> None:
    """Write the setting into the run's configuration, whose time stays that of the run's start."""
    path = config_path(run)
    times = path.stat()
    write_atomic(path, Config.read(path).replace(more_paths=more_paths).to_yaml())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

"""Training: from a folder of good images to a run's folder with a detector file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from html import escape
from math import isfinite
from pathlib import Path

import numpy as np

from ssim_ae.alignment.choose import parts_lie_inside
from ssim_ae.augmentation.orientation import range_of_turns
from ssim_ae.config import Config
from ssim_ae.console import print_note
from ssim_ae.detector.detector_file import (
    CONFIG_NAME,
    frame_of,
    read_detector,
)
from ssim_ae.detector.provenance import EpochSummary, Provenance, installed_versions
from ssim_ae.detector.regions import Regions
from ssim_ae.detector.regions_file import read_regions
from ssim_ae.detector.run_folder import (
    DETECTOR_NAME,
    config_path,
    version_paths,
)
from ssim_ae.errors import InputError
from ssim_ae.images.exclusions import read_exclusions
from ssim_ae.images.files import image_size
from ssim_ae.images.folders import GOOD, Dataset, content_hash, fingerprint
from ssim_ae.locations import dataset_of
from ssim_ae.methods import default_method, method_of, unused_settings
from ssim_ae.spelling import counted, listed
from ssim_ae.storage import check_folder_name, lock_folder, new_folder, remove_leftovers, write_atomic
from ssim_ae.training.checkpoints import (
    CHECKPOINT_NAME,
    read_state,
)
from ssim_ae.training.feature_fitter import FeatureFitter
from ssim_ae.training.good_images import GoodImages, good_image_sizes, load_good_images
from ssim_ae.training.learner import Addition, Learner
from ssim_ae.training.network_trainer import NetworkTrainer
from ssim_ae.training.patch_sampling import SMALL_ROTATION
from ssim_ae.training.texture_choice import note_weakness_on_textures, with_texture
from ssim_ae.training.training_result import TrainingResult
from ssim_ae.training.working_size import with_working_size


@dataclass(frozen=True)
class Run:
    """A run: its folder, data set and settings, and whether the training is complete."""

    folder: Path
    dataset: Dataset
    config: Config
    finished: bool
    trained: bool  # False if it was finished before, and nothing was added
    is_main: bool  # False in all processes of a distributed training but the first, which writes the files

    @property
    def detector_path(self) -> Path:
        """The detector file."""
        return self.folder / DETECTOR_NAME

    def _repr_html_(self) -> str:
        """Return the run as a table with a link to its report, for notebooks."""
        rows = {
            "run": escape(str(self.folder)),
            "method": self.config.method,
            "good images": f"{len(self.dataset.good)} of {escape(str(self.dataset.root))}",
            "training": "finished"
            if self.finished
            else f"interrupted; ssim-ae train --resume {escape(str(self.folder))}",
        }
        if (report := self.folder / "report" / "index.html").exists():
            rows["report"] = f'<a href="{escape(report.as_posix())}">{escape(str(report))}</a>'
        return f"<table>{''.join(f'<tr><th>{name}</th><td>{value}</td></tr>' for name, value in rows.items())}</table>"


def train(
    config: Config,
    *,
    runs: str | os.PathLike[str] = "runs",
    resume: str | os.PathLike[str] | None = None,
    add: Addition | None = None,
    skip_bad: bool = False,
) -> Run:
    """Train a detector on the good images of `config.dataset_path`, in a new folder of `runs`.

    With `resume`, the folder of a run, continue that run from its last checkpoint with its own settings; if it is
    finished, `add` to it, or return it as it is. Test images are opened to check them, and not used otherwise. Raises
    InputError if an input cannot be used.
    """
    resumed = Path(resume) if resume is not None else None
    if resumed:
        config = Config.read(config_path(resumed))
    elif config.dataset != "none":
        check_folder_name(config.dataset, "dataset")
    config = _with_absolute_path(config, fresh=resumed is None)
    if add:
        _check_can_add(add, resumed, config)
    dataset = dataset_of(config)
    if not dataset.good:
        raise InputError(f"{dataset.root}: no good images; put images without defects into a folder named {GOOD}")
    if not resumed:
        _note_method(config)
    dataset, excluded = _without_excluded(dataset, config)
    if resumed and not add and is_finished(resumed, config):
        with lock_folder(resumed):
            remove_leftovers(resumed)
        epochs, images = "to its training with --epochs +5 or --minutes +10", "images to it with --add FOLDER RUN"
        print_note(f"{resumed}: finished; add {epochs if config.uses('epochs') else images}, or start a new run")
        return Run(resumed, dataset, config, finished=True, trained=False, is_main=os.environ.get("RANK", "0") == "0")
    if not resumed:
        note_weakness_on_textures(config, dataset.good)
        config = with_texture(config, dataset.good)
    if config.im_resize is None:
        config = with_working_size(config, good_image_sizes(dataset))
    is_trained = bool(method_of(config).engines)
    good = load_good_images(dataset, config, resumed or Path(runs), skip_bad=skip_bad, keep_pixels=is_trained)
    config = _with_rotation(config, good.training_images)
    learner: Learner
    if is_trained:
        learner = NetworkTrainer.start(config, good, resumed or Path(runs))
    else:
        learner = FeatureFitter.start(config, good.training_paths)
    try:
        regions = _regions(config, learner, dataset, resumed)
        return _run(learner, config, dataset, good, excluded, regions, Path(runs), resumed, add)
    finally:
        learner.close()


def _regions(config: Config, learner: Learner, dataset: Dataset, resumed: Path | None) -> Regions | None:
    """Return where to look: as the detector of a run that is continued, else as the settings say."""
    if resumed and (resumed / DETECTOR_NAME).exists():
        return read_detector(resumed / DETECTOR_NAME).regions
    if not config.regions:
        return None
    return read_regions(Path(config.regions), frame_of(config, learner.alignment), image_size(dataset.good[0]))


def _note_method(config: Config) -> None:
    """Say which method learns, and why it does if the settings do not name it."""
    method, given = method_of(config), config.model_fields_set
    reason = ""
    if "method" not in given:
        deciding = sorted(given & unused_settings(default_method())) or sorted(given & {"engine"})
        default = method.name == default_method()
        reason = ", the default" if default else f", because of {listed(deciding, 3)}"
    print_note(f"method {method.name}{reason}: {method.summary}")


def is_finished(run: Path, config: Config) -> bool:
    """Return whether the training of a run is complete and its detector is written, maybe as a former version."""
    state = read_state(run)
    if state is not None and state.completed(config) < 1:
        return False
    paths = [path for path in (run / DETECTOR_NAME, *version_paths(run)) if path.exists()]
    made = [read_detector(path).provenance for path in paths]
    return any(provenance.finished and (state is None or provenance.steps == state.step) for provenance in made)


def _check_can_add(add: Addition, run: Path | None, config: Config) -> None:
    """Raise InputError if nothing can be added to a run."""
    if run is None:
        raise InputError("train: only a finished run can be added to; name it with --resume")
    if not isfinite(add.minutes) or min(add) < 0 or sum(map(bool, add)) != 1:
        raise InputError("train: add epochs or minutes, a number above 0: --epochs +5 or --minutes +10")
    if not config.uses("epochs"):
        raise InputError(f"{run}: method {config.method} has no epochs to add; add images with --add FOLDER RUN")
    if add.minutes and config.distribute:
        raise InputError("train: the clocks of workers differ; add epochs, not minutes")
    if not is_finished(run, config):
        resume = f"ssim-ae train --resume {shlex.quote(str(run))}"
        raise InputError(f"{run}: not finished; continue it first with: {resume}")
    if not (run / CHECKPOINT_NAME).exists():
        raise InputError(f"{run}: its checkpoint is missing; start a new run with --load_ckpt_path {run}")


def _with_absolute_path(config: Config, *, fresh: bool) -> Config:
    if not config.dataset_path:
        raise InputError("dataset_path: no folder given; pass a folder of good images")
    if fresh and config.aug_dir and Path(config.aug_dir).exists() and any(Path(config.aug_dir).iterdir()):
        raise InputError(f"{config.aug_dir}: aug_dir is not empty; name another folder")
    paths: dict[str, str | list[str]] = {
        key: str(Path(value).resolve())
        for key in ("dataset_path", "exclude", "regions")
        if (value := getattr(config, key))
    }
    if config.more_paths:
        paths["more_paths"] = [str(Path(folder).resolve()) for folder in config.more_paths]
    return config.replace(**paths)


def _with_rotation(config: Config, images: np.ndarray) -> Config:
    """Choose the maximum rotation of patches from the images, if the settings leave it open."""
    if not method_of(config).engines or config.rotate_angle is not None or not (config.do_aug and config.p_rotate):
        return config
    angle = max(SMALL_ROTATION, round(range_of_turns(images)))
    # Images of a texture, which has no place of its own, hold it at all its angles already
    if angle > SMALL_ROTATION and not parts_lie_inside(np.moveaxis(images, 1, -1)):
        angle = SMALL_ROTATION
    if angle > SMALL_ROTATION:
        print_note(f"good images are turned by up to {angle:g} degrees: patches are rotated as far")
    return config.replace(rotate_angle=angle)


def _without_excluded(dataset: Dataset, config: Config) -> tuple[Dataset, list[Path]]:
    """Return a data set without the images that the setting `exclude` lists, and these images."""
    if not config.exclude:
        return dataset, []
    excluded = read_exclusions(Path(config.exclude), dataset.good, dataset.root)
    if len(excluded) == len(dataset.good):
        raise InputError(f"{config.exclude}: lists all {len(excluded)} good images; leave some to learn from")
    print_note(f"{config.exclude}: {len(excluded)} of {len(dataset.good)} good images are excluded")
    return replace(dataset, good=tuple(path for path in dataset.good if path not in excluded)), sorted(excluded)


def _run(
    learner: Learner,
    config: Config,
    dataset: Dataset,
    good: GoodImages,
    excluded: Sequence[Path],
    regions: Regions | None,
    runs: Path,
    resumed: Path | None,
    add: Addition | None,
) -> Run:
    hashes = {path: content_hash(path) for path in good.training_paths + good.held_out_paths}
    images = fingerprint(hashes)
    if duplicates := len(hashes) - len(set(hashes.values())):
        count = counted(duplicates, "duplicate")
        print_note(f"{count} among the good images; a held-out duplicate of a training image scores too low")
    is_main = learner.rank == 0
    name = config.dataset if config.dataset not in ("", "none") else dataset.name
    folder = resumed or (new_folder(runs, name) if is_main else runs)
    with lock_folder(folder) if is_main else nullcontext():
        if is_main:
            remove_leftovers(folder)
            if not (folder / CONFIG_NAME).exists():
                write_atomic(folder / CONFIG_NAME, config.to_yaml())
        learned = learner.learn(folder, images, resume=resumed is not None, add=add)
        if is_main:
            provenance = Provenance(
                training_images=[hashes[path] for path in good.training_paths],
                held_out_images=[hashes[path] for path in good.held_out_paths],
                excluded_images=[content_hash(path) for path in excluded],
                fingerprint=images,
                finished=learned.finished,
                dataset=dataset.name,
                steps=learned.steps,
                minutes=round(learned.seconds / 60, 2),
                device=learner.describe(),
                last_epoch=EpochSummary(**learned.history[-1]._asdict()) if learned.history else None,
                versions=installed_versions(),
            )
            TrainingResult.of(learner, config, good, provenance, regions).write(folder)
            learner.save(folder, provenance.training_images)
    return Run(folder, dataset, config, learned.finished, trained=True, is_main=is_main)

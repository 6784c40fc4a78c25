"""Training: from a folder of good images to a run's folder with a detector file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import ceil, isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssim_ae.augmentation.orientation import has_any_orientation
from ssim_ae.augmentation.patches import PatchBatch
from ssim_ae.calibration.calibrate import calibrate, threshold_images
from ssim_ae.calibration.recalibrate import THRESHOLD_KEYS
from ssim_ae.calibration.suspects_sheet import write_suspects
from ssim_ae.config import Config
from ssim_ae.console import print_note
from ssim_ae.detectability.measure import measure_detectability
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import (
    CONFIG_NAME,
    DetectorFile,
    layer_table,
    read_detector,
    weights_in,
    write_detector,
)
from ssim_ae.detector.provenance import EpochSummary, Provenance, installed_versions
from ssim_ae.detector.run_folder import (
    DETECTOR_NAME,
    config_path,
    detector_path,
    set_current,
    version_paths,
)
from ssim_ae.errors import InputError
from ssim_ae.images.colors import eight_bit, pixels
from ssim_ae.images.exclusions import read_exclusions
from ssim_ae.images.files import write_png
from ssim_ae.images.folders import Dataset, content_hash, find_dataset, fingerprint
from ssim_ae.maps.residuals import Thresholds
from ssim_ae.methods import method_of
from ssim_ae.spelling import counted
from ssim_ae.storage import check_folder_name, lock_folder, new_folder, remove_leftovers, write_atomic
from ssim_ae.training.checkpoints import (
    CHECKPOINT_NAME,
    TrainingState,
    read_checkpoint,
    read_state,
    write_checkpoint,
)
from ssim_ae.training.collapse_monitor import CollapseMonitor
from ssim_ae.training.engine import Engine
from ssim_ae.training.good_images import GoodImages, good_image_sizes, load_good_images
from ssim_ae.training.history import draw_history, write_history
from ssim_ae.training.loop import TrainingLoop
from ssim_ae.training.patch_sampling import ANY_ROTATION, SMALL_ROTATION, epoch_patches
from ssim_ae.training.schedule import Cycle
from ssim_ae.training.working_size import with_working_size

SHEET_PATCHES = 64  # on the sheet of example patches
SHEET_COLUMNS = 8


class Addition(NamedTuple):
    """What to add to a finished training: epochs or minutes."""

    epochs: int = 0
    minutes: float = 0.0


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
    dataset = find_dataset(config.dataset_path, img_suffix=config.img_suffix, mask_suffix=config.mask_suffix)
    dataset, excluded = _without_excluded(dataset, config)
    if resumed and not add and is_finished(resumed, config):
        with lock_folder(resumed):
            remove_leftovers(resumed)
        print_note(f"{resumed}: finished; add to its training with --epochs +5 or --minutes +10, or start a new run")
        return Run(resumed, dataset, config, finished=True, trained=False, is_main=os.environ.get("RANK", "0") == "0")
    if config.im_resize is None:
        config = with_working_size(config, good_image_sizes(dataset))
    good = load_good_images(dataset, config, skip_bad=skip_bad)
    config = _with_rotation(config, good.training_images)
    engine = _engine_class(config)(config, layer_table(config), good.training_images, good.held_out_images)
    try:
        return _run(engine, config, dataset, good, excluded, Path(runs), resumed, add)
    finally:
        engine.close()


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
    if add.minutes and config.distribute:
        raise InputError("train: the clocks of workers differ; add epochs, not minutes")
    if not is_finished(run, config):
        resume = f"ssim-ae train --resume {shlex.quote(str(run))}"
        raise InputError(f"{run}: not finished; continue it first with: {resume}")
    if not (run / CHECKPOINT_NAME).exists():
        raise InputError(f"{run}: its checkpoint is missing; start a new run with --load_ckpt_path {run}")


def _engine_class(config: Config) -> Callable[..., Engine]:
    """Return the class of the engine; `auto` is MindSpore only if it is installed without PyTorch."""
    only_mindspore = find_spec("mindspore") and not find_spec("torch") and "mindspore" in method_of(config).engines
    if config.engine == "mindspore" or (config.engine == "auto" and only_mindspore):
        from ssim_ae.training.mindspore_engine import MindSporeEngine

        return MindSporeEngine
    from ssim_ae.training.torch_engine import TorchEngine

    return TorchEngine


def _with_absolute_path(config: Config, *, fresh: bool) -> Config:
    if not config.dataset_path:
        raise InputError("dataset_path: no folder given; pass a folder of good images")
    if fresh and config.aug_dir and Path(config.aug_dir).exists() and any(Path(config.aug_dir).iterdir()):
        raise InputError(f"{config.aug_dir}: aug_dir is not empty; name another folder")
    paths = {key: str(Path(value).resolve()) for key in ("dataset_path", "exclude") if (value := getattr(config, key))}
    return config.replace(**paths)


def _with_rotation(config: Config, images: np.ndarray) -> Config:
    """Choose the maximum rotation of patches from the images, if the settings leave it open."""
    if config.rotate_angle is not None or not (config.do_aug and config.p_rotate):
        return config
    if not has_any_orientation(images):
        return config.replace(rotate_angle=SMALL_ROTATION)
    print_note("good parts have any orientation: patches are rotated by any angle")
    return config.replace(rotate_angle=ANY_ROTATION)


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
    engine: Engine,
    config: Config,
    dataset: Dataset,
    good: GoodImages,
    excluded: Sequence[Path],
    runs: Path,
    resumed: Path | None,
    add: Addition | None,
) -> Run:
    hashes = {path: content_hash(path) for path in good.training_paths + good.held_out_paths}
    images = fingerprint(hashes)
    if duplicates := len(hashes) - len(set(hashes.values())):
        count = counted(duplicates, "duplicate")
        print_note(f"{count} among the good images; a held-out duplicate of a training image scores too low")
    if config.load_ckpt_path:
        file = read_detector(detector_path(Path(config.load_ckpt_path)))
        engine.load_weights(weights_in(file), config.load_ckpt_path)
    is_main = engine.rank == 0
    name = config.dataset if config.dataset not in ("", "none") else dataset.name
    folder = resumed or (new_folder(runs, name) if is_main else runs)
    with lock_folder(folder) if is_main else nullcontext():
        end = _fit(engine, config, good, images, folder, resume=resumed is not None, add=add)
        finished = end.completed(config) >= 1
        if is_main:
            provenance = Provenance(
                training_images=[hashes[path] for path in good.training_paths],
                held_out_images=[hashes[path] for path in good.held_out_paths],
                excluded_images=[content_hash(path) for path in excluded],
                fingerprint=images,
                finished=finished,
                dataset=dataset.name,
                steps=end.step,
                minutes=round(end.seconds / 60, 2),
                device=engine.describe(),
                last_epoch=EpochSummary(**end.history[-1]._asdict()) if end.history else None,
                versions=installed_versions(),
            )
            _write_calibrated(folder, engine, config, good, provenance)
            if end.history:
                draw_history(folder / "loss.png", end.history)
    return Run(folder, dataset, config, finished, trained=True, is_main=is_main)


def _fit(
    engine: Engine,
    config: Config,
    good: GoodImages,
    images: str,
    folder: Path,
    *,
    resume: bool,
    add: Addition | None,
) -> TrainingState:
    """Train from the start, or the checkpoint in the folder, to the end; then load the best weights."""
    monitor, state = CollapseMonitor(engine, config, good.held_out_images), TrainingState()
    if resume and (checkpoint := read_checkpoint(folder, images, config)):
        engine.load_state(checkpoint[0], str(folder))
        monitor.restore(*checkpoint)
        state = checkpoint[1]
        if add:
            state = state._replace(cycle=_added_cycle(state, config, add))
            if monitor.best_weights:
                engine.load_weights(monitor.best_weights, "the best weights")
    former_loss = monitor.best_loss
    is_main = engine.rank == 0
    if is_main:
        _prepare(folder, engine, config, len(good.training_paths))

    def save(state: TrainingState) -> None:
        if is_main:
            write_checkpoint(folder, engine.state() | monitor.checkpoint_arrays(), state, images, config)
            write_history(folder, state.history)

    end = TrainingLoop(engine, config, len(good.training_paths), monitor, state, save).run()
    monitor.check_end()
    if monitor.best_weights:
        engine.load_weights(monitor.best_weights, "the best weights")
    if add and former_loss is not None and monitor.best_loss == former_loss:
        print_note("training: the held-out loss did not fall any lower; the weights are those of before")
    return end


def _added_cycle(state: TrainingState, config: Config, add: Addition) -> Cycle:
    """Return the cycle that adds epochs or minutes to a training; it ends with a whole epoch, or with the time."""
    if add.minutes:
        return Cycle(state.step, state.seconds, config.epoch_steps, 60 * add.minutes)
    epochs = ceil(state.step / config.epoch_steps) + add.epochs
    return Cycle(state.step, state.seconds, epochs * config.epoch_steps - state.step)


def _write_calibrated(folder: Path, engine: Engine, config: Config, good: GoodImages, provenance: Provenance) -> None:
    """Write the detector file, with thresholds estimated from the engine's reconstructions of held-out images."""
    detector = Detector(config, Thresholds(1, 1), engine.runtime())
    held_out, training = threshold_images(good.held_out_paths, good.training_paths)
    calibration = calibrate(detector, held_out, config, training)
    provenance = provenance.model_copy(update={"thresholds": calibration.origin})
    thresholds, statistics = calibration.thresholds, calibration.normal_statistics
    calibrated = Detector(config, thresholds, detector.runtime, normal_statistics=statistics)
    chart = None
    if provenance.finished:  # who has interrupted a training waits for its end
        write_suspects(folder, calibrated, calibration.suspects, Path(config.dataset_path))
        chart = measure_detectability(calibrated, calibration.accepted(held_out))
    file = DetectorFile(config, thresholds, engine.weights(), provenance, statistics, chart)
    if _is_finished_detector(folder / DETECTOR_NAME):
        _note_other_thresholds(folder / DETECTOR_NAME, config)
        set_current(folder, file)
    else:
        write_detector(folder / DETECTOR_NAME, file)
    if not good.held_out_paths:
        print_note(
            "thresholds: estimated from training images (none is held out); expect more false alarms on new images"
        )


def _is_finished_detector(path: Path) -> bool:
    """Whether a file is a detector to keep: not missing, and not of a training that was interrupted."""
    try:
        return path.exists() and read_detector(path).provenance.finished
    except InputError:
        return True


def _note_other_thresholds(former: Path, config: Config) -> None:
    """Print a note if the former detector got its thresholds in another way than the settings of the run say."""
    try:
        set_by = read_detector(former).config
    except InputError:
        return
    if any(getattr(set_by, key) != getattr(config, key) for key in THRESHOLD_KEYS):
        print_note(
            "thresholds: estimated by the settings of the run; those that were set later are in the former version"
        )


def _prepare(folder: Path, engine: Engine, config: Config, images: int) -> None:
    """Write the files that the folder of a run holds from the start, also after a killed start."""
    remove_leftovers(folder)
    if not (folder / CONFIG_NAME).exists():
        write_atomic(folder / CONFIG_NAME, config.to_yaml())
    batch = epoch_patches(config, images, 0)
    write_png(folder / "patches.png", _sheet(engine.patches(batch.take(slice(0, SHEET_PATCHES)))))
    if config.aug_dir and not config.online_aug and config.do_aug:
        _write_patches(Path(config.aug_dir), engine, batch)


def _write_patches(folder: Path, engine: Engine, batch: PatchBatch) -> None:
    """Write each patch to a PNG file, except those that exist."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(len(batch)):
        path = folder / f"{index:05d}.png"
        if not path.exists():
            write_png(path, pixels(engine.patches(batch.take(slice(index, index + 1)))[0]))


def _sheet(patches: np.ndarray) -> np.ndarray:
    """Return patches (B, C, S, S) side by side in rows, (H, W, 3) uint8."""
    blank = np.ones((-len(patches) % SHEET_COLUMNS, *patches.shape[1:]), np.float32)
    tiles = np.concatenate([patches, blank])
    starts = range(0, len(tiles), SHEET_COLUMNS)
    rows = [np.concatenate(list(tiles[start : start + SHEET_COLUMNS]), axis=2) for start in starts]
    return eight_bit(pixels(np.concatenate(rows, axis=1)))

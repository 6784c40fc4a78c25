"""From a folder of good images to a detector file in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ssim_ae.augmentation.orientation import has_any_orientation
from ssim_ae.augmentation.patches import AS_THEY_LIE, epoch_patches
from ssim_ae.calibration.calibrate import calibrate, threshold_images
from ssim_ae.config import EARLIER, Config
from ssim_ae.console import note
from ssim_ae.detector.detector import DETECTOR_NAME, Detector, detector_path
from ssim_ae.detector.detector_file import (
    DetectorFile,
    layer_table,
    read_detector,
    versions,
    weights_in,
    write_detector,
)
from ssim_ae.errors import InputError
from ssim_ae.images.colours import eight_bit, pixels
from ssim_ae.images.files import write_png
from ssim_ae.images.folders import Dataset, content_hash, find_dataset, fingerprint
from ssim_ae.maps.residuals import Thresholds
from ssim_ae.storage import alone_in, new_folder, remove_leftovers, write_whole
from ssim_ae.training.checkpoints import TrainingState, read_checkpoint, write_checkpoint
from ssim_ae.training.collapse_monitor import CollapseMonitor
from ssim_ae.training.good_images import GoodImages, load_good_images
from ssim_ae.training.history import draw_history, write_history
from ssim_ae.training.loop import Engine, TrainingLoop
from ssim_ae.training.schedule import completed_fraction

CONFIG_NAME = "config.yaml"
SHEET, SHEET_COLUMNS = 64, 8  # patches on the sheet to look at
ANY_ANGLE = 180.0  # degrees that patches are turned by at most, where good parts lie at any


@dataclass(frozen=True)
class Run:
    """A training's folder, its data set and config, and whether it came to its last epoch."""

    folder: Path
    dataset: Dataset
    config: Config
    finished: bool
    writes: bool  # False in all processes but the first of a distributed training

    @property
    def detector_path(self) -> Path:
        """The detector file."""
        return self.folder / DETECTOR_NAME


def train(
    config: Config,
    *,
    runs: str | os.PathLike[str] = "runs",
    resume: str | os.PathLike[str] | None = None,
    skip_bad: bool = False,
) -> Run:
    """Train a detector on the good images of `config.dataset_path`, in a new folder of `runs`.

    With `resume`, a run's folder, that run goes on where its last checkpoint left it, under its own config.
    Test images are opened to see that they can be, and not used. InputError if something given cannot be used.
    """
    if resume is not None:
        config = Config.read(Path(resume) / CONFIG_NAME, defaults=EARLIER)
    config = _checked(config, fresh=resume is None)
    dataset = find_dataset(config.dataset_path, img_suffix=config.img_suffix, mask_suffix=config.mask_suffix)
    good = load_good_images(dataset, config, skip_bad=skip_bad)
    config = _with_angle(config, good.training_images)
    engine = _engine(config)(config, layer_table(config), good.training_images, good.held_out_images)
    try:
        return _run(engine, config, dataset, good, Path(runs), Path(resume) if resume is not None else None)
    finally:
        engine.close()


def _engine(config: Config) -> Callable[..., Engine]:
    """Return the class of the engine: auto is PyTorch's, where PyTorch or no framework at all is installed."""
    mindspore_alone = find_spec("mindspore") and not find_spec("torch") and config.method == "reference"
    if config.engine == "mindspore" or (config.engine == "auto" and mindspore_alone):
        from ssim_ae.training.mindspore_engine import MindSporeEngine

        return MindSporeEngine
    from ssim_ae.training.torch_engine import TorchEngine

    return TorchEngine


def _checked(config: Config, *, fresh: bool) -> Config:
    if not config.dataset_path:
        raise InputError("dataset_path: no folder given; pass a folder of good images")
    if fresh and config.aug_dir and Path(config.aug_dir).exists() and any(Path(config.aug_dir).iterdir()):
        raise InputError(f"{config.aug_dir}: aug_dir is not empty; nothing in it is overwritten")
    return config.replace(dataset_path=str(Path(config.dataset_path).resolve()))


def _with_angle(config: Config, images: np.ndarray) -> Config:
    """Find out how far to turn patches, where the config does not say."""
    if config.rotate_angle >= 0 or not (config.do_aug and config.p_rotate):
        return config
    if not has_any_orientation(images):
        return config.replace(rotate_angle=AS_THEY_LIE)
    note("good parts lie at any angle: it learns from them turned by any")
    return config.replace(rotate_angle=ANY_ANGLE)


def _run(engine: Engine, config: Config, dataset: Dataset, good: GoodImages, runs: Path, resumed: Path | None) -> Run:
    hashes = {path: content_hash(path) for path in good.training_paths + good.held_out_paths}
    images = fingerprint(hashes)
    if copies := len(hashes) - len(set(hashes.values())):
        note(f"{copies} good images are copies of others: where one is held out, its score promises too much")
    if config.load_ckpt_path:
        file = read_detector(detector_path(Path(config.load_ckpt_path)))
        engine.load_weights(weights_in(file), config.load_ckpt_path)
    writes = engine.rank == 0
    name = config.dataset if config.dataset != "none" else dataset.name
    folder = resumed or (new_folder(runs, name) if writes else runs)
    with alone_in(folder) if writes else nullcontext():
        end = _fit(engine, config, good, images, folder, resume=resumed is not None)
        finished = completed_fraction(config, end.step, end.seconds) >= 1
        if writes:
            provenance = _provenance(engine, dataset, end) | {
                "trained_images": [hashes[path] for path in good.training_paths],
                "held_out_images": [hashes[path] for path in good.held_out_paths],
                "fingerprint": images,
                "finished": finished,
            }
            _write_calibrated(folder, engine, config, good, provenance)
            if end.history:
                draw_history(folder / "loss.png", end.history)
    return Run(folder, dataset, config, finished, writes)


def _fit(engine: Engine, config: Config, good: GoodImages, images: str, folder: Path, *, resume: bool) -> TrainingState:
    """Train from the start, or the checkpoint in the folder, to the end; the engine then has the best weights."""
    monitor, position = CollapseMonitor(engine, config, good.held_out_images), TrainingState()
    if resume and (checkpoint := read_checkpoint(folder, images, config)):
        engine.load_state(checkpoint[0], str(folder))
        monitor.restore(*checkpoint)
        position = checkpoint[1]
    writes = engine.rank == 0
    if writes:
        _prepare(folder, engine, config, len(good.training_paths))

    def save(position: TrainingState) -> None:
        if writes:
            write_checkpoint(folder, engine.state() | monitor.checkpoint_arrays(), position, images, config)
            write_history(folder, position.history)

    end = TrainingLoop(engine, config, len(good.training_paths), monitor, position, save).run()
    monitor.check_end()
    if monitor.best_weights:
        engine.load_weights(monitor.best_weights, "the best weights")
    return end


def _write_calibrated(
    folder: Path, engine: Engine, config: Config, good: GoodImages, provenance: dict[str, Any]
) -> None:
    """Write the detector file, with thresholds of what the engine makes of the held-out images."""
    detector = Detector(config, Thresholds(1, 1), engine.runtime())
    held_out, learned = threshold_images(good.held_out_paths, good.training_paths)
    calibration = calibrate(detector, held_out, config, learned)
    provenance = provenance | {"thresholds": calibration.origin}
    file = DetectorFile(config, calibration.thresholds, engine.weights(), provenance, calibration.usual)
    write_detector(folder / DETECTOR_NAME, file)
    if not good.held_out_paths:
        note("thresholds come from images it learned from (none held out): expect more false alarms on new ones")


def _provenance(engine: Engine, dataset: Dataset, end: TrainingState) -> dict[str, Any]:
    """What a detector remembers of its training, but for its images: these by content, so that none is ever tested."""
    return {
        "dataset": dataset.name,
        "steps": end.step,
        "minutes": round(end.seconds / 60, 2),
        "device": engine.describe(),
        "last_epoch": end.history[-1]._asdict() if end.history else None,
        "versions": versions(),
    }


def _prepare(folder: Path, engine: Engine, config: Config, images: int) -> None:
    """Write what a run's folder holds from the start, or what a kill kept from being written."""
    remove_leftovers(folder)
    if not (folder / CONFIG_NAME).exists():
        write_whole(folder / CONFIG_NAME, config.to_yaml())
    picks = epoch_patches(config, images, 0)
    write_png(folder / "patches.png", _sheet(engine.patches(picks.take(slice(0, SHEET)))))
    if config.aug_dir and not config.online_aug and config.do_aug:
        target = Path(config.aug_dir)
        target.mkdir(parents=True, exist_ok=True)
        for index in range(len(picks)):
            path = target / f"{index:05d}.png"
            if not path.exists():
                write_png(path, pixels(engine.patches(picks.take(slice(index, index + 1)))[0]))


def _sheet(patches: np.ndarray) -> np.ndarray:
    blank = np.ones((-len(patches) % SHEET_COLUMNS, *patches.shape[1:]), np.float32)
    tiles = np.concatenate([patches, blank])
    starts = range(0, len(tiles), SHEET_COLUMNS)
    rows = [np.concatenate(list(tiles[start : start + SHEET_COLUMNS]), axis=2) for start in starts]
    return eight_bit(pixels(np.concatenate(rows, axis=1)))

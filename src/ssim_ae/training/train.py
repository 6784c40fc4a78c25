"""From a folder of good images to a detector file in a folder of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssim_ae.config import Config
from ssim_ae.detection.calibrate import calibrate, threshold_images
from ssim_ae.detection.detector import DETECTOR_NAME, Detector
from ssim_ae.detection.detector_file import DetectorFile, read_detector, table_of, versions, write_detector
from ssim_ae.detection.residuals import Thresholds
from ssim_ae.errors import InputError
from ssim_ae.images.files import write_png
from ssim_ae.images.folders import Dataset, find_dataset, fingerprint
from ssim_ae.storage import new_folder, write_whole
from ssim_ae.training.checkpoints import Position, read_checkpoint, write_checkpoint
from ssim_ae.training.good_images import GoodImages, load_good_images
from ssim_ae.training.history import draw_history, write_history
from ssim_ae.training.loop import Engine, fit
from ssim_ae.training.patches import epoch_picks

CONFIG_NAME = "config.yaml"
SHEET = 64  # patches on the sheet to look at


@dataclass(frozen=True)
class Run:
    """A training's folder, its data set and config, and whether it came to its last epoch."""

    folder: Path
    dataset: Dataset
    config: Config
    finished: bool
    writes: bool  # False in all processes but the first of a distributed training
    notes: tuple[str, ...]

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
    from ssim_ae.training.torch_engine import TorchEngine

    if resume is not None:
        config = Config.read(Path(resume) / CONFIG_NAME)
    if config.model_arts:
        raise InputError("model_arts: training on ModelArts is not available in this version")
    if not config.dataset_path:
        raise InputError("dataset_path: no folder given; pass a folder of good images")
    dataset = find_dataset(Path(config.dataset_path), img_suffix=config.img_suffix, mask_suffix=config.mask_suffix)
    good = load_good_images(dataset, config, skip_bad=skip_bad)
    engine = TorchEngine(config, table_of(config), good.stack, good.held_out_stack)
    try:
        folder = Path(resume) if resume is not None else None
        return _run(engine, config, dataset, good, Path(runs), folder)
    finally:
        engine.close()


def _run(engine: Engine, config: Config, dataset: Dataset, good: GoodImages, runs: Path, resumed: Path | None) -> Run:
    images = fingerprint(good.trained + good.held_out)
    position = Position()
    if resumed and (checkpoint := read_checkpoint(resumed, images)):
        engine.load_state(checkpoint[0], str(resumed))
        position = checkpoint[1]
    elif config.load_ckpt_path:
        engine.load_weights(read_detector(Path(config.load_ckpt_path)).weights, config.load_ckpt_path)
    writes = engine.rank == 0
    folder = resumed
    if folder is None and writes:
        folder = new_folder(runs, config.dataset if config.dataset != "none" else dataset.name)
        write_whole(folder / CONFIG_NAME, config.replace(dataset_path=str(dataset.root.resolve())).to_yaml())
        _write_patches(engine, config, folder, len(good.trained))

    def save(position: Position) -> None:
        if writes and folder:
            write_checkpoint(folder, engine.state(), position, images)
            write_history(folder, position.history)

    end = fit(engine, config, len(good.trained), len(good.held_out), position, save)
    finished = end.step == config.epochs * (config.augment_num // config.batch_size)
    notes = list(good.notes)
    if not good.held_out:
        notes.append(
            "thresholds come from images it learned from (none held out): expect more false alarms on new ones"
        )
    if writes and folder:
        if end.history:
            draw_history(folder, end.history)
        detector = Detector(config, Thresholds(1, 1), engine.runtime())
        calibration = calibrate(detector, threshold_images(good.held_out, good.trained), config)
        notes += calibration.notes
        provenance = {
            "dataset": dataset.name,
            "fingerprint": images,
            "trained_images": [path.name for path in good.trained],
            "held_out_images": [path.name for path in good.held_out],
            "steps": end.step,
            "finished": finished,
            "minutes": round(end.seconds / 60, 2),
            "device": engine.describe(),
            "last_epoch": end.history[-1]._asdict() if end.history else None,
            "thresholds": calibration.origin,
            "versions": versions(),
        }
        file = DetectorFile(config, calibration.thresholds, engine.weights(), provenance)
        write_detector(folder / DETECTOR_NAME, file)
    return Run(folder or runs, dataset, config, finished, writes, tuple(notes))


def _write_patches(engine: Engine, config: Config, folder: Path, images: int) -> None:
    picks = epoch_picks(config, images, 0)
    write_png(folder / "patches.png", _sheet(engine.patches(picks.take(slice(0, SHEET)))))
    if config.aug_dir and not config.online_aug and config.do_aug:
        target = Path(config.aug_dir)
        if target.exists() and any(target.iterdir()):
            raise InputError(f"{target}: aug_dir is not empty; nothing in it is overwritten")
        target.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(picks), config.batch_size):
            batch = engine.patches(picks.take(slice(start, start + config.batch_size)))
            for offset, patch in enumerate(batch):
                write_png(target / f"{start + offset:05d}.png", _pixels(patch))


def _pixels(patch: np.ndarray) -> np.ndarray:
    return np.rint(np.moveaxis(patch, 0, 2) * 255).astype(np.uint8)


def _sheet(patches: np.ndarray, columns: int = 8) -> np.ndarray:
    blank = np.ones((-len(patches) % columns, *patches.shape[1:]), np.float32)
    tiles = np.concatenate([patches, blank])
    rows = [np.concatenate(list(tiles[start : start + columns]), axis=2) for start in range(0, len(tiles), columns)]
    return _pixels(np.concatenate(rows, axis=1))

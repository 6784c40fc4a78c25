"""Training of a network by gradient steps, with an engine for the framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Self

import numpy as np

from ssim_ae.alignment.choose import Alignment
from ssim_ae.augmentation.patches import PatchBatch
from ssim_ae.config import Config
from ssim_ae.console import print_note
from ssim_ae.detector.detector_file import read_detector, weights_in
from ssim_ae.detector.run_folder import detector_path
from ssim_ae.images.colors import eight_bit, pixels
from ssim_ae.images.files import write_png
from ssim_ae.methods import method_of, trained_method_of
from ssim_ae.runtimes.runtime import Runtime
from ssim_ae.training.alignment_choice import alignment_of, with_aligned_pixels
from ssim_ae.training.checkpoints import TrainingState, read_checkpoint, write_checkpoint
from ssim_ae.training.collapse_monitor import CollapseMonitor
from ssim_ae.training.engine import Engine
from ssim_ae.training.good_images import GoodImages
from ssim_ae.training.history import draw_history, write_history
from ssim_ae.training.learner import Addition, Learned
from ssim_ae.training.loop import TrainingLoop
from ssim_ae.training.patch_sampling import epoch_patches
from ssim_ae.training.schedule import Cycle

SHEET_PATCHES = 64  # on the sheet of example patches
SHEET_COLUMNS = 8


class NetworkTrainer:
    """Trains the network of a method on good images; with an alignment, their pixels are those of the strips."""

    def __init__(self, config: Config, good: GoodImages, alignment: Alignment | None = None) -> None:
        self.config = config
        self.alignment = alignment
        self.good = good
        layers = trained_method_of(config).layers(config)
        self.engine = _engine_class(config)(config, layers, good.training_images, good.held_out_images)
        self.rank = self.engine.rank
        if config.load_ckpt_path:
            file = read_detector(detector_path(Path(config.load_ckpt_path)))
            self.engine.load_weights(weights_in(file), config.load_ckpt_path)

    @classmethod
    def start(cls, config: Config, good: GoodImages, folder: Path) -> Self:
        """Return a trainer on good images, which decide whether parts are aligned.

        Pixels that do not fit in memory are in a temporary file in `folder`.
        """
        alignment = alignment_of(good.training_paths, config)
        return cls(config, with_aligned_pixels(good, alignment, config, folder) if alignment else good, alignment)

    def describe(self) -> str:
        """Return device, precision and number of workers as text."""
        return self.engine.describe()

    def runtime(self) -> Runtime:
        """Return a runtime with a copy of the current weights."""
        return self.engine.runtime()

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of the weights by name."""
        return self.engine.weights()

    def save(self, folder: Path, training_images: Sequence[str]) -> None:
        """Do nothing: an addition of epochs starts from the checkpoint."""

    def without(self, paths: Sequence[Path]) -> None:
        """Return None: it would take another training."""

    def close(self) -> None:
        """Leave the process group of a distributed training."""
        self.engine.close()

    def learn(self, folder: Path, images: str, *, resume: bool, add: Addition | None) -> Learned:
        """Train from the start, or the checkpoint in the folder, to the end; then load the best weights."""
        engine, config = self.engine, self.config
        monitor, state = CollapseMonitor(engine, config, self.good.held_out_images), TrainingState()
        if resume and (checkpoint := read_checkpoint(folder, images, config)):
            engine.load_state(checkpoint[0], str(folder))
            monitor.restore(*checkpoint)
            state = checkpoint[1]
            if add:
                state = state._replace(cycle=_added_cycle(state, config, add))
                if monitor.best_weights:
                    engine.load_weights(monitor.best_weights, "the best weights")
        former_loss = monitor.best_loss
        image_count = len(self.good.training_paths)
        is_main = self.rank == 0
        if is_main:
            _write_examples(folder, engine, config, image_count)

        def save(state: TrainingState) -> None:
            if is_main:
                write_checkpoint(folder, engine.state() | monitor.checkpoint_arrays(), state, images, config)
                write_history(folder, state.history)

        end = TrainingLoop(engine, config, image_count, monitor, state, save).run()
        finished = end.completed(config) >= 1
        if finished:
            monitor.check_end(end.step)
        if monitor.best_weights:
            engine.load_weights(monitor.best_weights, "the best weights")
        if add and former_loss is not None and monitor.best_loss == former_loss:
            print_note("training: the held-out loss did not fall any lower; the weights are those of before")
        if is_main and end.history:
            draw_history(folder / "loss.png", end.history)
        return Learned(finished, end.seconds, end.step, end.history)


def _engine_class(config: Config) -> Callable[..., Engine]:
    """Return the class of the engine; `auto` is MindSpore only if it is installed without PyTorch."""
    only_mindspore = find_spec("mindspore") and not find_spec("torch") and "mindspore" in method_of(config).engines
    if config.engine == "mindspore" or (config.engine == "auto" and only_mindspore):
        from ssim_ae.training.mindspore_engine import MindSporeEngine

        return MindSporeEngine
    from ssim_ae.training.torch_engine import TorchEngine

    return TorchEngine


def _added_cycle(state: TrainingState, config: Config, add: Addition) -> Cycle:
    """Return the cycle that adds epochs or minutes to a training; it ends with a whole epoch, or with the time."""
    if add.minutes:
        return Cycle(state.step, state.seconds, config.epoch_steps, 60 * add.minutes)
    epochs = ceil(state.step / config.epoch_steps) + add.epochs
    return Cycle(state.step, state.seconds, epochs * config.epoch_steps - state.step)


def _write_examples(folder: Path, engine: Engine, config: Config, images: int) -> None:
    """Write example patches into the folder of a run, and all patches of the first epoch into `aug_dir`, if given."""
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
    """Return patches (B, C, h, w) side by side in rows, (H, W, 3) uint8."""
    blank = np.ones((-len(patches) % SHEET_COLUMNS, *patches.shape[1:]), np.float32)
    tiles = np.concatenate([patches, blank])
    starts = range(0, len(tiles), SHEET_COLUMNS)
    rows = [np.concatenate(list(tiles[start : start + SHEET_COLUMNS]), axis=2) for start in starts]
    return eight_bit(pixels(np.concatenate(rows, axis=1)))

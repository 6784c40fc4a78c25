"""Our side of the measurements: configs, engines, batches, untrained detectors, drawn images."""

import csv
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from peers.case import Case
from ssim_ae import Config
from ssim_ae.detector.detector_file import DetectorFile, layer_table, write_detector
from ssim_ae.maps.residuals import Thresholds
from ssim_ae.network.torch_network import Autoencoder
from ssim_ae.synthetic import fabric
from ssim_ae.training.patch_sampling import epoch_patches
from ssim_ae.training.torch_engine import TorchEngine

DRAWN = 16  # images in memory that training patches are cut from
BATCHES = 4  # of an epoch
CPU = torch.device("cpu")


def config_of(case: Case, **settings: Any) -> Config:
    """Return the config of a case, on the CPU."""
    given = {
        "grayscale": case.channels == 1,
        "im_resize": case.im_resize,
        "crop_size": case.crop_size,
        "z_dim": case.z_dim,
        "flc": case.flc,
        "batch_size": case.batch,
        "augment_num": BATCHES * case.batch,
        "device_target": "CPU",
        "schedule": "constant",
    }
    return Config(**given | settings)


def engine_of(config: Config) -> TorchEngine:
    """Return an engine with noise to train on."""
    shape = (DRAWN, config.channels, config.im_resize, config.im_resize)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return TorchEngine(config, layer_table(config), images, images[:1])


def step_of(engine: TorchEngine, config: Config) -> Callable[[], float]:
    """Return the work of one training step, on the batches of an epoch in turn; it gives the loss."""
    picks = epoch_patches(config, len(engine.stack), 0)
    batches = [picks.take(slice(start, start + config.batch_size)) for start in range(0, len(picks), config.batch_size)]
    epoch = itertools.cycle(batches)
    return lambda: float(engine.step(next(epoch), config.lr))


def untrained_detector(config: Config, path: Path) -> Path:
    """Write a detector with weights as they start."""
    torch.manual_seed(0)
    network = Autoencoder(layer_table(config))
    weights = {name: weight.detach().numpy() for name, weight in network.named_parameters()}
    provenance = {"trained_images": [], "thresholds": {"estimator": "none", "good_images": 0}}
    write_detector(path, DetectorFile(config, Thresholds(1, 1), weights, provenance))
    return path


def drawn_cloth(folder: Path, *, count: int, size: int) -> Path:
    """Draw good images of a cloth; return their data set's folder."""
    return fabric.make(folder, classes=["twill"], train=count, good=1, defective=1, size=size)[0]


def copies(originals: list[Path], folder: Path, count: int) -> list[Path]:
    """Copy images, one after the other and over again, until there are `count` of them."""
    folder.mkdir()
    chosen = itertools.islice(itertools.cycle(originals), count)
    return [Path(shutil.copyfile(path, folder / f"{index:03d}{path.suffix}")) for index, path in enumerate(chosen)]


def recorded_rate(run: Path) -> float:
    """Return the patches/s in a run's history: the median epoch, leaving out the first, which warms up."""
    with (run / "history.csv").open(newline="") as file:
        rates = [float(row["patches_per_second"]) for row in csv.DictReader(file)]
    return median(rates[1:])

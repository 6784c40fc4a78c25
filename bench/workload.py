"""Workloads of this project: configurations, engines, steps, untrained detectors and synthetic images."""

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
from ssim_ae.augmentation.patches import PatchBatch
from ssim_ae.detector.detector_file import DetectorFile, write_detector
from ssim_ae.detector.provenance import Provenance
from ssim_ae.methods import methods, trained_method_of, unused_settings
from ssim_ae.methods.method import Method
from ssim_ae.network.torch_network import Autoencoder
from ssim_ae.synthetic import fabric
from ssim_ae.training.patch_sampling import epoch_patches
from ssim_ae.training.torch_engine import TorchEngine

IMAGES = 16  # random images that training patches are cut from
EPOCH_BATCHES = 4  # different batches
CPU = torch.device("cpu")


def config_of(case: Case, **settings: Any) -> Config:
    """Return the configuration of a case, on the CPU."""
    case_settings: dict[str, Any] = {
        "method": "reference",
        "grayscale": case.channels == 1,
        "im_resize": case.im_resize,
        "crop_size": case.crop_size,
        "z_dim": case.z_dim,
        "flc": case.flc,
        "batch_size": case.batch,
        "augment_num": EPOCH_BATCHES * case.batch,
        "device_target": "CPU",
        "schedule": "constant",
    }
    return Config(**case_settings | settings)


def config_of_method(method: str, **settings: Any) -> Config:
    """Return the configuration of a method, without those of the settings that it does not use."""
    used = {key: value for key, value in settings.items() if key not in unused_settings(method)}
    return Config(method=method, **used)


def engine_of(config: Config) -> TorchEngine:
    """Return an engine with random images."""
    shape = (IMAGES, config.channels, *config.working_size)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return TorchEngine(config, trained_method_of(config).layers(config), images, images[:1])


def step_of(engine: TorchEngine, config: Config) -> Callable[[], torch.Tensor]:
    """Return a function that trains on the next of an epoch's batches and returns the loss, on its device."""
    batches = itertools.cycle(batches_of(engine, config))
    return lambda: engine.step(next(batches), config.lr)


def batches_of(engine: TorchEngine, config: Config) -> list[PatchBatch]:
    """Return the batches of an epoch."""
    patches = epoch_patches(config, len(engine.images), 0)
    starts = range(0, len(patches), config.batch_size)
    return [patches.take(slice(start, start + config.batch_size)) for start in starts]


def trained_methods() -> list[Method]:
    """Return the methods whose networks are trained."""
    return [method for method in methods() if method.engines]


def untrained_detector(config: Config, path: Path) -> Path:
    """Write a detector with initial weights; return its path."""
    torch.manual_seed(0)
    method = trained_method_of(config)
    network = Autoencoder(method.layers(config))
    weights = {name: weight.detach().numpy() for name, weight in network.named_parameters()}
    write_detector(
        path, DetectorFile(config, method.thresholds([1.0] * len(method.residual_names)), weights, Provenance())
    )
    return path


def fabric_data_set(folder: Path, *, count: int, size: int) -> Path:
    """Write a data set of synthetic fabric with `count` training images; return its folder."""
    return fabric.make(folder, classes=["twill"], train=count, good=1, defective=1, size=size)[0]


def good_fabric_images(folder: Path, *, count: int, size: int) -> list[Path]:
    """Write synthetic fabric; return its `count` training images."""
    return sorted((fabric_data_set(folder, count=count, size=size) / "train" / "good").iterdir())


def copy_images(originals: list[Path], folder: Path, count: int) -> list[Path]:
    """Write `count` copies of images, repeating the images as needed; return their paths."""
    folder.mkdir()
    chosen = itertools.islice(itertools.cycle(originals), count)
    return [Path(shutil.copyfile(path, folder / f"{index:03d}{path.suffix}")) for index, path in enumerate(chosen)]


def recorded_rate(run: Path) -> float:
    """Return the median patches/s in a run's history, without the first epoch, which includes the warm-up."""
    with (run / "history.csv").open(newline="") as file:
        rates = [float(row["patches_per_second"]) for row in csv.DictReader(file)]
    return median(rates[1:])

"""One file per detector: the weights, and all else as JSON in the header."""

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssim_ae.config import Config
from ssim_ae.detection.residuals import Thresholds
from ssim_ae.errors import InputError
from ssim_ae.network.architecture import Layer, layers, weight_shapes
from ssim_ae.storage import read_tensors, write_tensors

FORMAT = 1  # raised when older versions can no longer read what is written


class DetectorFile(NamedTuple):
    """What a detector file holds. `provenance`: training data, epochs, thresholds' origin, versions."""

    config: Config
    thresholds: Thresholds
    weights: dict[str, np.ndarray]
    provenance: dict[str, Any]


def table_of(config: Config) -> tuple[Layer, ...]:
    """Return the layer table that a config asks for."""
    return layers(crop_size=config.crop_size, channels=config.channels, z_dim=config.z_dim, flc=config.flc)


def write_detector(path: Path, detector: DetectorFile) -> None:
    """Write the file, whole or not at all."""
    metadata = {
        "kind": "detector",
        "format": FORMAT,
        "config": detector.config.model_dump(),
        "thresholds": detector.thresholds._asdict(),
        "provenance": detector.provenance,
        "weights_sha256": weights_hash(detector.weights),
    }
    write_tensors(path, detector.weights, metadata)


def read_detector(path: Path) -> DetectorFile:
    """Read and check the file. InputError, one line, for anything that is not a whole detector of this network."""
    weights, metadata = read_tensors(path, "detector")
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: format {metadata.get('format')}, this version reads format {FORMAT}")
    try:
        config = Config(**metadata["config"])
        thresholds = Thresholds(**metadata["thresholds"])
        expected = weight_shapes(table_of(config))
        provenance = dict(metadata["provenance"])
        recorded = metadata["weights_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its header is damaged, or from a newer version") from error
    if {name: array.shape for name, array in weights.items()} != expected:
        raise InputError(f"{path}: its weights do not fit the network that its config asks for")
    if weights_hash(weights) != recorded:
        raise InputError(f"{path}: damaged: the weights are not those that were written")
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise InputError(f"{path}: a weight is not a finite number")
    if not all(isinstance(value, float | int) and value >= 0 and np.isfinite(value) for value in thresholds):
        raise InputError(f"{path}: its thresholds are not numbers >= 0: {thresholds._asdict()}")
    return DetectorFile(config, thresholds, weights, provenance)


def weights_hash(weights: dict[str, np.ndarray]) -> str:
    """Return a hash of the weights, by name."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of what makes the numbers."""
    found = {"python": platform.python_version()}
    for package in ("ssim-ae", "numpy", "pillow", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

"""One file per detector: the weights, and all else as JSON in the header."""

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssim_ae.config import Config
from ssim_ae.detection.onnx_file import graph_hash, metadata_text
from ssim_ae.detection.residuals import Thresholds
from ssim_ae.errors import InputError
from ssim_ae.network.architecture import Layer, layers, weight_shapes
from ssim_ae.storage import read_tensors, write_tensors

KIND = "detector"
FORMAT = 1  # raised when older versions can no longer read what is written


class DetectorFile(NamedTuple):
    """What a detector file holds. `provenance`: training data, epochs, thresholds' origin, versions.

    An exported file has a `model` that holds the weights, and none by name.
    """

    config: Config
    thresholds: Thresholds
    weights: dict[str, np.ndarray]
    provenance: dict[str, Any]
    model: bytes = b""


def table_of(config: Config) -> tuple[Layer, ...]:
    """Return the layer table that a config asks for."""
    return layers(crop_size=config.crop_size, channels=config.channels, z_dim=config.z_dim, flc=config.flc)


def header(detector: DetectorFile) -> dict[str, Any]:
    """Return all but the weights, as JSON can hold it."""
    return {
        "kind": KIND,
        "format": FORMAT,
        "config": detector.config.model_dump(),
        "thresholds": detector.thresholds._asdict(),
        "provenance": detector.provenance,
    }


def write_detector(path: Path, detector: DetectorFile) -> None:
    """Write the file, whole or not at all."""
    metadata = {**header(detector), "weights_sha256": weights_hash(detector.weights)}
    write_tensors(path, detector.weights, metadata)


def read_detector(path: Path) -> DetectorFile:
    """Read and check the file, trained or exported. InputError, one line, for anything that is not a whole detector."""
    return _read_exported(path) if _starts_like_onnx(path) else _read_trained(path)


def _read_trained(path: Path) -> DetectorFile:
    weights, metadata = read_tensors(path, KIND)
    file = _checked(path, metadata)._replace(weights=weights)
    if {name: array.shape for name, array in weights.items()} != weight_shapes(table_of(file.config)):
        raise InputError(f"{path}: its weights do not fit the network that its config asks for")
    if weights_hash(weights) != metadata.get("weights_sha256"):
        raise InputError(f"{path}: damaged: the weights are not those that were written")
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise InputError(f"{path}: a weight is not a finite number")
    return file


def _read_exported(path: Path) -> DetectorFile:
    try:
        model = path.read_bytes()
        text = metadata_text(model)
        metadata = json.loads(text) if text else None
        digest = graph_hash(model)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: not a {KIND} file, or damaged") from error
    if not isinstance(metadata, dict) or metadata.get("kind") != KIND:
        raise InputError(f"{path}: not a {KIND} file: written by another program")
    file = _checked(path, metadata)._replace(model=model)
    if digest != metadata.get("graph_sha256"):
        raise InputError(f"{path}: damaged: the network is not the one that was written")
    return file


def _starts_like_onnx(path: Path) -> bool:
    """An ONNX file begins with the field ir_version, the other kind with the length of its header."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError:
        return False  # and the reader says why
    return start[:1] == b"\x08" and start[8:] != b"{"


def _checked(path: Path, metadata: dict[str, Any]) -> DetectorFile:
    """Return what the metadata says, without weights."""
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: format {metadata.get('format')}, this version reads format {FORMAT}")
    try:
        config = Config(**metadata["config"])
        thresholds = Thresholds(**metadata["thresholds"])
        provenance = dict(metadata["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its header is damaged, or from a newer version") from error
    if not all(isinstance(value, float | int) and value >= 0 and np.isfinite(value) for value in thresholds):
        raise InputError(f"{path}: its thresholds are not numbers >= 0: {thresholds._asdict()}")
    return DetectorFile(config, thresholds, {}, provenance)


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
    for package in ("ssim-ae", "numpy", "pillow", "onnxruntime", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

"""One file per detector: the weights, and all else as JSON in the header.

A trained detector is a safetensors file. An exported one is an ONNX file, with the same weights; or, in a form of its
own, an OpenVINO or MindSpore model, which has the JSON in it or beside it.
"""

import json
import platform
import xml.etree.ElementTree as ET
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssim_ae.config import EARLIER, Config
from ssim_ae.detector.provenance import Provenance
from ssim_ae.errors import InputError
from ssim_ae.maps.coarse_residuals import GRID, NormalStatistics
from ssim_ae.maps.residuals import Thresholds
from ssim_ae.network.architecture import Layer, layers, repair_layers, weight_shapes
from ssim_ae.runtimes.runtime import Model
from ssim_ae.storage import (
    METADATA_KEY,
    SEAL,
    UNSEALED,
    checked_metadata,
    file_hash,
    parsed_json,
    read_tensors,
    read_whole,
    sealed,
    write_tensors,
    write_whole,
)

KIND = "detector"
MINDIR_PRODUCER = b"MindSpore"  # written near the start of a MINDIR file
LARGEST = float(np.finfo(np.float32).max)
LARGEST_USUAL = 1e6  # far beyond any residual
FORMAT = 2  # raised when older versions can no longer read what is written, or would score otherwise
BEFORE = 1  # the same for `reference`; the residuals of `repair` were others


class DetectorFile(NamedTuple):
    """What a detector file holds. `provenance`: training data, epochs, thresholds' origin, versions.

    `usual` are the residuals that those of a network that repairs are relative to. Where a model has the weights in a
    form of its own, there are none by name.
    """

    config: Config
    thresholds: Thresholds
    weights: dict[str, np.ndarray]
    provenance: dict[str, Any]
    usual: NormalStatistics | None = None
    model: Model | None = None


def layer_table(config: Config) -> tuple[Layer, ...]:
    """Return the layer table that a config asks for."""
    if config.method == "repair":
        return repair_layers(crop_size=config.crop_size, channels=config.channels, flc=config.flc)
    return layers(crop_size=config.crop_size, channels=config.channels, z_dim=config.z_dim, flc=config.flc)


def weights_in(detector: DetectorFile) -> dict[str, np.ndarray]:
    """Return the weights by name. InputError where a model has them in a form of its own."""
    if detector.model:
        raise InputError(f"{detector.model.path}: has its weights in a form of its own; name the detector it came from")
    return detector.weights


def header(detector: DetectorFile) -> dict[str, Any]:
    """Return all but the weights, as JSON can hold it."""
    return {
        "kind": KIND,
        "format": FORMAT,
        "config": detector.config.model_dump(),
        "thresholds": detector.thresholds._asdict(),
        "provenance": detector.provenance,
    } | ({"usual": _as_lists(detector.usual)} if detector.usual else {})


def _as_lists(usual: NormalStatistics) -> dict[str, list[list[float]]]:
    return {name: [[float(f"{x:.4g}") for x in row] for row in grid] for name, grid in usual._asdict().items()}


def write_detector(path: Path, detector: DetectorFile) -> None:
    """Write the file, whole or not at all."""
    write_tensors(path, detector.weights, header(detector))


def write_json_beside(model: Path, detector: DetectorFile, batch_size: int | None) -> None:
    """Write all but the weights beside a model that is there already, and cannot hold it."""
    metadata = {**header(detector), "batch_size": batch_size, "weights_sha256": file_hash(read_whole(model))}
    write_whole(json_beside(model), sealed(json.dumps(metadata | {SEAL: UNSEALED}, allow_nan=False).encode()))


def read_detector(path: Path) -> DetectorFile:
    """Read and check the file, trained or exported. InputError, one line, for anything that is not a whole detector."""
    try:
        with path.open("rb") as opened:
            start = opened.read(16)
    except OSError:
        start = b""  # and the reader says why
    if start.startswith(b"<?xml"):
        return _read_openvino(path)
    if MINDIR_PRODUCER in start:
        return _read_mindir(path)
    weights, metadata = _read_onnx(path) if _starts_like_onnx(start) else read_tensors(path, KIND)
    file = _checked(path, metadata)
    named = {name: weights[name] for name in weight_shapes(layer_table(file.config)) if name in weights}
    if {name: array.shape for name, array in named.items()} != weight_shapes(layer_table(file.config)):
        raise InputError(f"{path}: its weights do not fit the network that its config asks for")
    if not all(array.dtype == np.float32 and np.isfinite(array).all() for array in named.values()):
        raise InputError(f"{path}: a weight is not a finite number of 32 bits")
    return file._replace(weights=named)


def _starts_like_onnx(start: bytes) -> bool:
    """An ONNX file begins with the field ir_version, a safetensors file with the length of its header."""
    return start[:1] == b"\x08" and start[8:9] != b"{"


def _read_onnx(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from ssim_ae.network.onnx_network import read_model

    data = read_whole(path)
    try:
        tensors, metadata = read_model(data)
    except ValueError as error:
        raise InputError(f"{path}: not a {KIND} file, or damaged") from error
    return tensors, checked_metadata(path, KIND, data, metadata)


def _read_openvino(path: Path) -> DetectorFile:
    data = read_whole(path)
    try:
        entry = ET.fromstring(data).find(f"rt_info/{METADATA_KEY}")
        metadata = None if entry is None else parsed_json(entry.get("value", "null"))
    except (ET.ParseError, ValueError) as error:
        raise InputError(f"{path}: not a {KIND} file, or damaged") from error
    metadata = checked_metadata(path, KIND, data, metadata)
    return _with_model(path, metadata, "openvino", path.with_suffix(".bin"))


def _read_mindir(path: Path) -> DetectorFile:
    beside = json_beside(path)
    data = read_whole(beside)
    try:
        metadata = parsed_json(data)
    except ValueError as error:
        raise InputError(f"{beside}: not a {KIND} file, or damaged") from error
    return _with_model(path, checked_metadata(beside, KIND, data, metadata), "mindspore", path)


def json_beside(path: Path) -> Path:
    """Return where a model that cannot hold our JSON has it."""
    return path.with_name(f"{path.name}.json")


def _with_model(path: Path, metadata: dict[str, Any], runtime: str, weights: Path) -> DetectorFile:
    if file_hash(read_whole(weights)) != metadata.get("weights_sha256"):
        raise InputError(f"{weights}: damaged, or of another detector")
    return _checked(path, metadata)._replace(model=Model(path, runtime))


def _checked(path: Path, metadata: dict[str, Any]) -> DetectorFile:
    """Return what the metadata says, without weights."""
    written = metadata.get("format")
    if written not in (BEFORE, FORMAT):
        raise InputError(f"{path}: format {written!s:.20}, this version reads format {FORMAT}")
    try:
        config = Config(**EARLIER | metadata["config"])
        thresholds = Thresholds(**metadata["thresholds"])
        Provenance.model_validate(metadata["provenance"])
        usual = _usual(metadata.get("usual"))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: its header is damaged, or from a newer version") from error
    if written == BEFORE and config.method == "repair":
        raise InputError(
            f"{path}: format {BEFORE}, in which repair had other residuals: train anew, or --resume its run"
        )
    if not all(_is_limit(value) for value in thresholds):
        raise InputError(f"{path}: its thresholds are not numbers >= 0: {str(thresholds._asdict())[:100]}")
    return DetectorFile(config, thresholds, {}, metadata["provenance"], usual)


def _is_limit(value: object) -> bool:
    """Whether it is a number that a residual in float32 can be compared with."""
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _usual(found: Any) -> NormalStatistics | None:
    """Return the usual residuals in a header, if there are any. ValueError where they are none."""
    if found is None:
        return None
    usual = NormalStatistics(*(np.array(found[name], float) for name in NormalStatistics._fields))
    if not all(grid.shape == (GRID, GRID) and (grid >= 0).all() and (grid < LARGEST_USUAL).all() for grid in usual):
        raise ValueError(f"usual residuals should be {GRID} x {GRID} numbers >= 0")
    return NormalStatistics(*(grid.astype(np.float32) for grid in usual))


def versions() -> dict[str, str]:
    """Return the versions of what makes the numbers."""
    found = {"python": platform.python_version()}
    for package in ("ssim-ae", "numpy", "pillow", "onnxruntime", "openvino", "torch", "mindspore"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

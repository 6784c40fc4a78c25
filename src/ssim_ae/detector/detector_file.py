"""One file per detector: the weights, and everything else as JSON in the header.

A trained detector is a safetensors file. An exported one is an ONNX file with the same weights, or an OpenVINO or
MindSpore model with the JSON inside or beside it.
"""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssim_ae.alignment.choose import Alignment
from ssim_ae.alignment.frame import Frame
from ssim_ae.checked_files import (
    CHECKSUM_KEY,
    EMPTY_CHECKSUM,
    METADATA_KEY,
    file_hash,
    read_tensors,
    verify_metadata,
    with_checksum,
    write_tensors,
)
from ssim_ae.config import Config
from ssim_ae.config.yaml_files import read_yaml
from ssim_ae.detector.detectability_chart import DetectabilityChart
from ssim_ae.detector.look import UsualImages
from ssim_ae.detector.provenance import Provenance
from ssim_ae.detector.regions import Regions
from ssim_ae.errors import InputError
from ssim_ae.images.view import View
from ssim_ae.maps.normalization import GRID_SIZE, NormalStatistics
from ssim_ae.maps.residuals import Thresholds
from ssim_ae.methods import method_of
from ssim_ae.network.network import Network, are_weights_of
from ssim_ae.runtimes.runtime import Model
from ssim_ae.storage import parse_json, read_file, write_atomic

KIND = "detector"
CONFIG_NAME = "config.yaml"  # the settings of a run, beside its detector file
FORMAT_VERSION = 2  # raised when older versions cannot read the file, or would compute other scores
READABLE_FORMATS = (1, 2)  # 1: before the detectability chart
MINDIR_PRODUCER = b"MindSpore"  # near the start of a MINDIR file
MAX_THRESHOLD = float(np.finfo(np.float32).max)
MAX_NORMAL_RESIDUAL = 1e6  # larger than any residual


class DetectorFile(NamedTuple):
    """The content of a detector file.

    `normal_statistics` are present if the method normalizes residuals, `alignment` if parts are turned before they are
    inspected, `detectability` if it was measured, `regions` if some are ignored or of another sensitivity, `usual` if
    the good images were there when the thresholds were set. If a `model` holds the weights in the format of its
    runtime, `weights` is empty. `fingerprint` is the checksum in the file that
    it was read from.
    """

    config: Config
    thresholds: Thresholds
    weights: dict[str, np.ndarray]
    provenance: Provenance
    normal_statistics: NormalStatistics | None = None
    alignment: Alignment | None = None
    detectability: DetectabilityChart | None = None
    regions: Regions | None = None
    usual: UsualImages | None = None
    model: Model | None = None
    fingerprint: str = ""


def frame_of(config: Config, alignment: Alignment | None = None) -> Frame:
    """Return the frame of the network's input: the view or, with an alignment, the strip along the part."""
    return Frame.of(View.from_config(config), alignment, method_of(config).size_multiple(config))


def network_of(config: Config, alignment: Alignment | None = None) -> Network:
    """Return the network of a configuration. It takes tiles, or the whole frame of an image."""
    method = method_of(config)
    size = frame_of(config, alignment).size if method.inspects_whole_image else config.tile_size
    return method.network(config, size)


def weights_in(detector: DetectorFile) -> dict[str, np.ndarray]:
    """Return the weights by name. Raises InputError if only a model holds them."""
    if detector.model:
        raise InputError(
            f"{detector.model.path}: its weights cannot be extracted; use the detector file that it was exported from"
        )
    return detector.weights


def header(detector: DetectorFile) -> dict[str, Any]:
    """Return everything but the weights as JSON."""
    metadata = {
        "kind": KIND,
        "format": FORMAT_VERSION,
        "config": detector.config.portable_settings(),
        "thresholds": dict(detector.thresholds),
        "provenance": detector.provenance.model_dump(mode="json"),
    }
    if detector.normal_statistics:
        names = method_of(detector.config).residual_names
        grids = zip(names, detector.normal_statistics.grids, strict=True)
        metadata["normal_statistics"] = {name: _as_lists(grid) for name, grid in grids}
    if detector.alignment:
        metadata["alignment"] = detector.alignment.in_file()
    if detector.detectability:
        metadata["detectability"] = detector.detectability.model_dump(mode="json")
    if detector.regions:
        metadata["regions"] = detector.regions.model_dump(mode="json")
    if detector.usual:
        metadata["usual"] = detector.usual.model_dump(mode="json")
    return metadata


def _as_lists(grid: np.ndarray) -> list[list[float]]:
    return [[float(f"{x:.4g}") for x in row] for row in grid]


def write_detector(path: Path, detector: DetectorFile) -> None:
    """Write the file atomically."""
    write_tensors(path, detector.weights, header(detector))


def write_json_beside(model: Path, detector: DetectorFile, batch_size: int | None) -> None:
    """Write everything but the weights beside an existing model file that cannot hold it."""
    metadata = {**header(detector), "batch_size": batch_size, "weights_sha256": file_hash(read_file(model))}
    write_atomic(json_beside(model), with_checksum(json.dumps(metadata | EMPTY_CHECKSUM, allow_nan=False).encode()))


def read_detector(path: Path) -> DetectorFile:
    """Read and validate a trained or exported detector. Raises InputError, one line, for anything else.

    The file names no place on a machine. In the folder of a run, `dataset_path` and `more_paths` are those of the run's
    config.yaml.
    """
    file = _read(path)
    places = {} if file.config.dataset_path else _places_of_data_set(path.parent / CONFIG_NAME)  # older files have one
    return file._replace(config=file.config.replace(**places)) if places else file


def _places_of_data_set(config: Path) -> dict[str, Any]:
    """Return the folders of the data set in the settings of a run; nothing if there is no such file."""
    try:
        settings = read_yaml(config) if config.is_file() else {}
        places = Config(**{key: settings[key] for key in ("dataset_path", "more_paths") if key in settings})
    except InputError:
        return {}
    return {key: getattr(places, key) for key in places.model_fields_set} if places.dataset_path else {}


def _read(path: Path) -> DetectorFile:
    try:
        with path.open("rb") as opened:
            start = opened.read(16)
    except OSError:
        start = b""  # the reader below reports the reason
    if start.startswith(b"<?xml"):
        return _read_openvino(path)
    if MINDIR_PRODUCER in start:
        return _read_mindir(path)
    weights, metadata = _read_onnx(path) if _starts_like_onnx(start) else read_tensors(path, KIND)
    file = _parse(path, metadata)
    network = network_of(file.config, file.alignment)
    named = {name: weights[name] for name in network.weights() if name in weights}
    if not are_weights_of(network, named):
        raise InputError(f"{path}: the weights do not fit the network of the configuration")
    if not all(np.isfinite(array).all() for array in named.values()):
        raise InputError(f"{path}: the weights are not finite numbers")
    return file._replace(weights=named)


def _starts_like_onnx(start: bytes) -> bool:
    """An ONNX file starts with the field ir_version, a safetensors file with the length of its header."""
    return start[:1] == b"\x08" and start[8:9] != b"{"


def _read_onnx(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from ssim_ae.network.onnx_network import read_model

    data = read_file(path)
    try:
        tensors, metadata = read_model(data)
    except ValueError as error:
        raise InputError(f"{path}: not a {KIND} file, or corrupt") from error
    return tensors, verify_metadata(path, KIND, data, metadata)


def _read_openvino(path: Path) -> DetectorFile:
    data = read_file(path)
    try:
        entry = ET.fromstring(data).find(f"rt_info/{METADATA_KEY}")
        metadata = None if entry is None else parse_json(entry.get("value", "null"))
    except (ET.ParseError, ValueError) as error:
        raise InputError(f"{path}: not a {KIND} file, or corrupt") from error
    metadata = verify_metadata(path, KIND, data, metadata)
    return _with_model(path, metadata, "openvino", path.with_suffix(".bin"))


def _read_mindir(path: Path) -> DetectorFile:
    beside = json_beside(path)
    data = read_file(beside)
    try:
        metadata = parse_json(data)
    except ValueError as error:
        raise InputError(f"{beside}: not a {KIND} file, or corrupt") from error
    return _with_model(path, verify_metadata(beside, KIND, data, metadata), "mindspore", path)


def json_beside(path: Path) -> Path:
    """Return the path of the JSON file beside a model."""
    return path.with_name(f"{path.name}.json")


def _with_model(path: Path, metadata: dict[str, Any], runtime: str, weights: Path) -> DetectorFile:
    if file_hash(read_file(weights)) != metadata.get("weights_sha256"):
        raise InputError(f"{weights}: corrupt, or from another detector")
    return _parse(path, metadata)._replace(model=Model(path, runtime))


def _parse(path: Path, metadata: dict[str, Any]) -> DetectorFile:
    """Return the detector that the metadata describes, without weights."""
    if metadata.get("format") not in READABLE_FORMATS:
        readable = " and ".join(map(str, READABLE_FORMATS))
        raise InputError(
            f"{path}: format {metadata.get('format')!s:.20} is not supported, only {readable}; "
            "install the version of ssim-ae that wrote it"
        )
    try:
        config = Config(**metadata["config"])
        config.working_size  # noqa: B018 (an error if it is missing)
        method = method_of(config)
        thresholds = _parse_thresholds(metadata["thresholds"], method.residual_names)
        provenance = Provenance.model_validate(metadata["provenance"])
        statistics = _parse_statistics(metadata.get("normal_statistics"), method.residual_names)
        alignment = metadata.get("alignment")
        alignment = None if alignment is None else Alignment.from_file(alignment)
        chart = metadata.get("detectability")
        detectability = None if chart is None else DetectabilityChart.model_validate(chart)
        regions = _parse_regions(metadata.get("regions"), config, alignment)
        usual = None if metadata.get("usual") is None else UsualImages.from_file(metadata["usual"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: the header is corrupt, or from a newer version") from error
    if not all(_is_threshold(value) for value in thresholds.values()):
        raise InputError(f"{path}: the thresholds are not numbers >= 0: {str(thresholds)[:100]}")
    return DetectorFile(
        config,
        thresholds,
        {},
        provenance,
        statistics,
        alignment,
        detectability,
        regions,
        usual,
        fingerprint=metadata[CHECKSUM_KEY],
    )


def _parse_regions(values: Any, config: Config, alignment: Alignment | None) -> Regions | None:
    """Return the regions in a header, if any. Raises ValueError if they are invalid."""
    if values is None:
        return None
    regions = Regions.model_validate(values)
    try:
        regions.sensitivity(frame_of(config, alignment))
    except InputError as error:
        raise ValueError(str(error)) from error
    return regions


def _parse_thresholds(values: Any, names: tuple[str, ...]) -> Thresholds:
    """Return the thresholds in a header, in the method's order. Raises KeyError or ValueError for other names."""
    if len(values) != len(names):
        raise ValueError(f"thresholds should be those of {', '.join(names)}")
    return {name: values[name] for name in names}


def _is_threshold(value: object) -> bool:
    """Whether a value is a number that a residual in float32 can be compared with."""
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value <= MAX_THRESHOLD


def _parse_statistics(values: Any, names: tuple[str, ...]) -> NormalStatistics | None:
    """Return the normal statistics in a header, if any. Raises ValueError if they are invalid."""
    if values is None:
        return None
    grids = [np.array(values[name], float) for name in names]
    shape = (GRID_SIZE, GRID_SIZE)
    if not all(grid.shape == shape and (grid >= 0).all() and (grid < MAX_NORMAL_RESIDUAL).all() for grid in grids):
        raise ValueError(f"normal statistics should be {GRID_SIZE} x {GRID_SIZE} numbers >= 0")
    return NormalStatistics(np.stack(grids).astype(np.float32))

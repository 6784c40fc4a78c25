"""A detector from a checkpoint of the reference system, the MindSpore model zoo's SSIM-AE."""

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from ssim_ae.calibration.calibrate import Calibration, calibrate, threshold_images
from ssim_ae.calibration.thresholds import given_thresholds
from ssim_ae.config import Config
from ssim_ae.console import note
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import DetectorFile, layer_table, write_detector
from ssim_ae.detector.provenance import Provenance, ThresholdOrigin, installed_versions
from ssim_ae.errors import InputError
from ssim_ae.images.folders import content_hash, find_dataset
from ssim_ae.maps.residuals import Thresholds
from ssim_ae.model_zoo.checkpoint import read_mindspore_checkpoint
from ssim_ae.network.architecture import Layer, weight_shapes

# Cells are counted with the activations between them: encoded.0.weight, encoded.0.bias, encoded.2.weight ...
WEIGHT_NAME = re.compile(r"(.*?)(encoded|decoded)\.(\d{1,6})\.(weight|bias)")


def import_reference(checkpoint: Path, config: Config, output: Path | None = None) -> Path:
    """Write a detector file with the weights of a checkpoint and the settings it was trained under; return its path.

    Thresholds are the config's, where it gives both; else they come from the last fifth of the good images of its
    `dataset_path`, as in the reference. InputError where the checkpoint does not fit, and where there are no
    thresholds. Nothing is overwritten.
    """
    target = output or checkpoint.with_suffix(".safetensors")
    if target.exists():
        raise InputError(f"{target}: exists already; name another file with --output")
    weights = reference_weights(read_mindspore_checkpoint(checkpoint), layer_table(config), str(checkpoint))
    given = given_thresholds(config)
    good = _good_images(config, needed=given is None)
    if config.dataset_path:
        config = config.replace(dataset_path=str(Path(config.dataset_path).resolve()))
    file = DetectorFile(config, given or Thresholds(1, 1), weights, Provenance())
    origin = ThresholdOrigin()
    if given:
        note("ssim_threshold: the reference evaluates SSIM with another window, so its threshold fits only roughly")
    else:
        calibration = _calibrated(file, good)
        file, origin = file._replace(thresholds=calibration.thresholds), calibration.origin
    provenance = Provenance(
        imported_from=checkpoint.name,
        training_images=[content_hash(path) for path in good],  # the reference holds none out
        thresholds=origin,
        versions=installed_versions(),
    )
    write_detector(target, file._replace(provenance=provenance))
    return target


def reference_weights(
    tensors: Mapping[str, np.ndarray], table: tuple[Layer, ...], source: str
) -> dict[str, np.ndarray]:
    """Return a checkpoint's weights under the names of the table. InputError names `source` and what does not fit."""
    found = _in_order(tensors)
    if not found:
        raise InputError(f"{source}: no weights of the reference's network in it, encoded.0.weight and so on")
    settings = "crop_size, z_dim, flc and grayscale should be those of its training"
    weights = {}
    for given, wanted in zip_longest(found.items(), weight_shapes(table).items()):
        if given is None or wanted is None:
            counts = f"{len(found)} weights and biases, of this config's network {2 * len(table)}"
            raise InputError(f"{source}: {counts}; {settings}")
        (name, array), (ours, shape) = given, wanted
        if array.shape != shape:
            raise InputError(f"{source}: {name} is {array.shape}, {ours} of this config is {shape}; {settings}")
        if not np.isfinite(array).all():
            raise InputError(f"{source}: {name} is not a finite number everywhere")
        weights[ours] = array
    # The reference's images are blue, green and red
    first, last = table[0].name, table[-1].name
    for name, axis in ((f"{first}.weight", 1), (f"{last}.weight", 1), (f"{last}.bias", 0)):
        weights[name] = np.flip(weights[name], axis).copy()
    return weights


def _in_order(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the network's own weights: encoder before decoder, then by number, a layer's weight before its bias."""
    matches = [match for name in tensors if (match := WEIGHT_NAME.fullmatch(name))]
    # The optimizer's states are named after the weights, behind a prefix: adam_m.encoded.0.weight
    prefix = min((match[1] for match in matches), key=len, default="")
    own = [match for match in matches if match[1] == prefix]
    own.sort(key=lambda match: (match[2] == "decoded", int(match[3]), match[4] == "bias"))
    return {match[0]: tensors[match[0]] for match in own}


def _good_images(config: Config, *, needed: bool) -> tuple[Path, ...]:
    """Return what the reference learned from. InputError where `needed` and not there."""
    if not config.dataset_path:
        if needed:
            raise InputError("no thresholds: give --ssim_threshold and --l1_threshold, or --dataset_path")
        return ()
    try:
        return find_dataset(config.dataset_path, img_suffix=config.img_suffix).good
    except InputError as error:
        if needed:
            advice = "thresholds are estimated from good images; or give --ssim_threshold and --l1_threshold"
            raise InputError(f"{error}; {advice}") from error
        note(f"{error}: the detector will not know the images it learned from")
        return ()


def _calibrated(file: DetectorFile, good: Sequence[Path]) -> Calibration:
    detector = Detector.from_file(file)
    calibration = calibrate(detector, threshold_images([], good)[0], file.config)
    note("thresholds: estimated from training images (none is held out); expect more false alarms on new images")
    return calibration

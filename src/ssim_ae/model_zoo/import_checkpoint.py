"""Import a checkpoint of the reference implementation, the SSIM-AE of the MindSpore model zoo, as a detector."""

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from ssim_ae.calibration.calibrate import Calibration, calibrate, threshold_images
from ssim_ae.calibration.thresholds import given_thresholds
from ssim_ae.config import Config
from ssim_ae.console import print_note
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import DetectorFile, write_detector
from ssim_ae.detector.provenance import Provenance, ThresholdOrigin, installed_versions
from ssim_ae.errors import InputError
from ssim_ae.images.folders import content_hash, find_dataset
from ssim_ae.methods.reference import METHOD
from ssim_ae.model_zoo.checkpoint import read_mindspore_checkpoint
from ssim_ae.network.architecture import Layer, weight_shapes

# Layers are numbered together with the activations between them: encoded.0.weight, encoded.0.bias, encoded.2.weight ...
WEIGHT_NAME = re.compile(r"(.*?)(encoded|decoded)\.(\d{1,6})\.(weight|bias)")


def import_reference(checkpoint: Path, config: Config, output: Path | None = None) -> Path:
    """Write a detector file with the weights of a checkpoint; return its path.

    `config` has the settings of the training. If it sets both thresholds, the detector has these. Otherwise thresholds
    are estimated from the last fifth of the good images in `dataset_path`, as in the reference implementation.
    Without `im_resize`, images are resized to a square of `resolution`.
    `output` defaults to the path of the checkpoint with the suffix .safetensors. Raises InputError if the checkpoint
    does not match the config, if there are no thresholds and no good images, or if the output exists.
    """
    if config.im_resize is None:
        config = config.replace(im_resize=config.resolution)
    target = output or checkpoint.with_suffix(".safetensors")
    if target.exists():
        raise InputError(f"{target}: exists already; name another file with --output")
    weights = reference_weights(read_mindspore_checkpoint(checkpoint), METHOD.layers(config), str(checkpoint))
    given = given_thresholds(config)
    good = _held_out_images(config, needed=given is None)
    file = DetectorFile(config, given or METHOD.thresholds([1.0, 1.0]), weights, Provenance())
    origin = ThresholdOrigin()
    if given:
        print_note("ssim_threshold: the reference evaluates SSIM with another window, so its threshold is approximate")
    else:
        calibration = _calibrate(file, good)
        file, origin = file._replace(thresholds=calibration.thresholds), calibration.origin
    provenance = Provenance(
        imported_from=checkpoint.name,
        training_images=[content_hash(path) for path in good],  # the reference implementation holds none out
        thresholds=origin,
        versions=installed_versions(),
    )
    write_detector(target, file._replace(provenance=provenance))
    return target


def reference_weights(
    tensors: Mapping[str, np.ndarray], table: tuple[Layer, ...], source: str
) -> dict[str, np.ndarray]:
    """Return the weights of a checkpoint under the names of the layer table.

    Colors are reordered from BGR to RGB. Raises InputError, which names `source`, if the weights do not match the
    table.
    """
    found = _network_weights(tensors)
    if not found:
        raise InputError(f"{source}: no weights of the reference network, such as encoded.0.weight")
    advice = "set crop_size, z_dim, flc and grayscale as in its training"
    weights = {}
    for entry, expected in zip_longest(found.items(), weight_shapes(table).items()):
        if entry is None or expected is None:
            counts = f"weights and biases: {len(found)}, but the network of this config has {2 * len(table)}"
            raise InputError(f"{source}: {counts}; {advice}")
        (name, array), (our_name, shape) = entry, expected
        if array.shape != shape:
            raise InputError(f"{source}: {name} is {array.shape}, {our_name} of this config is {shape}; {advice}")
        if not np.isfinite(array).all():
            raise InputError(f"{source}: {name} has values that are not finite")
        weights[our_name] = array
    # The reference implementation trains on BGR images
    first, last = table[0].name, table[-1].name
    for name, axis in ((f"{first}.weight", 1), (f"{last}.weight", 1), (f"{last}.bias", 0)):
        weights[name] = np.flip(weights[name], axis).copy()
    return weights


def _network_weights(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights of the network in order: encoder before decoder, by number, weight before bias."""
    matches = [match for name in tensors if (match := WEIGHT_NAME.fullmatch(name))]
    # The states of the optimizer have the names of the weights with a prefix: adam_m.encoded.0.weight
    prefix = min((match[1] for match in matches), key=len, default="")
    weights = [match for match in matches if match[1] == prefix]
    weights.sort(key=lambda match: (match[2] == "decoded", int(match[3]), match[4] == "bias"))
    return {match[0]: tensors[match[0]] for match in weights}


def _held_out_images(config: Config, *, needed: bool) -> tuple[Path, ...]:
    """Return the images that the reference was trained on. Raises InputError if they are `needed` and not found."""
    if not config.dataset_path:
        if needed:
            raise InputError("import: no thresholds; set --ssim_threshold and --l1_threshold, or --dataset_path")
        return ()
    try:
        return find_dataset(config.dataset_path, img_suffix=config.img_suffix).good
    except InputError as error:
        if needed:
            advice = "thresholds are estimated from good images unless --ssim_threshold and --l1_threshold are set"
            raise InputError(f"{error}; {advice}") from error
        print_note(f"{error}; the detector file will not list its training images")
        return ()


def _calibrate(file: DetectorFile, good: Sequence[Path]) -> Calibration:
    detector = Detector.from_file(file)
    calibration = calibrate(detector, threshold_images([], good)[0], file.config)
    print_note("thresholds: estimated from training images (none is held out); expect more false alarms on new images")
    return calibration

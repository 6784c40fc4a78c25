"""The export of a detector."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import network_of, read_detector, weights_in
from ssim_ae.detector.run_folder import detector_path
from ssim_ae.errors import InputError
from ssim_ae.export.job import ComparisonImages, ExportJob
from ssim_ae.export.options import ExportOptions
from ssim_ae.export.parity import Inspect, Parity, measure_parity
from ssim_ae.methods import method_of
from ssim_ae.network.architecture import LayeredNetwork
from ssim_ae.storage import scratch_folder

INT8_SCORE_TOLERANCE = 0.2  # a change of an image by 1e-7 changes the score by up to 0.05


class ExportResult(NamedTuple):
    """An exported file and how it compares with the detector.

    Attributes:
        path: the exported file.
        options: the options of the export.
        runtime: runtime of the detector that the file was compared with; empty without a comparison.
        parity: the differences; None if nothing on this machine can run the file.
    """

    path: Path
    options: ExportOptions
    runtime: str = ""
    parity: Parity | None = None


def export(detector: Path, output: Path | None = None, options: ExportOptions | None = None) -> ExportResult:
    """Export a detector with its config and thresholds, and compare the exported file with it.

    `detector` is a detector file or the folder of a run; `output` defaults to a file beside the detector file.
    InputError if the method does not support the format, or if the exported file differs from the detector; then no
    file is written.
    """
    options = options or ExportOptions()
    source = detector_path(detector)
    file = read_detector(source)
    weights_in(file)  # raises an InputError if the file has no weights by name
    method = method_of(file.config)
    for option, name, other in (("format", options.format, "onnx"), ("precision", options.precision, "fp16")):
        if name in method.unsupported_exports:
            raise InputError(f"{source}: {option} {name} does not support method {method.name}; use {other}")
    return run_job(ExportJob(source, options.target(source, output), file, options, ComparisonImages(source, file)))


def run_job(job: ExportJob) -> ExportResult:
    """Write the files of an export to a temporary folder, compare them with the detector and move them to the target.

    InputError if they differ from the detector.
    """
    write = job.options.export_format.load_writer()
    with scratch_folder(job.target.parent) as scratch:
        path = scratch / job.target.name
        inspect = write(path, job)
        result = _compare(job, path, inspect) if inspect else ExportResult(job.target, job.options)
        for written in reversed(job.options.export_format.files(path)):  # the main file last: it needs its sidecar
            written.replace(job.target.with_name(written.name))
    return result


def _compare(job: ExportJob, path: Path, inspect: Inspect) -> ExportResult:
    """Compare the written file with the detector. InputError if they differ.

    Weights of reduced precision change the reconstructions, so such a file is also compared with the detector that
    Python loads from it.
    """
    images = job.images.for_comparison
    layered = isinstance(network_of(job.file.config), LayeredNetwork)
    runtime = "torch" if layered and find_spec("torch") else "onnxruntime"
    to_source = measure_parity(Detector.from_file(job.file, runtime=runtime, device_target="CPU"), inspect, images)
    to_reloaded = to_source
    if job.options.precision != "fp32":
        to_reloaded = measure_parity(Detector.load(path, device_target="CPU"), inspect, images)
    if not _is_within_tolerance(job.options.precision, to_source, to_reloaded):
        advice = "report it as a bug" if job.options.precision == "fp32" else "use precision fp32"
        raise InputError(f"{job.target}: not written, it differs from the detector ({to_source}); {advice}")
    return ExportResult(job.target, job.options, runtime, to_source)


def _is_within_tolerance(precision: str, to_source: Parity, to_reloaded: Parity) -> bool:
    """Whether an exported file agrees with the detector as closely as its precision permits.

    `to_source` compares the file with the detector, `to_reloaded` with the detector that Python loads from the file.
    fp32 and fp16: the outputs equal those of the loaded detector within the tolerances, and all verdicts equal those of
    the detector. int8, which has thresholds of its own: the scores are close to those of the loaded detector.
    """
    if precision == "int8":
        return max(to_reloaded.good.score, to_reloaded.with_defect.score) <= INT8_SCORE_TOLERANCE
    return to_reloaded.within_tolerance and to_source.all_verdicts_equal

"""The command line: one function a verb. Parse, call, print."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssim_ae.arguments import Parser
from ssim_ae.errors import InputError
from ssim_ae.spelling import nearest

if TYPE_CHECKING:
    from ssim_ae.config import Config
    from ssim_ae.detection.detector import Detector
    from ssim_ae.evaluation.figures import Evaluation
    from ssim_ae.export.export import Export
    from ssim_ae.images.folders import Dataset

NOK_FOUND, UNUSABLE, INTERRUPTED = 1, 2, 130  # exit statuses
EXTRAS = {  # the others: train
    **{"s3fs": "buckets", "openvino": "openvino", "nncf": "int8", "mindspore": "mindspore"},
    **{"fastapi": "serve", "uvicorn": "serve", "prometheus_client": "serve"},
}
THRESHOLD_KEYS = ("threshold", "percent", "k_sigma", "min_area", "ssim_threshold", "l1_threshold")
EVALUATION_KEYS = (
    *("checkpoint_path", "dataset_path", "img_suffix", "mask_suffix", "save_dir"),
    *("image_level", "ssim_threshold", "l1_threshold", "device_target"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no text
    warnings.filterwarnings("ignore", module="PIL")  # what matters of it is an InputError
    if not given or given[0] not in VERBS:
        return _overview(given)
    verb = VERBS[given[0]]
    parser = Parser(prog=f"ssim-ae {given[0]}", description=verb.summary, allow_abbrev=False)
    verb.arguments(parser)
    try:
        return verb.run(parser.parse_args(parser.spelt(given[1:])))
    except InputError as error:
        print(f"ssim-ae: {error}", file=sys.stderr)
        return UNUSABLE
    except ModuleNotFoundError as error:
        print(
            f"ssim-ae: needs {error.name}: pip install 'ssim-ae[{EXTRAS.get(str(error.name), 'train')}]'",
            file=sys.stderr,
        )
        return UNUSABLE
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        return 0
    except OSError as error:
        print(f"ssim-ae: {f'{error.filename}: {error.strerror}' if error.filename else error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("\nssim-ae: interrupted; a training goes on with: ssim-ae train --resume RUN", file=sys.stderr)
        return INTERRUPTED


def _train_arguments(parser: Parser) -> None:
    parser.add_argument("folder", nargs="?", help="good images, or a data set in MVTec AD's layout")
    parser.add_argument("--config_path", metavar="YAML", help="settings; those on the command line come on top")
    parser.add_argument("--runs", default="runs", metavar="FOLDER", help="where the run's folder is made (runs)")
    parser.add_argument("--resume", metavar="RUN", help="go on with an interrupted run")
    parser.add_argument("--skip-bad", action="store_true", help="go on without the images that cannot be read")
    parser.add_config_keys()


def _train(options: argparse.Namespace) -> int:
    from ssim_ae.config import Config
    from ssim_ae.detection.detector import Detector
    from ssim_ae.places import local, local_config, results_folder, send_back, send_results
    from ssim_ae.training.train import train

    overrides = _overrides(options)
    if options.folder:
        overrides["dataset_path"] = options.folder
    if options.resume and (overrides or options.config_path):
        raise InputError("--resume goes on under the run's own config: no other settings can be given")
    config = Config.read(options.config_path, overrides)
    results = config.train_url or options.runs
    if options.resume:
        run = train(config, resume=local(options.resume), skip_bad=options.skip_bad)
    else:
        run = train(local_config(config), runs=results_folder(results), skip_bad=options.skip_bad)
    if not run.writes:
        return 0
    if run.finished and run.config.run_eval:
        detector = Detector.load(run.detector_path, device_target=run.config.device_target)
        _report_into(run.folder / "report", run.detector_path, detector, run.dataset, run.config)
    _print_thresholds(run.detector_path)
    if options.resume:
        send_back(run.folder, options.resume)
    else:
        send_results(run.folder, results)
    if not run.finished:
        skipping = " --skip-bad" if options.skip_bad else ""
        print(f"stopped early; go on with: ssim-ae train --resume {run.folder}{skipping}")
        return INTERRUPTED
    return 0


def _evaluate_arguments(parser: Parser) -> None:
    parser.add_argument("detector", nargs="?", help="a detector file, or a run's folder (the config's checkpoint_path)")
    parser.add_argument("folder", nargs="?", help="data set with test images (the one it was trained on)")
    parser.add_argument("--config_path", metavar="YAML", help="settings; the network's are in the detector")
    parser.add_runtime()
    parser.add_config_keys(EVALUATION_KEYS)


def _evaluate(options: argparse.Namespace) -> int:
    from ssim_ae.config import Config
    from ssim_ae.detection.detector import Detector, detector_path
    from ssim_ae.detection.detector_file import read_detector
    from ssim_ae.images.folders import find_dataset
    from ssim_ae.places import local, local_config, results_folder, send_results
    from ssim_ae.storage import new_folder

    asked = Config.read(options.config_path, _overrides(options))
    config = local_config(asked)
    path = detector_path(_detector_given(options, config))
    keys = asked.model_fields_set | ({"dataset_path"} if asked.data_url else set())
    given = {key: getattr(config, key) for key in EVALUATION_KEYS if key in keys}
    config = read_detector(path).config.replace(**given)
    root = local(options.folder) if options.folder else config.dataset_path
    dataset = find_dataset(root, img_suffix=config.img_suffix, mask_suffix=config.mask_suffix)
    how = {"device_target": config.device_target, "runtime": options.runtime, "threads": options.threads}
    detector = Detector.load(path, **how)
    results = asked.train_url or config.save_dir
    folder = new_folder(results_folder(results), dataset.name)
    _report_into(folder, path, detector, dataset, config)
    send_results(folder, results)
    return 0


def _report_arguments(parser: Parser) -> None:
    parser.add_argument("detector", help="a detector file, or a run's folder")
    parser.add_argument("folder", nargs="?", help="data set to show it on (the one it was trained on)")
    parser.add_argument("--output", metavar="FOLDER", help="where the page goes (report, beside the detector)")
    parser.add_argument("--format", metavar="png|svg", help="write the curves as figures for a paper too")
    parser.add_runtime()


def _report(options: argparse.Namespace) -> int:
    from ssim_ae.detection.detector import Detector, detector_path
    from ssim_ae.images.folders import find_dataset
    from ssim_ae.places import local, written

    if options.format not in (None, "png", "svg"):
        raise InputError(f"--format: should be png or svg, not {options.format!r}")
    if options.format:
        from ssim_ae.report.plots import plot
    path = detector_path(Path(local(options.detector)))
    detector = Detector.load(path, runtime=options.runtime, threads=options.threads)
    config = detector.config
    root = local(options.folder or config.dataset_path)
    dataset = find_dataset(root, img_suffix=config.img_suffix, mask_suffix=config.mask_suffix)
    with written(options.output) as output:
        folder = output or path.parent / "report"
        evaluation = _report_into(folder, path, detector, dataset, config)
        if options.format:
            for figure in plot(evaluation, path.parent, folder, options.format):
                print(f"figure: {figure}")
    return 0


def _report_into(folder: Path, path: Path, detector: Detector, dataset: Dataset, config: Config) -> Evaluation:
    from ssim_ae.report.report import report

    given = {"ssim": config.ssim_threshold, "l1": config.l1_threshold}
    detector.thresholds = detector.thresholds._replace(**{name: value for name, value in given.items() if value >= 0})
    evaluation = report(path, detector, dataset, folder)
    _print_evaluation(evaluation, dataset, folder, image_level=config.image_level)
    return evaluation


def _print_evaluation(evaluation: Evaluation, dataset: Dataset, folder: Path, *, image_level: bool) -> None:
    from ssim_ae.console import note
    from ssim_ae.evaluation.table import print_table

    if dataset.test:
        print_table(evaluation)
    for text in evaluation.notes:
        note(text)
    print(f"report: {folder / 'index.html'}", flush=True)
    if dataset.test:
        print(evaluation.reference_line(image_level=image_level), flush=True)


def _threshold_arguments(parser: Parser) -> None:
    parser.add_argument("detector", help="a detector file, or a run's folder")
    parser.add_argument("folder", nargs="?", help="good images (the held-out ones of its training)")
    parser.add_argument("--output", metavar="FILE", help="the new detector file (beside the old one)")
    parser.add_config_keys(THRESHOLD_KEYS)


def _threshold(options: argparse.Namespace) -> int:
    from ssim_ae.detection.recalibrate import recalibrate
    from ssim_ae.places import local, written

    good = Path(local(options.folder)) if options.folder else None
    with written(options.output) as output:
        target, _ = recalibrate(Path(local(options.detector)), good, _overrides(options), output)
        _print_thresholds(target)
    return 0


def _import_arguments(parser: Parser) -> None:
    parser.add_argument("checkpoint", help="a .ckpt file of the MindSpore model zoo's SSIM-AE")
    parser.add_argument("--config_path", metavar="YAML", help="the settings it was trained under")
    parser.add_argument("--output", metavar="FILE", help="the detector file (beside the checkpoint)")
    data = ("dataset", "dataset_path", "img_suffix", "mask_suffix", "grayscale", "bit_depth", "im_resize", "bg_mask")
    parser.add_config_keys((*data, "crop_size", "z_dim", "flc", "stride", *THRESHOLD_KEYS))


def _import(options: argparse.Namespace) -> int:
    from ssim_ae.config import Config
    from ssim_ae.detection.import_reference import import_reference
    from ssim_ae.places import local, local_config, written

    config = local_config(Config.read(options.config_path, _overrides(options)))
    with written(options.output) as output:
        target = import_reference(Path(local(options.checkpoint)), config, output)
        if min(config.ssim_threshold, config.l1_threshold) < 0:
            _print_thresholds(target)
        else:
            print(f"detector: {target}")
    return 0


def _predict_arguments(parser: Parser) -> None:
    parser.add_argument("detector", help="a detector file, or a run's folder")
    parser.add_argument("images", nargs="+", help="files, folders or patterns")
    parser.add_argument("--csv", metavar="FILE", help="write a line an image")
    parser.add_argument("--json", metavar="FILE", help="write the same as JSON")
    parser.add_argument("--overlays", metavar="FOLDER", help="write a heatmap with the defects outlined, an image each")
    parser.add_argument("--fail-on-nok", action="store_true", help=f"exit with {NOK_FOUND} if an image is defective")
    parser.add_argument("--device_target", default="auto", help="auto, CPU, GPU or Ascend")
    parser.add_runtime()


def _predict(options: argparse.Namespace) -> int:
    from ssim_ae.detection.detector import Detector
    from ssim_ae.detection.predictions import predict, write_csv, write_json
    from ssim_ae.images.folders import expand
    from ssim_ae.places import local, written

    paths = expand([local(place) for place in options.images])
    detector = Detector.load(
        local(options.detector), runtime=options.runtime, device_target=options.device_target, threads=options.threads
    )
    found = []
    with written(options.overlays) as overlays, written(options.csv) as table, written(options.json) as document:
        for prediction in predict(detector, paths, overlays):
            found.append(prediction)
            stream = sys.stderr if prediction.error else sys.stdout
            print(prediction, file=stream, flush=True)
        if table:
            write_csv(table, found)
        if document:
            write_json(document, found)
    if any(prediction.error for prediction in found):
        return UNUSABLE
    return NOK_FOUND if options.fail_on_nok and any(prediction.verdict == "nok" for prediction in found) else 0


def _export_arguments(parser: Parser) -> None:
    parser.add_argument("detector", nargs="?", help="a detector file, or a run's folder (the config's checkpoint_path)")
    parser.add_argument("--format", default="onnx", help="onnx, openvino, mindir, air or om (onnx)")
    parser.add_argument("--graph", default="", help="inspection: the whole job; network: patches in and out")
    parser.add_argument("--precision", default="", help="of openvino's weights: fp16, fp32 or int8 (fp16)")
    parser.add_argument("--output", metavar="FILE", help="the exported file (beside the detector)")
    parser.add_argument("--batch_size", type=int, help="of the network: patches at once, always as many (any number)")
    parser.add_argument("--opset", type=int, help="of the network: version of ONNX's operators, 11, 12 or 13 (13)")
    parser.add_argument("--soc_version", default="Ascend310", help="of om: the chip (Ascend310)")
    parser.add_argument("--config_path", metavar="YAML", help="settings, of which checkpoint_path is used")


def _export(options: argparse.Namespace) -> int:
    from ssim_ae.export.export import export
    from ssim_ae.export.form import Form
    from ssim_ae.export.table import print_export
    from ssim_ae.places import written

    keys = ("format", "graph", "precision", "batch_size", "opset", "soc_version")
    form = Form(**{key: getattr(options, key) for key in keys})
    detector = _detector_given(options)
    with written(options.output) as output:
        exported = export(detector, output, form)
        print_export(exported)
        if form.precision == "int8":
            _print_accuracies(detector, exported)
    return 0


def _print_accuracies(detector: Path, exported: Export) -> None:
    from ssim_ae.detection.detector import Detector
    from ssim_ae.export.accuracy import accuracies
    from ssim_ae.export.table import print_accuracies
    from ssim_ae.images.folders import find_dataset

    detectors = [Detector.load(path, runtime="openvino") for path in (detector, exported.path)]
    config = detectors[0].config
    dataset = find_dataset(config.dataset_path, img_suffix=config.img_suffix, mask_suffix=config.mask_suffix)
    if dataset.test:
        print_accuracies(("fp32", exported.form.precision), accuracies(detectors, dataset))


def _serve_arguments(parser: Parser) -> None:
    parser.add_argument("detectors", nargs="+", metavar="DETECTOR", help="detector files or runs' folders; NAME=PATH")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at, 0 for any that is free (8000)")
    parser.add_argument("--watch", metavar="FOLDER", help="inspect the images that come in there, with the first one")
    parser.add_argument("--token", help="who asks has to give it (SSIM_AE_TOKEN of the environment)")
    parser.add_argument("--queue", type=int, default=32, help="images that may wait for a core (32)")
    parser.add_argument("--max_mb", type=int, default=32, help="size of a request, MiB (32)")
    parser.add_argument("--max_megapixels", type=int, default=40, help="size of an image, million px (40)")
    parser.add_argument("--timeout", type=float, default=30, help="for a request, seconds (30)")
    parser.add_argument("--device_target", default="auto", help="auto, CPU, GPU or Ascend")
    parser.add_runtime()


def _serve(options: argparse.Namespace) -> int:
    from ssim_ae.server.limits import MIB, Limits
    from ssim_ae.server.serve import named, serve

    if options.queue < 0 or min(options.max_mb, options.max_megapixels) < 1 or not options.timeout > 0:
        raise InputError("--queue should be at least 0, --max_mb and --max_megapixels at least 1, --timeout above 0")
    serve(
        named(options.detectors),
        host=options.host,
        port=options.port,
        watch=Path(options.watch) if options.watch else None,
        token=options.token or os.environ.get("SSIM_AE_TOKEN"),
        limits=Limits(options.queue, options.max_mb * MIB, options.max_megapixels * 10**6, options.timeout),
        runtime=options.runtime,
        device_target=options.device_target,
        threads=options.threads,
    )
    return 0


def _fabric_arguments(parser: Parser) -> None:
    parser.add_argument("folder", help="where the class folders are made")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="of twill, canvas, badge (all three)")
    parser.add_argument("--train", type=int, default=100, help="good images to learn from, a class (100)")
    parser.add_argument("--good", type=int, default=20, help="good test images, a class (20)")
    parser.add_argument("--defective", type=int, default=5, help="test images a type of defect (5)")
    parser.add_argument("--size", type=int, default=256, help="height and width, px (256)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same images (0)")


def _fabric(options: argparse.Namespace) -> int:
    from ssim_ae.images import fabric

    for name in options.classes or ():
        if name not in fabric.CLASSES:
            raise InputError(f"--classes: unknown class {name!r}{nearest(name, fabric.CLASSES)}")
    if min(options.train, options.good, options.defective) < 1 or options.size < 64 or options.seed < 0:
        raise InputError("--train, --good and --defective should be at least 1, --size at least 64, --seed at least 0")
    folders = fabric.make(
        Path(options.folder),
        classes=options.classes or fabric.CLASSES,
        train=options.train,
        good=options.good,
        defective=options.defective,
        size=options.size,
        seed=options.seed,
    )
    for folder in folders:
        print(folder)
    return 0


def _demo_arguments(parser: Parser) -> None:
    parser.add_argument("folder", nargs="?", default="demo", help="where all of it goes (demo)")


def _demo(options: argparse.Namespace) -> int:
    from ssim_ae.demo import demo

    for run, evaluation in demo(Path(options.folder)):
        _print_evaluation(evaluation, run.dataset, run.folder / "report", image_level=True)
        _print_thresholds(run.detector_path)
        print(flush=True)
    return 0


class Verb(NamedTuple):
    """A command: what it does, its arguments, and the function that does it."""

    summary: str
    arguments: Callable[[Any], None]
    run: Callable[[argparse.Namespace], int]


VERBS = {
    "train": Verb("Learn a detector from good images.", _train_arguments, _train),
    "evaluate": Verb("Measure a detector on test images, with pictures.", _evaluate_arguments, _evaluate),
    "report": Verb("Write a page about a detector: figures, curves, every test image.", _report_arguments, _report),
    "predict": Verb("Inspect images: a line each.", _predict_arguments, _predict),
    "threshold": Verb("Estimate the thresholds of a detector anew.", _threshold_arguments, _threshold),
    "import": Verb("Make a detector of a checkpoint of the reference system.", _import_arguments, _import),
    "export": Verb("Write a detector as one ONNX file that needs no training framework.", _export_arguments, _export),
    "serve": Verb("Inspect images that come over HTTP, or into a folder.", _serve_arguments, _serve),
    "fabric": Verb("Draw the built-in data set.", _fabric_arguments, _fabric),
    "demo": Verb("See all of it on the built-in data set, in minutes.", _demo_arguments, _demo),
}


def _detector_given(options: argparse.Namespace, config: Config | None = None) -> Path:
    from ssim_ae.config import Config
    from ssim_ae.places import local

    place = options.detector or (config or Config.read(options.config_path)).checkpoint_path
    if not place:
        raise InputError("checkpoint_path: no detector given; name a detector file or a run's folder")
    return Path(local(place))


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    given = {key.removeprefix("config."): value for key, value in vars(options).items() if key.startswith("config.")}
    return {key: value for key, value in given.items() if value is not None}


def _print_thresholds(path: Path) -> None:
    from ssim_ae.detection.detector_file import read_detector

    file = read_detector(path)
    origin = file.provenance["thresholds"]
    alarms = origin["false_alarms"]
    promise = "" if alarms is None else f"; cross-validated, {100 * alarms:.1f} % of them are called defective"
    print(f"thresholds: ssim {file.thresholds.ssim:.4g}, l1 {file.thresholds.l1:.4g}", end="")
    print(f" ({origin['estimator']} on {origin['good_images']} good images{promise})")
    print(f"detector: {path}")


def _overview(given: Sequence[str]) -> int:
    if given and given[0] == "--version":
        from importlib.metadata import version

        print(version("ssim-ae"))
        return 0
    if given and given[0] not in ("-h", "--help"):
        print(
            f"ssim-ae: unknown command {given[0]!r}{nearest(given[0], VERBS)}; see ssim-ae -h",
            file=sys.stderr,
        )
        return UNUSABLE
    print("usage: ssim-ae COMMAND ... (each with -h)\n")
    for name, verb in VERBS.items():
        print(f"  {name:10} {verb.summary}")
    return 0 if given else UNUSABLE

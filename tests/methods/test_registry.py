"""A method is an object: a new one works everywhere without a change in the package."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import onnxruntime
import pytest

from ssim_ae import Config, Detector, InputError, evaluate, find_dataset, train
from ssim_ae.export.export import export
from ssim_ae.images.files import read_image
from ssim_ae.methods import METHOD_ORDER, default_method, get_method, methods, register
from ssim_ae.methods import _registry as registry
from ssim_ae.report.report import write_report
from ssim_ae.training.recalibrate import recalibrate

PACKAGE = Path(__file__).parents[2] / "src" / "ssim_ae"
EDGES = ("methods/", "config/yaml_files.py", "model_zoo/", "commands/import_reference.py")


def toy_module(name):
    spec = spec_from_file_location(f"toy_{name}", Path(__file__).with_name(f"{name}.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def blur():
    """Register the toy method for one test."""
    twin = toy_module("blur_onnx")

    class Blur(toy_module("blur").BlurMethod):
        onnx_operators = twin

    register(Blur())
    yield get_method("blur")
    del registry()["blur"]


def test_built_in_methods_are_found_the_default_first():
    assert tuple(method.name for method in methods()) == METHOD_ORDER == ("features", "segment", "repair", "reference")
    assert default_method() == "features"


@pytest.mark.parametrize(
    ("given", "engine", "expected"),
    [
        (["seed"], "auto", "features"),
        (["epochs"], "auto", "segment"),
        (["epochs", "z_dim"], "auto", "reference"),
        (["ssim_threshold"], "auto", "repair"),
        (["damage_threshold"], "auto", "segment"),
        (["align", "epochs"], "auto", "segment"),
        (["distance_threshold"], "auto", "features"),
        (["distance_threshold", "epochs"], "auto", "features"),  # validation says that epochs has no effect
        ([], "torch", "segment"),
        ([], "mindspore", "reference"),
    ],
)
def test_the_default_method_uses_all_given_settings(given, engine, expected):
    assert default_method(given, engine) == expected


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="method: should be one of features, segment, repair, reference, not 'blur'"):
        get_method("blur")


def test_a_new_method_trains_calibrates_inspects_reports_and_exports(blur, fabric_folder, tmp_path):
    config = Config(method="blur", dataset_path=str(fabric_folder), device_target="CPU", precision="fp32", holdout=0.5)
    assert (config.im_resize, config.epochs) == (64, 2)
    run = train(config, runs=tmp_path)
    detector = Detector.load(run.folder)
    assert detector.method is blur and detector.provenance.thresholds.expected

    image = next((fabric_folder / "test" / "hole").iterdir())
    inspection = detector.inspect(image)
    assert inspection.score > 0 and inspection.anomaly.shape == (64, 64)
    assert evaluate(detector, fabric_folder).reference_line().startswith("ok: ")

    write_report(run.detector_path, detector, find_dataset(fabric_folder), tmp_path / "report")
    assert "Method blur: one convolution, trained to remove noise" in (tmp_path / "report" / "index.html").read_text()

    path, calibration = recalibrate(run.folder, None, {"threshold": "max"})
    assert Detector.load(path).thresholds == calibration.thresholds != detector.thresholds

    inspection = Detector.load(run.folder, device_target="CPU").inspect(image)
    exported = export(run.folder)
    assert exported.parity and exported.parity.within_tolerance
    session = onnxruntime.InferenceSession(exported.path)
    score, _ = session.run(["score", "verdict"], {"image": read_image(image)})
    assert float(score) == pytest.approx(inspection.score, abs=1e-4)


def test_no_place_outside_methods_asks_which_method_it_is():
    names_a_method = re.compile(r"""["'](repair|segment|reference)["']""")
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not str(path.relative_to(PACKAGE)).startswith(EDGES)
        for line in path.read_text().splitlines()
        if names_a_method.search(line)
    ]
    assert found == []

import json
import os
import sys
from importlib.util import find_spec

import numpy as np
import onnx
import onnxruntime
import pytest

from ssim_ae import Detector, InputError, train
from ssim_ae.checked_files import METADATA_KEY
from ssim_ae.cli import main
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.export import onnx_files
from ssim_ae.export.export import export
from ssim_ae.export.formats import FORMATS, ExportFormat
from ssim_ae.export.options import ExportOptions
from ssim_ae.export.parity import inspect_with, measure_difference, measure_parity
from ssim_ae.images.files import read_image
from ssim_ae.maps.normalization import GRID_SIZE, NormalStatistics
from ssim_ae.methods.reference import METHOD
from ssim_ae.network import onnx_network

OPTIONS = {
    "inspection.onnx": ExportOptions(),
    "network.onnx": ExportOptions(graph="network"),
    "inspection.xml": ExportOptions("openvino", precision="fp32"),
    "network.xml": ExportOptions("openvino", graph="network", precision="fp32"),
    "half.xml": ExportOptions("openvino"),
}
EXACT = [name for name in OPTIONS if name != "half.xml"]


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    """One detector, exported with each of OPTIONS, by file name."""
    folder = tmp_path_factory.mktemp("export")
    return {name: export(tiny_run.folder, folder / name, options) for name, options in OPTIONS.items()}


@pytest.fixture
def images(fabric_folder):
    return sorted((fabric_folder / "test").rglob("*.png"))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_exported_file_is_a_detector_file_with_equal_outputs(detector, exported, images, name):
    loaded = Detector.load(exported[name].path)
    assert (
        loaded.config.portable_settings() == detector.config.portable_settings()
        and loaded.thresholds == detector.thresholds
    )
    assert loaded.provenance == detector.provenance
    found = measure_difference(detector, inspect_with(loaded), [read_image(path) for path in images])
    assert found.within_tolerance or (name == "half.xml" and found.all_verdicts_equal)
    inspections = list(loaded.inspect_all(images))
    assert [inspection.score for inspection in inspections] == pytest.approx(
        [loaded.inspect(path).score for path in images], abs=1e-4
    )


@pytest.mark.parametrize("name", ["network.onnx", "network.xml"])
def test_the_method_repair(tiny_config, images, tmp_path, name):
    run = train(tiny_config.replace(method="repair", im_resize=64, epochs=1), runs=tmp_path)
    path, _, _, found = export(run.folder, tmp_path / name, OPTIONS[name])
    assert found.within_tolerance
    trained, exported = (Detector.load(file, device_target="CPU") for file in (run.folder, path))
    assert exported.inspect(images[0]).score == pytest.approx(trained.inspect(images[0]).score, abs=1e-4)


def test_differences_of_normalized_residuals_are_in_units_of_residuals(detector, images):
    statistics = NormalStatistics(
        np.stack([np.full((GRID_SIZE, GRID_SIZE), mean, np.float32) for mean in (0.01, 0.002)])
    )
    thresholds = {"ssim": 20, "l1": 30}
    normalizing = Detector(detector.config, thresholds, detector.runtime, normal_statistics=statistics)

    def shifted(image):
        outputs = inspect_with(normalizing)(image)
        return outputs._replace(anomaly_map=outputs.anomaly_map + 1e-4)

    found = measure_difference(normalizing, shifted, [read_image(images[0])])
    # A divisor is the mean at a location plus the mean of all locations.
    assert found.residual == pytest.approx(1e-4 * 20 * 2 * 0.01, rel=1e-2)


def test_fp16_halves_the_weights(exported, tiny_run):
    exact, half = (exported[name].path.with_suffix(".bin").stat().st_size for name in ("inspection.xml", "half.xml"))
    weights = sum(array.nbytes for array in read_detector(tiny_run.detector_path).weights.values())
    assert exact - half == pytest.approx(weights / 2, rel=0.02)


def test_the_graph_network_has_four_operators(exported):
    model = onnx.load(exported["network.onnx"].path)
    assert {node.op_type for node in model.graph.node} == {"Conv", "ConvTranspose", "LeakyRelu", "Sigmoid"}
    assert model.opset_import[0].version == 13
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["batch", 3, 32, 32]


@pytest.mark.parametrize("opset", [11, 12, 13])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_a_fixed_batch_size_and_older_opsets(tiny_run, tmp_path, opset, batch_size):
    options = ExportOptions(graph="network", batch_size=batch_size, opset=opset)
    path, _, _, found = export(tiny_run.folder, tmp_path / "fixed.onnx", options)
    assert found.within_tolerance and found.good.images >= 2
    session = onnxruntime.InferenceSession(path)
    assert session.get_inputs()[0].shape == [batch_size, 3, 32, 32]
    assert onnx.load(path).opset_import[0].version == opset


def test_parity_detects_a_changed_weight_and_a_changed_threshold(detector, exported, images, tmp_path):
    arrays = [read_image(path) for path in images]
    file = read_detector(exported["inspection.onnx"].path)
    changed = {name: array.copy() for name, array in file.weights.items()}
    changed[f"{METHOD.layers(file.config)[-1].name}.weight"][0, 0, 0, 0] += 0.02
    stricter = {name: 0.999 * threshold for name, threshold in file.thresholds.items()}
    for number, other in enumerate((file._replace(weights=changed), file._replace(thresholds=stricter))):
        for write in (
            lambda path, other: onnx_files.write_inspection(path, other, pixel_dtype=np.uint8),
            lambda path, other: onnx_files.write_network(path, other),
        ):
            path = tmp_path / f"{number}.onnx"
            path.unlink(missing_ok=True)
            assert not measure_parity(detector, write(path, other), arrays).within_tolerance
            assert measure_parity(detector, write(path, file), arrays).within_tolerance


def test_a_file_that_differs_from_the_detector_is_removed(tiny_run, tmp_path, monkeypatch):
    weight_tensors = onnx_network.weight_tensors

    def wrong(weights):
        return weight_tensors({**weights, "conv1.bias": weights["conv1.bias"] + 1})

    monkeypatch.setattr("ssim_ae.export.inspection_model.weight_tensors", wrong)
    monkeypatch.setattr("ssim_ae.network.onnx_network.weight_tensors", wrong)
    for name, options in OPTIONS.items():
        if options.graph == "network":
            with monkeypatch.context() as patched:  # the detector that it is compared with is run by PyTorch
                patched.setattr("ssim_ae.export.export.Detector.load", lambda *_, **__: None)
                with pytest.raises(
                    InputError, match=r"not written, it differs from the detector .*; report it as a bug"
                ):
                    export(tiny_run.folder, tmp_path / name, options)
    with pytest.raises(InputError, match=r"not written, it differs from the detector .*; report it as a bug"):
        export(tiny_run.folder, tmp_path / "wrong.onnx")
    assert not list(tmp_path.iterdir())


def test_a_wrong_threshold_in_the_graph_is_detected(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("ssim_ae.export.inspection_model.MIN_THRESHOLD", 0.5)
    with pytest.raises(InputError, match=r"not written, it differs from the detector .*; report it as a bug"):
        export(tiny_run.folder, tmp_path / "wrong.onnx")
    assert not list(tmp_path.iterdir())


def test_the_file_is_compared_with_the_detector_in_pytorch(exported):
    assert find_spec("torch") and all(result.runtime == "torch" for result in exported.values())
    assert all(0 < result.parity.with_defect.residual < 1e-4 for name, result in exported.items() if name in EXACT)


def test_synthetic_images_replace_missing_held_out_images(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ssim_ae.export.job.known_images", lambda *_: (_ for _ in ()).throw(InputError("missing")))
    found = export(tiny_run.folder, tmp_path / "detector.onnx").parity
    assert found.within_tolerance and found.good.images == 10
    assert "compared on synthetic images" in capsys.readouterr().err
    with pytest.raises(InputError, match="int8: needs held-out images, and none was found"):
        export(tiny_run.folder, tmp_path / "detector.xml", ExportOptions("openvino", precision="int8"))


def test_int8_has_its_own_thresholds(tiny_run, tmp_path, images, detector):
    path, *_ = export(tiny_run.folder, tmp_path / "int8.xml", ExportOptions("openvino", precision="int8"))
    int8 = Detector.load(path)
    assert int8.thresholds != detector.thresholds
    assert int8.thresholds == pytest.approx(detector.thresholds, rel=0.3)
    scores = [(detector.inspect(image).score, int8.inspect(image).score) for image in images]
    assert all(of_int8 == pytest.approx(of_fp32, rel=0.3) for of_fp32, of_int8 in scores)
    types = [node for node in path.read_text().split('type="') if node.startswith("FakeQuantize")]
    assert len(types) > 10


@pytest.mark.parametrize("name", EXACT)
def test_a_damaged_file_is_rejected_in_one_line(exported, tmp_path, rng, name):
    whole = exported[name].path.read_bytes()
    path = tmp_path / f"corrupt{exported[name].path.suffix}"
    if path.suffix == ".xml":
        path.with_suffix(".bin").write_bytes(exported[name].path.with_suffix(".bin").read_bytes())
    for length in rng.integers(1, len(whole), 25):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"corrupt\.\w+: .*(corrupt|not a detector file)"):
            Detector.load(path)
    for place in rng.integers(0, len(whole), 50):
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=r"corrupt\.\w+: "):
            Detector.load(path)


def test_weights_of_another_detector_are_rejected(exported, tmp_path):
    path = tmp_path / "mixed.xml"
    path.write_bytes(exported["inspection.xml"].path.read_bytes())
    with pytest.raises(InputError, match=r"mixed\.bin: no such file"):
        Detector.load(path)
    path.with_suffix(".bin").write_bytes(exported["half.xml"].path.with_suffix(".bin").read_bytes())
    with pytest.raises(InputError, match=r"mixed\.bin: corrupt, or from another detector"):
        Detector.load(path)


def test_a_model_of_another_program_is_rejected(tmp_path):
    graph = onnx.helper.make_graph([], "nothing", [], [])
    path = tmp_path / "foreign.onnx"
    onnx.save(onnx.helper.make_model(graph), path)
    with pytest.raises(InputError, match="written by another program"):
        Detector.load(path)
    path = tmp_path / "foreign.xml"
    path.write_text('<?xml version="1.0"?><net name="other" version="11"></net>')
    with pytest.raises(InputError, match="written by another program"):
        Detector.load(path)


def test_the_kind_of_file_is_read_from_its_content(exported, tmp_path):
    path = tmp_path / "detector.bin"
    path.write_bytes(exported["inspection.onnx"].path.read_bytes())
    assert Detector.load(path).config == read_detector(exported["inspection.onnx"].path).config


def test_the_metadata_of_the_file(exported, tiny_run):
    path = exported["inspection.onnx"].path
    metadata = json.loads({entry.key: entry.value for entry in onnx.load(path).metadata_props}[METADATA_KEY])
    assert metadata["config"] == read_detector(tiny_run.detector_path).config.portable_settings()
    assert onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map[METADATA_KEY]


def test_new_thresholds_for_an_exported_detector(exported, fabric_folder, tmp_path, capsys):
    new = tmp_path / "new.safetensors"
    path = str(exported["inspection.onnx"].path)
    assert main(["threshold", path, str(fabric_folder), "--threshold", "max", "--output", str(new), "--force"]) == 0
    assert read_detector(new).config.threshold == "max"
    assert main(["threshold", str(exported["half.xml"].path), "--output", str(tmp_path / "no.safetensors")]) == 2
    assert "its weights cannot be extracted; use the detector file that it was exported from" in capsys.readouterr().err


@pytest.fixture
def fake_atc(tmp_path, monkeypatch):
    """A stand-in for the compiler atc, which is not installed: it writes its arguments to the output file."""
    tool = tmp_path / "tools" / "atc"
    tool.parent.mkdir()
    tool.write_text(
        '#!/bin/sh\nfor word; do case $word in --output=*) echo "$@" > "${word#--output=}.om";; esac; done\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    return tool


def test_an_om_file_is_compiled_from_an_onnx_file(tiny_run, tmp_path, fake_atc, capsys):
    target = tmp_path / "board.om"
    options = ["--format", "om", "--soc_version", "Ascend310P3", "--batch_size", "9", "--output", str(target)]
    assert main(["export", str(tiny_run.folder), *options]) == 0
    arguments = target.read_text().split()
    assert f"--model={tmp_path / 'board.onnx'}" in arguments and "--framework=5" in arguments
    assert "--input_shape=patches:9,3,32,32" in arguments and "--soc_version=Ascend310P3" in arguments
    model = onnx.load(tmp_path / "board.onnx")
    assert model.opset_import[0].version == 11
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 9
    sidecar = json.loads((tmp_path / "board.om.json").read_text())
    assert sidecar["batch_size"] == 9 and sidecar["config"]["crop_size"] == 32
    assert capsys.readouterr().out.count("2 of 2") == 2, "parity of the ONNX file"
    fake_atc.write_text("#!/bin/sh\necho no such chip\nexit 3\n")
    assert main(["export", str(tiny_run.folder), "--format", "om", "--output", str(tmp_path / "b.om")]) == 2
    assert "b.om: atc failed: no such chip" in capsys.readouterr().err
    assert not list(tmp_path.glob("b.om*"))


def test_without_atc_the_message_has_its_command(tiny_run, tmp_path, capsys):
    target = tmp_path / "board.om"
    assert main(["export", str(tiny_run.folder), "--format", "om", "--output", str(target)]) == 2
    message = capsys.readouterr().err
    assert f"where it is installed, run: atc --model={tmp_path / 'board.onnx'} --framework=5" in message
    assert f"--output={tmp_path / 'board'} " in message
    assert Detector.load(tmp_path / "board.onnx") and not target.exists()


def test_the_command(tiny_run, tmp_path, images, capsys):
    target = tmp_path / "detector.onnx"
    assert main(["export", str(tiny_run.folder), "--output", str(target)]) == 0
    assert "with a synthetic defect" in capsys.readouterr().out
    assert main(["predict", str(target), str(images[0])]) == 0
    assert main(["export", str(tiny_run.folder), "--output", str(target)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", str(target), "--output", str(tmp_path / "again.onnx"), "--graph", "network"]) == 0
    config = tmp_path / "config.yaml"
    config.write_text(f"checkpoint_path: {tiny_run.folder}\n")
    assert main(["export", f"--config_path={config}", "--output", str(tmp_path / "by_config.onnx")]) == 0
    assert main(["export"]) == 2
    assert "no detector given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "coreml"], "format: should be one of onnx, openvino, mindir, air, om"),
        (["--graph", "half"], "graph of onnx: should be one of inspection, network"),
        (["--precision", "int8"], "precision of onnx: should be one of fp32"),
        (["--graph", "network", "--opset", "9"], "opset: should be one of 11, 12, 13"),
        (["--graph", "network", "--batch_size", "0"], "batch_size: should be 1 to 1024"),
        (["--batch_size", "3"], "batch_size: not supported by graph inspection; set graph to network"),
        (["--soc_version", "Ascend310"], "soc_version: no effect on format onnx; leave it out"),
        (
            ["--format", "openvino", "--graph", "network", "--opset", "11", "--output", "x.xml"],
            "opset: no effect on format openvino; leave it out",
        ),
        (
            ["--format", "openvino", "--graph", "network", "--precision", "int8", "--batch_size", "4"],
            "batch_size: not supported by precision int8; leave it out",
        ),
        (["--format", "mindir", "--opset", "11"], "opset: no effect on format mindir; leave it out"),
        (["--format", "openvino"], "choose one that ends in .xml"),
    ],
)
def test_an_unsupported_option_is_one_line(tiny_run, tmp_path, capsys, options, message):
    assert main(["export", str(tiny_run.folder), "--output", str(tmp_path / "x.onnx"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


WRITER = """
import numpy as np

from ssim_ae.detector.detector import Detector
from ssim_ae.export.parity import inspect_with


def write(path, job):
    np.savez(path, **job.file.weights)
    with np.load(path) as weights:
        file = job.file._replace(weights={name: FACTOR * weights[name] for name in weights})
    return inspect_with(Detector.from_file(file, device_target="CPU"))


def write_only(path, job):
    np.savez(path, **job.file.weights)
"""


@pytest.fixture
def new_format(tmp_path, monkeypatch):
    """Adds a format to the table, with a writer in a module of its own: no other file changes."""

    def add(function="write", factor=1.0):
        (tmp_path / "npz_files.py").write_text(WRITER.replace("FACTOR", str(factor)))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "npz_files", raising=False)
        row = ExportFormat(".npz", "", ("network",), ("fp32",), f"npz_files:{function}")
        monkeypatch.setitem(FORMATS, "npz", row)

    yield add
    sys.modules.pop("npz_files", None)


def test_a_format_is_one_line_in_the_table_and_a_writer(tiny_run, tmp_path, new_format, capsys):
    new_format()
    path = tmp_path / "weights.npz"
    assert main(["export", str(tiny_run.folder), "--format", "npz", "--output", str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("2 of 2") == 2 and printed.endswith(f"exported: {path}\n")
    weights = read_detector(tiny_run.detector_path).weights
    with np.load(path) as written:
        assert all(np.array_equal(written[name], array) for name, array in weights.items())
    with pytest.raises(SystemExit):
        main(["export", "-h"])
    assert "npz" in capsys.readouterr().out


def test_a_new_format_is_compared_with_the_detector(tiny_run, tmp_path, new_format):
    new_format(factor=1.1)
    path = tmp_path / "weights.npz"
    with pytest.raises(InputError, match="not written, it differs from the detector"):
        export(tiny_run.folder, path, ExportOptions("npz"))
    assert not path.exists()


def test_a_file_that_cannot_be_run_here_has_no_parity(tiny_run, tmp_path, new_format, monkeypatch):
    new_format(function="write_only")
    monkeypatch.setattr("ssim_ae.export.job.known_images", lambda *_: pytest.fail("no image is needed"))
    result = export(tiny_run.folder, tmp_path / "weights.npz", ExportOptions("npz"))
    assert result.path.exists() and result.parity is None


def test_a_format_that_the_method_does_not_support_is_an_error(tiny_config, tmp_path):
    run = train(tiny_config.replace(method="repair", im_resize=64, epochs=1), runs=tmp_path)
    with pytest.raises(
        InputError, match=r"detector\.safetensors: format mindir does not support method repair; use onnx"
    ):
        export(run.folder, options=ExportOptions("mindir"))
    assert not list(run.folder.glob("*.mindir*"))

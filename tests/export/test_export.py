import json
import os
from importlib.util import find_spec

import numpy as np
import onnx
import onnxruntime
import pytest

from ssim_ae import Detector, InputError, train
from ssim_ae.cli import main
from ssim_ae.detector.detector_file import layer_table, read_detector
from ssim_ae.export import onnx_files
from ssim_ae.export.export import export
from ssim_ae.export.form import Form
from ssim_ae.export.parity import difference, inspect_by, parity
from ssim_ae.images.files import read_image
from ssim_ae.maps.normalization import GRID, NormalStatistics
from ssim_ae.maps.residuals import Thresholds
from ssim_ae.network import onnx_network
from ssim_ae.storage import METADATA_KEY

FORMS = {
    "inspection.onnx": Form(),
    "network.onnx": Form(graph="network"),
    "inspection.xml": Form("openvino", precision="fp32"),
    "network.xml": Form("openvino", graph="network", precision="fp32"),
    "half.xml": Form("openvino"),
}
EXACT = [name for name in FORMS if name != "half.xml"]


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    """The same detector in every form, by name."""
    folder = tmp_path_factory.mktemp("export")
    return {name: export(tiny_run.folder, folder / name, form) for name, form in FORMS.items()}


@pytest.fixture
def images(fabric_folder):
    return sorted((fabric_folder / "test").rglob("*.png"))


@pytest.mark.parametrize("name", FORMS)
def test_an_exported_detector_says_the_same(detector, exported, images, name):
    loaded = Detector.load(exported[name].path)
    assert loaded.config == detector.config and loaded.thresholds == detector.thresholds
    assert loaded.provenance == detector.provenance
    found = difference(detector, inspect_by(loaded), [read_image(path) for path in images])
    assert found.holds or (name == "half.xml" and found.agrees)
    together = list(loaded.inspect_all(images))
    assert [one.score for one in together] == pytest.approx([loaded.inspect(path).score for path in images], abs=1e-4)


@pytest.mark.parametrize("form", ["network.onnx", "network.xml"])
def test_a_network_that_repairs(tiny_config, images, tmp_path, form):
    run = train(tiny_config.replace(method="repair", im_resize=64, epochs=1), runs=tmp_path)
    path, _, _, found = export(run.folder, tmp_path / form, FORMS[form])
    assert found.holds
    trained, exported = (Detector.load(file, device_target="CPU") for file in (run.folder, path))
    assert exported.inspect(images[0]).score == pytest.approx(trained.inspect(images[0]).score, abs=1e-4)


def test_relative_residuals_are_compared_in_units_of_residuals(detector, images):
    usual = NormalStatistics(*(np.full((GRID, GRID), mean, np.float32) for mean in (0.01, 0.002)))
    relative = Detector(detector.config, Thresholds(20, 30), detector.runtime, usual=usual)

    def shifted(image):
        found = inspect_by(relative)(image)
        return found._replace(anomaly_map=found.anomaly_map + 1e-4)

    found = difference(relative, shifted, [read_image(images[0])])
    assert found.residual == pytest.approx(1e-4 * 20 * 2 * 0.01, rel=1e-2)  # a divisor: usual here, and on average


def test_half_the_weights(exported, tiny_run):
    exact, half = (exported[name].path.with_suffix(".bin").stat().st_size for name in ("inspection.xml", "half.xml"))
    weights = sum(array.nbytes for array in read_detector(tiny_run.detector_path).weights.values())
    assert exact - half == pytest.approx(weights / 2, rel=0.02)


def test_the_network_alone_has_only_operators_that_small_devices_know(exported):
    model = onnx.load(exported["network.onnx"].path)
    assert {node.op_type for node in model.graph.node} == {"Conv", "ConvTranspose", "LeakyRelu", "Sigmoid"}
    assert model.opset_import[0].version == 13
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["batch", 3, 32, 32]


@pytest.mark.parametrize("opset", [11, 12, 13])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_a_fixed_batch_and_older_operators(tiny_run, tmp_path, opset, batch_size):
    form = Form(graph="network", batch_size=batch_size, opset=opset)
    path, _, _, found = export(tiny_run.folder, tmp_path / "fixed.onnx", form)
    assert found.holds and found.good.images >= 2
    session = onnxruntime.InferenceSession(path)
    assert session.get_inputs()[0].shape == [batch_size, 3, 32, 32]
    assert onnx.load(path).opset_import[0].version == opset


def test_parity_catches_a_changed_weight_and_a_changed_threshold(detector, exported, images, tmp_path):
    shown = [read_image(path) for path in images]
    file = read_detector(exported["inspection.onnx"].path)
    changed = {name: array.copy() for name, array in file.weights.items()}
    changed[f"{layer_table(file.config)[-1].name}.weight"][0, 0, 0, 0] += 0.02
    stricter = type(file.thresholds)(*(0.999 * limit for limit in file.thresholds))
    for number, other in enumerate((file._replace(weights=changed), file._replace(thresholds=stricter))):
        for write in (
            lambda path, other: onnx_files.write_inspection(path, other, shown),
            lambda path, other: onnx_files.write_network(path, other),
        ):
            path = tmp_path / f"{number}.onnx"
            path.unlink(missing_ok=True)
            assert not parity(detector, write(path, other), shown).holds
            assert parity(detector, write(path, file), shown).holds


def test_an_export_that_does_not_agree_is_removed(tiny_run, tmp_path, monkeypatch):
    honest = onnx_network.weight_tensors

    def wrong(weights):
        return honest({**weights, "conv1.bias": weights["conv1.bias"] + 1})

    monkeypatch.setattr("ssim_ae.export.inspection_model.weight_tensors", wrong)
    monkeypatch.setattr("ssim_ae.network.onnx_network.weight_tensors", wrong)
    for name, form in FORMS.items():
        if form.graph == "network":
            with monkeypatch.context() as patched:  # the detector it is compared with is run by PyTorch
                patched.setattr("ssim_ae.export.export.Detector.load", lambda *_, **__: None)
                with pytest.raises(InputError, match="not written, for it does not agree"):
                    export(tiny_run.folder, tmp_path / name, form)
    with pytest.raises(InputError, match="not written, for it does not agree"):
        export(tiny_run.folder, tmp_path / "wrong.onnx")
    assert not list(tmp_path.iterdir())


def test_a_wrong_threshold_in_the_graph_is_caught(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("ssim_ae.export.inspection_model.SMALLEST_THRESHOLD", 0.5)
    with pytest.raises(InputError, match="not written, for it does not agree"):
        export(tiny_run.folder, tmp_path / "wrong.onnx")
    assert not list(tmp_path.iterdir())


def test_it_is_compared_with_the_trainer(exported):
    assert find_spec("torch") and all(export.trainer == "torch" for export in exported.values())
    assert all(0 < export.parity.spoiled.residual < 1e-4 for name, export in exported.items() if name in EXACT)


def test_drawn_images_stand_in_for_lost_ones(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "ssim_ae.export.export.known_images", lambda *_: (_ for _ in ()).throw(InputError("they are gone"))
    )
    found = export(tiny_run.folder, tmp_path / "drawn.onnx").parity
    assert found.holds and found.good.images == 10
    assert "compared on drawn ones" in capsys.readouterr().err
    with pytest.raises(InputError, match="int8: its ranges come from the held-out good images"):
        export(tiny_run.folder, tmp_path / "drawn.xml", Form("openvino", precision="int8"))


def test_eight_bits_have_thresholds_of_their_own(tiny_run, tmp_path, images, detector):
    path, *_ = export(tiny_run.folder, tmp_path / "small.xml", Form("openvino", precision="int8"))
    small = Detector.load(path)
    assert small.thresholds != detector.thresholds
    assert small.thresholds == pytest.approx(detector.thresholds, rel=0.3)
    scores = [(detector.inspect(image).score, small.inspect(image).score) for image in images]
    assert all(theirs == pytest.approx(ours, rel=0.3) for ours, theirs in scores)
    types = [node for node in path.read_text().split('type="') if node.startswith("FakeQuantize")]
    assert len(types) > 10


@pytest.mark.parametrize("name", EXACT)
def test_damage_is_refused_in_one_line(exported, tmp_path, rng, name):
    whole = exported[name].path.read_bytes()
    path = tmp_path / f"damaged{exported[name].path.suffix}"
    if path.suffix == ".xml":
        path.with_suffix(".bin").write_bytes(exported[name].path.with_suffix(".bin").read_bytes())
    for length in rng.integers(1, len(whole), 25):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"damaged\.\w+: .*(damaged|not a detector file)"):
            Detector.load(path)
    for place in rng.integers(0, len(whole), 50):
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=r"damaged\.\w+: "):
            Detector.load(path)


def test_weights_of_another_model_are_refused(exported, tmp_path):
    path = tmp_path / "mixed.xml"
    path.write_bytes(exported["inspection.xml"].path.read_bytes())
    with pytest.raises(InputError, match=r"mixed\.bin: no such file"):
        Detector.load(path)
    path.with_suffix(".bin").write_bytes(exported["half.xml"].path.with_suffix(".bin").read_bytes())
    with pytest.raises(InputError, match=r"mixed\.bin: damaged, or of another detector"):
        Detector.load(path)


def test_a_foreign_model_is_refused(tmp_path):
    graph = onnx.helper.make_graph([], "nothing", [], [])
    path = tmp_path / "foreign.onnx"
    onnx.save(onnx.helper.make_model(graph), path)
    with pytest.raises(InputError, match="written by another program"):
        Detector.load(path)
    path = tmp_path / "foreign.xml"
    path.write_text('<?xml version="1.0"?><net name="other" version="11"></net>')
    with pytest.raises(InputError, match="written by another program"):
        Detector.load(path)


def test_content_counts_and_not_the_name(exported, tmp_path):
    path = tmp_path / "detector.bin"
    path.write_bytes(exported["inspection.onnx"].path.read_bytes())
    assert Detector.load(path).config == read_detector(exported["inspection.onnx"].path).config


def test_what_the_file_says_of_itself(exported, tiny_run):
    path = exported["inspection.onnx"].path
    told = json.loads({entry.key: entry.value for entry in onnx.load(path).metadata_props}[METADATA_KEY])
    assert told["config"] == read_detector(tiny_run.detector_path).config.model_dump()
    assert onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map[METADATA_KEY]


def test_new_thresholds_for_an_exported_detector(exported, tmp_path, capsys):
    new = tmp_path / "new.safetensors"
    path = str(exported["inspection.onnx"].path)
    assert main(["threshold", path, "--threshold", "max", "--output", str(new)]) == 0
    assert read_detector(new).config.threshold == "max"
    assert main(["threshold", str(exported["half.xml"].path), "--output", str(tmp_path / "no.safetensors")]) == 2
    assert "weights in a form of its own" in capsys.readouterr().err


@pytest.fixture
def fake_tool(tmp_path, monkeypatch):
    """Stands in for Ascend's tool, which runs nowhere here: writes what it was told to the file it should make."""
    tool = tmp_path / "tools" / "atc"
    tool.parent.mkdir()
    tool.write_text(
        '#!/bin/sh\nfor word; do case $word in --output=*) echo "$@" > "${word#--output=}.om";; esac; done\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    return tool


def test_an_om_file_is_made_by_its_makers_tool(tiny_run, tmp_path, fake_tool, capsys):
    target = tmp_path / "board.om"
    options = ["--format", "om", "--soc_version", "Ascend310P3", "--batch_size", "9", "--output", str(target)]
    assert main(["export", str(tiny_run.folder), *options]) == 0
    told = target.read_text().split()
    assert f"--model={tmp_path / 'board.onnx'}" in told and "--framework=5" in told
    assert "--input_shape=patches:9,3,32,32" in told and "--soc_version=Ascend310P3" in told
    model = onnx.load(tmp_path / "board.onnx")
    assert model.opset_import[0].version == 11
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 9
    beside = json.loads((tmp_path / "board.om.json").read_text())
    assert beside["batch_size"] == 9 and beside["config"]["crop_size"] == 32
    fake_tool.write_text("#!/bin/sh\necho no such chip\nexit 3\n")
    assert main(["export", str(tiny_run.folder), "--format", "om", "--output", str(tmp_path / "b.om")]) == 2
    assert "b.om: atc failed: no such chip" in capsys.readouterr().err


def test_without_the_tool_its_command_is_said(tiny_run, tmp_path, capsys):
    target = tmp_path / "board.om"
    assert main(["export", str(tiny_run.folder), "--format", "om", "--output", str(target)]) == 2
    said = capsys.readouterr().err
    assert f"where it is installed: atc --model={tmp_path / 'board.onnx'} --framework=5" in said
    assert Detector.load(tmp_path / "board.onnx") and not target.exists()


def test_the_command(tiny_run, tmp_path, images, capsys):
    target = tmp_path / "detector.onnx"
    assert main(["export", str(tiny_run.folder), "--output", str(target)]) == 0
    assert "same verdicts" in capsys.readouterr().out
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
    ("options", "said"),
    [
        (["--format", "coreml"], "format: should be one of onnx, openvino, mindir, air, om"),
        (["--graph", "half"], "graph of onnx: should be one of inspection, network"),
        (["--precision", "int8"], "precision of onnx: should be one of fp32"),
        (["--graph", "network", "--opset", "9"], "opset: should be one of 11, 12, 13"),
        (["--graph", "network", "--batch_size", "0"], "batch_size: should be 1 to 1024"),
        (["--batch_size", "3"], "export it alone, with graph network"),
        (["--format", "openvino"], "should end in .xml"),
    ],
)
def test_what_cannot_be_is_one_line(tiny_run, tmp_path, capsys, options, said):
    assert main(["export", str(tiny_run.folder), "--output", str(tmp_path / "x.onnx"), *options]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

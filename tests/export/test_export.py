import json

import numpy as np
import onnx
import onnxruntime
import pytest

from ssim_ae import Detector, InputError
from ssim_ae.cli import main
from ssim_ae.detection.detector_file import read_detector
from ssim_ae.export.export import export
from ssim_ae.export.onnx_model import network_model
from ssim_ae.export.parity import parity
from ssim_ae.storage import METADATA_KEY


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    return export(tiny_run.folder, tmp_path_factory.mktemp("export") / "tiny.onnx")[0]


@pytest.fixture
def images(fabric_folder):
    return sorted((fabric_folder / "test").rglob("*.png"))


def test_an_exported_detector_says_the_same(detector, exported, images):
    loaded = Detector.load(exported)
    assert loaded.config == detector.config and loaded.thresholds == detector.thresholds
    assert loaded.provenance == detector.provenance
    for path in images:
        ours, theirs = detector.inspect(path), loaded.inspect(path)
        assert np.abs(ours.planes - theirs.planes).max() < 1e-5
        assert ours.verdict == theirs.verdict
        assert ours.score == pytest.approx(theirs.score, abs=1e-3)
    together = list(loaded.inspect_all(images))
    assert [found.score for found in together] == pytest.approx([loaded.inspect(path).score for path in images])


def test_only_operators_that_small_devices_know(exported):
    model = onnx.load(exported)
    assert {node.op_type for node in model.graph.node} == {"Conv", "ConvTranspose", "LeakyRelu", "Sigmoid"}
    assert model.opset_import[0].version == 13
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["batch", 3, 32, 32]


@pytest.mark.parametrize("opset", [11, 12, 13])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_a_fixed_batch_and_older_operators(tiny_run, tmp_path, images, detector, opset, batch_size):
    target, found = export(tiny_run.folder, tmp_path / "fixed.onnx", batch_size=batch_size, opset=opset)
    assert found.holds and found.images >= 2
    session = onnxruntime.InferenceSession(target)
    assert session.get_inputs()[0].shape == [batch_size, 3, 32, 32]
    assert Detector.load(target).inspect(images[0]).score == pytest.approx(detector.inspect(images[0]).score, abs=1e-3)


def test_parity_catches_a_changed_weight_and_a_changed_threshold(tiny_run, detector, exported, images):
    from ssim_ae.detection.detector_file import header, table_of
    from ssim_ae.images.files import read
    from ssim_ae.runtimes.onnx_runtime import OnnxRuntime

    shown = [read(path) for path in images]
    assert parity(detector, Detector.load(exported), shown).holds
    file = read_detector(tiny_run.detector_path)
    weights = {name: array.copy() for name, array in file.weights.items()}
    last = table_of(file.config)[-1].name
    weights[f"{last}.weight"][0, 0, 0, 0] += 0.1
    model = network_model(table_of(file.config), weights, header(file), crop_size=32)
    changed = Detector(file.config, file.thresholds, OnnxRuntime(model))
    assert not parity(detector, changed, shown).holds
    strict = Detector(file.config, file.thresholds._replace(ssim=1e-3), Detector.load(exported).runtime)
    assert not parity(detector, strict, shown).holds


def test_an_export_that_does_not_agree_is_removed(tiny_run, tmp_path, monkeypatch):
    def wrong(table, weights, *arguments, **settings):
        return network_model(table, weights | {"conv1.bias": weights["conv1.bias"] + 1}, *arguments, **settings)

    monkeypatch.setattr("ssim_ae.export.onnx_model.network_model", wrong)
    with pytest.raises(InputError, match="removed, for it does not agree"):
        export(tiny_run.folder, tmp_path / "wrong.onnx")
    assert not list(tmp_path.iterdir())


def test_drawn_images_stand_in_for_lost_ones(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ssim_ae.detection.recalibrate.find_dataset", lambda *_, **__: pytest.fail("not here"))
    monkeypatch.setattr(
        "ssim_ae.export.export.held_out_images", lambda *_: (_ for _ in ()).throw(InputError("they are gone"))
    )
    _, found = export(tiny_run.folder, tmp_path / "drawn.onnx")
    assert found.holds and found.images == 20
    assert "compared on drawn ones" in capsys.readouterr().err


def test_damage_is_refused_in_one_line(exported, tmp_path, rng):
    whole = exported.read_bytes()
    path = tmp_path / "damaged.onnx"
    for length in rng.integers(1, len(whole), 25):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"damaged\.onnx: .*(damaged|not a detector file)"):
            Detector.load(path)
    for place in rng.integers(200, len(whole) // 2, 25):
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=r"damaged\.onnx: "):
            Detector.load(path)


def test_a_foreign_model_is_refused(tmp_path):
    graph = onnx.helper.make_graph([], "nothing", [], [])
    path = tmp_path / "foreign.onnx"
    onnx.save(onnx.helper.make_model(graph), path)
    with pytest.raises(InputError, match="written by another program"):
        Detector.load(path)


def test_what_the_file_says_of_itself(exported, tiny_run):
    told = json.loads({entry.key: entry.value for entry in onnx.load(exported).metadata_props}[METADATA_KEY])
    assert told["config"] == read_detector(tiny_run.detector_path).config.model_dump()
    assert onnxruntime.InferenceSession(exported).get_modelmeta().custom_metadata_map[METADATA_KEY]


def test_the_command(tiny_run, tmp_path, images, capsys):
    target = tmp_path / "detector.onnx"
    assert main(["export", str(tiny_run.folder), "--output", str(target)]) == 0
    assert "verdicts the same" in capsys.readouterr().out
    assert main(["predict", str(target), str(images[0])]) == 0
    assert main(["export", str(tiny_run.folder), "--output", str(target)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", str(target)]) == 2
    assert "exported already" in capsys.readouterr().err
    assert main(["threshold", str(target)]) == 2
    assert "export again" in capsys.readouterr().err
    for options in (["--opset", "9"], ["--batch_size", "0"]):
        assert main(["export", str(tiny_run.folder), "--output", str(tmp_path / "x.onnx"), *options]) == 2
        assert options[0].strip("-") in capsys.readouterr().err


@pytest.mark.parametrize("target", ["GPU", "Ascend", "TPU"])
def test_a_device_that_is_not_here_is_one_line(exported, target):
    with pytest.raises(InputError, match=f"device_target.*{target}"):
        Detector.load(exported, device_target=target)

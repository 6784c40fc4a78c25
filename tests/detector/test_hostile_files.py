"""Malicious detector files with valid checksums: an attacker can compute them as well."""

import json
import pickle
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from ssim_ae import Detector, InputError
from ssim_ae.checked_files import EMPTY_CHECKSUM, METADATA_KEY, file_hash, with_checksum
from ssim_ae.cli import main
from ssim_ae.detector.detector_file import header, read_detector
from ssim_ae.maps.normalization import GRID_SIZE
from ssim_ae.network.architecture import RECONSTRUCTIONS
from ssim_ae.network.network import PATCHES
from ssim_ae.network.onnx_network import model_bytes

HUGE = int("9" * 400)


class RunsAProgram:
    """Its pickle creates a file when it is loaded."""

    def __reduce__(self):
        return Path.touch, (Path("harm-was-done"),)


def error_of(path: Path) -> str:
    """Return the error of a detector file, one short line."""
    with pytest.raises(InputError) as caught:
        Detector.load(path)
    message = str(caught.value)
    assert message.startswith(str(path.with_suffix(""))) and "\n" not in message and len(message) < 500, message
    return message


@pytest.mark.parametrize("name", ["detector.safetensors", "detector.onnx", "detector.xml", "detector.ckpt"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_never_loaded(tmp_path, monkeypatch, name, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(pickle.dumps(RunsAProgram(), protocol))
    error_of(path)
    assert main(["import", str(path), "--ssim_threshold=1", "--l1_threshold=1"]) == 2
    assert list(tmp_path.iterdir()) == [path]


def tensors_file(entry: dict[str, object], content: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps({"conv1.weight": entry}).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + content


@pytest.mark.parametrize(
    "content",
    [
        tensors_file({"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}),
        tensors_file({"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 0]}),
        tensors_file({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, bytes(4)),
        tensors_file({"dtype": "F32", "shape": [1], "data_offsets": [2**63, 2**64 - 1]}, bytes(4)),
        tensors_file({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, bytes(4), length=2**63),
        tensors_file({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, bytes(4), length=2**64 - 1),
        tensors_file({"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}, bytes(2)),
        tensors_file({"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}, bytes(1)),
        (400_008).to_bytes(8, "little") + b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}  ",
        (400_009).to_bytes(8, "little") + b'{"__metadata__":{"ssim-ae":"' + b"[" * 400_000 + b'"}}',
        (100_002).to_bytes(8, "little") + b'"' + b"a" * 100_000 + b'"',
    ],
)
def test_wrong_lengths_are_an_error(tmp_path, content):
    path = tmp_path / "lengths.safetensors"
    path.write_bytes(content)
    error_of(path)


def grids(value):
    """Return normal statistics of the right shape with one value."""
    return {name: np.full((GRID_SIZE, GRID_SIZE), value).tolist() for name in ("ssim", "l1")}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _, metadata: metadata["thresholds"].update(ssim=HUGE), "thresholds are not numbers"),
        (lambda _, metadata: metadata["thresholds"].update(ssim=1e39), "thresholds are not numbers"),
        (lambda _, metadata: metadata["thresholds"].update(ssim=True), "thresholds are not numbers"),
        (lambda _, metadata: metadata["thresholds"].update(other=1), "header is corrupt"),
        (lambda _, metadata: metadata.update(normal_statistics=[1, 2]), "header is corrupt"),
        (lambda _, metadata: metadata.update(normal_statistics="x"), "header is corrupt"),
        (lambda _, metadata: metadata.update(normal_statistics={"ssim": [[HUGE]], "l1": []}), "header is corrupt"),
        (lambda _, metadata: metadata.update(normal_statistics={"ssim": [["x"]], "l1": {}}), "header is corrupt"),
        (lambda _, metadata: metadata.update(normal_statistics=grids(-1)), "header is corrupt"),
        (lambda _, metadata: metadata.update(normal_statistics=grids(1e7)), "header is corrupt"),
        (lambda _, metadata: metadata["config"].update(flc=HUGE), "header is corrupt"),
        (lambda _, metadata: metadata["config"].update(im_resize=4096, stride=1), "header is corrupt"),
        (
            lambda _, metadata: metadata.update(config={"im_resize": 4096, "flc": 16, "method": "repair"}),
            "header is corrupt",
        ),
        (lambda _, metadata: metadata["config"].update(method="none"), "header is corrupt"),
        (lambda _, metadata: metadata.update(config=[["flc", 1]]), "header is corrupt"),
        (lambda _, metadata: metadata.update(provenance=None), "header is corrupt"),
        (lambda _, metadata: metadata["provenance"].update(training_images=[[]]), "header is corrupt"),
        (lambda _, metadata: metadata["provenance"].update(held_out_images=7), "header is corrupt"),
        (lambda _, metadata: metadata["provenance"].update(thresholds=[1]), "header is corrupt"),
        (
            lambda _, metadata: metadata["provenance"]["thresholds"].update(
                expected={"rate": "<b>", "low": 0.0, "high": 1.0}
            ),
            "header is corrupt",
        ),
        (lambda _, metadata: metadata["provenance"].update(unknown=1), "header is corrupt"),
        (lambda _, metadata: metadata["provenance"].update(minutes="long"), "header is corrupt"),
        (lambda _, metadata: metadata["provenance"].update(versions=["a"]), "header is corrupt"),
        (
            lambda weights, _: weights.update({"conv1.bias": weights["conv1.bias"].astype(int)}),
            "do not fit the network",
        ),
        (
            lambda weights, _: weights.update({"conv1.bias": weights["conv1.bias"] * np.float64(1)}),
            "do not fit the network",
        ),
        (
            lambda weights, _: weights.update({"conv1.bias": np.float32("inf") + weights["conv1.bias"]}),
            "not finite numbers",
        ),
    ],
)
def test_an_invalid_header_is_an_error(tampered, change, reason):
    assert reason in error_of(tampered(change))


def test_a_reconstruction_that_is_not_finite_has_no_verdict(tampered, fabric_folder, capsys):
    def enormous(weights, _):
        weights.update({name: array * np.float32(1e25) for name, array in weights.items()})

    image = next((fabric_folder / "test" / "good").iterdir())
    assert main(["predict", str(tampered(enormous)), str(image)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "the network's output is not finite or out of range" in printed.err


def test_a_detector_does_not_set_where_results_are_written(tampered, fabric_folder, tmp_path, capsys):
    def elsewhere(_, metadata):
        metadata["config"].update(save_dir=str(tmp_path / "elsewhere"), train_url="s3://somebody/else")

    path = tampered(elsewhere)
    assert main(["evaluate", str(path), str(fabric_folder)]) == 0
    assert not (tmp_path / "elsewhere").exists() and (tmp_path / "output").is_dir()
    assert "uploaded to" not in capsys.readouterr().err


def test_a_detector_does_not_set_what_is_downloaded(tampered, capsys):
    path = tampered(lambda _, metadata: metadata["config"].update(dataset_path="s3://somebody/else"))
    for command in ("evaluate", "report", "threshold"):
        assert main([command, str(path)]) == 2
        assert "somebody/else: no such folder" in capsys.readouterr().err


def test_names_are_escaped_on_the_page(tampered, fabric_folder, tmp_path):
    script = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"

    def scripts(_, metadata):
        metadata["provenance"].update(device=script, dataset=script, versions={script: script}, imported_from=script)
        metadata["provenance"]["thresholds"]["estimator"] = script

    folder = tmp_path / "page"
    assert main(["report", str(tampered(scripts)), str(fabric_folder), "--output", str(folder)]) == 0
    page = (folder / "index.html").read_text()
    assert "alert(1)" in page and script not in page and "<img src=x" not in page


# ONNX: only the weights of a file are read; its graph is never run


@pytest.fixture
def onnx_of(tiny_run, tmp_path, monkeypatch):
    """Write the detector as an ONNX file with changed weights and a graph of one unknown operator."""
    monkeypatch.chdir(tmp_path)
    file = read_detector(tiny_run.detector_path)

    def write(change):
        tensors = [numpy_helper.from_array(array, name) for name, array in file.weights.items()]
        change({tensor.name: tensor for tensor in tensors})
        node = helper.make_node("RunProgram", ["patches"], ["reconstructions"], domain="from.nowhere")
        model = helper.make_model(helper.make_graph([node], "graph", [], [], tensors))
        path = tmp_path / "model.onnx"
        path.write_bytes(model_bytes(model, {**header(file), **EMPTY_CHECKSUM}))
        return path

    return write


def test_unknown_operators_are_not_run(onnx_of, detector, fabric_folder):
    image = next((fabric_folder / "test" / "hole").iterdir())
    loaded = Detector.load(onnx_of(lambda _: None), device_target="CPU")
    assert loaded.inspect(image).score == pytest.approx(detector.inspect(image).score, abs=1e-4)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("linked", [False, True])
def test_weights_in_other_files_are_not_read(onnx_of, tmp_path, absolute, linked):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(2**16))
    target = secret
    if linked:
        target = tmp_path / "link.bin"
        target.symlink_to(secret)

    def elsewhere(tensors):
        tensor = tensors["conv1.weight"]
        onnx.external_data_helper.set_external_data(
            tensor, str(target) if absolute else f"../{tmp_path.name}/{target.name}"
        )
        tensor.data_location = TensorProto.EXTERNAL
        tensor.ClearField("raw_data")

    assert "not a detector file, or corrupt" in error_of(onnx_of(elsewhere))


@pytest.mark.parametrize("kind", [0, 99, TensorProto.STRING, TensorProto.BFLOAT16])
def test_weights_of_another_type_are_an_error(onnx_of, kind):
    error_of(onnx_of(lambda tensors: setattr(tensors["conv1.weight"], "data_type", kind)))


def test_a_tensor_larger_than_its_file_is_an_error(onnx_of):
    def enormous(tensors):
        tensors["conv1.weight"].dims[:] = [2**31, 2**31]

    error_of(onnx_of(enormous))


# OpenVINO: the graph is run, so only the operators of a network are allowed


@pytest.fixture
def ir_of(tiny_run, tmp_path):
    """Write another model with the header of the detector and a valid checksum."""

    def write(model, **changes):
        file = read_detector(tiny_run.detector_path)
        path = tmp_path / "model.xml"
        openvino.save_model(model, path, compress_to_fp16=False)
        hashes = {"weights_sha256": file_hash(path.with_suffix(".bin").read_bytes()), **EMPTY_CHECKSUM}
        model.set_rt_info(json.dumps({**header(file), **hashes, **changes}), METADATA_KEY)
        openvino.save_model(model, path, compress_to_fp16=False)
        path.write_bytes(with_checksum(path.read_bytes()))
        return path

    return write


def model_of(operator):
    """Return a model with the names of a network that applies one operator."""
    patches = openvino.opset13.parameter([-1, 3, 32, 32], np.float32, PATCHES)
    patches.output(0).set_names({PATCHES})
    result = operator(patches)
    result.output(0).set_names({RECONSTRUCTIONS})
    return openvino.Model([result], [patches])


def kernel(*shape):
    return openvino.opset13.constant(np.ones(shape, np.float32))


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        (lambda x: openvino.opset13.tile(x, np.array([1, 1, 2**15, 2**15])), "operator Tile is not allowed"),
        (
            lambda x: openvino.opset13.interpolate(x, np.array([2**15] * 2), "nearest", "sizes", axes=[2, 3]),
            "operator Interpolate is not allowed",
        ),
        (lambda x: openvino.opset13.read_value(x, "a"), "operator ReadValue is not allowed"),
        (
            lambda x: openvino.opset13.convolution(x, kernel(3, 3, 1, 1), [1, 1], [2**14] * 2, [2**14] * 2, [1, 1]),
            "values for one image",
        ),
        (
            lambda x: openvino.opset13.convolution(x, kernel(3, 3, 1, 1), [2, 2], [0, 0], [0, 0], [1, 1]),
            r"returns shape (3, 16, 16) for patches of shape (3, 32, 32)",
        ),
    ],
)
def test_a_graph_that_is_no_network_is_an_error(ir_of, operator, reason):
    assert reason in error_of(ir_of(model_of(operator)))


def test_a_graph_without_the_names_of_a_network_is_an_error(ir_of):
    parameter = openvino.opset13.parameter([-1, 3, 32, 32], np.float32, "other")
    assert "no tensors named patches and reconstructions" in error_of(
        ir_of(openvino.Model([openvino.opset13.sigmoid(parameter)], [parameter]))
    )


def test_an_entity_is_not_expanded(tmp_path):
    path = tmp_path / "bomb.xml"
    entities = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12))
    path.write_text(f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{entities}]><x>&a12;</x>')
    error_of(path)
    path.write_text('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>')
    assert "root:" not in error_of(path)

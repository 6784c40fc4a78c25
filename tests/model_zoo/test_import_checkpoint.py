import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from ssim_ae import Config, Detector, InputError
from ssim_ae.calibration.thresholds import estimate
from ssim_ae.cli import main
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.evaluation.evaluate import evaluate
from ssim_ae.export.export import export
from ssim_ae.export.options import ExportOptions
from ssim_ae.images.folders import content_hash, find_dataset
from ssim_ae.methods.reference import METHOD
from ssim_ae.model_zoo.checkpoint import read_mindspore_checkpoint
from ssim_ae.model_zoo.import_checkpoint import import_reference, reference_weights
from ssim_ae.synthetic import fabric
from ssim_ae.training.recalibrate import recalibrate

SAVED = Path(__file__).parents[1] / "saved" / "reference"
CHECKPOINT = SAVED / "reference.ckpt"
SHAPE = {"method": "reference", "im_resize": 128, "crop_size": 128, "z_dim": 4, "flc": 2}
GIVEN = {"ssim_threshold": 0.5, "l1_threshold": 0.25}


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return read_mindspore_checkpoint(CHECKPOINT)


def largest_difference(detector: Path, folder: Path, every: int) -> float:
    """Between the saved reconstruction by MindSpore (BGR) and the reconstruction by the detector (RGB)."""
    with np.load(folder / "patch.npz") as saved:
        patch, reconstruction = saved["patch"][::-1], saved["reconstruction"][::-1]
    found = Detector.load(detector, device_target="CPU").reconstruct(patch.astype(np.float32) / 255)
    assert reconstruction.std(axis=(1, 2)).min() > 0.05, "a constant reconstruction makes the comparison meaningless"
    return float(np.abs(found[:, ::every, ::every] - reconstruction).max())


def test_reconstruction_equals_that_of_the_reference(tmp_path):
    path = import_reference(CHECKPOINT, Config(**SHAPE, **GIVEN), tmp_path / "imported.safetensors")
    assert largest_difference(path, SAVED, every=3) < 1e-5


def test_without_a_size_images_are_resized_to_the_square_of_the_reference(tmp_path):
    settings = {key: value for key, value in SHAPE.items() if key != "im_resize"}
    path = import_reference(CHECKPOINT, Config(**settings, **GIVEN), tmp_path / "imported.safetensors")
    assert read_detector(path).config.im_resize == 256


@pytest.mark.long
@pytest.mark.skipif(not find_spec("mindspore"), reason="MindSpore is not installed: pip install mindspore")
@pytest.mark.parametrize(("crop_size", "channels"), [(128, 1), (256, 3)])
def test_reconstruction_equals_that_of_mindspore(tmp_path, crop_size, channels):
    sizes = {"crop_size": crop_size, "z_dim": 24, "flc": 8}
    options = [f"--{name}={value}" for name, value in (sizes | {"channels": channels, "every": 1}).items()]
    subprocess.run([sys.executable, "-W", "ignore", SAVED / "make.py", tmp_path, *options], check=True)
    config = Config(method="reference", im_resize=crop_size, grayscale=channels == 1, **sizes, **GIVEN)
    path = import_reference(tmp_path / "reference.ckpt", config)
    assert path == tmp_path / "reference.safetensors"
    assert largest_difference(path, tmp_path, every=1) < 1e-5


def test_layer_numbers_and_prefixes_do_not_matter(tensors):
    table = METHOD.layers(Config(**SHAPE))
    weights = reference_weights(tensors, table, "x")
    names = [name for name in tensors if name.startswith(("encoded.", "decoded."))]
    assert len(names) == len(weights) == 36

    def renamed(name: str) -> str:
        part, index, kind = name.split(".")
        return f"net.{part}.{int(index) * 3 // 2}.{kind}"  # as if a normalization followed each convolution

    states = {f"moment1.{renamed(name)}": tensors[name] * 0 for name in names}
    other = states | {renamed(name): tensors[name] for name in reversed(names)}
    again = reference_weights(other, table, "x")
    assert all(np.array_equal(again[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z_dim": 5}, r"encoded.16.weight is (4, 2, 8, 8), conv9.weight of this config is (5, 2, 8, 8)"),
        ({"flc": 4}, r"encoded.0.weight is (2, 3, 4, 4), conv1.weight of this config is (4, 3, 4, 4)"),
        ({"grayscale": True}, r"encoded.0.weight is (2, 3, 4, 4), conv1.weight of this config is (2, 1, 4, 4)"),
        (
            {"crop_size": 256, "im_resize": 256},
            r"encoded.4.weight is (2, 2, 3, 3), conv3.weight of this config is (2, 2, 4, 4)",
        ),
    ],
)
def test_mismatched_config_is_an_error_that_names_the_layer(tmp_path, changes, message):
    with pytest.raises(InputError) as caught:
        import_reference(CHECKPOINT, Config(**SHAPE | GIVEN | changes), tmp_path / "imported.safetensors")
    assert f"reference.ckpt: {message}; set crop_size" in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_other_networks_are_a_one_line_error(tensors):
    table = METHOD.layers(Config(**SHAPE))
    with pytest.raises(InputError, match="x: no weights of the reference network"):
        reference_weights({"conv1.weight": tensors["encoded.0.weight"]}, table, "x")
    cut = {name: array for name, array in tensors.items() if not name.startswith("decoded.16")}
    with pytest.raises(InputError, match="x: weights and biases: 34, but the network of this config has 36"):
        reference_weights(cut, table, "x")
    with pytest.raises(InputError, match=r"x: decoded\.2\.bias has values that are not finite"):
        reference_weights(tensors | {"decoded.2.bias": np.full(4, np.nan, np.float32)}, table, "x")


def test_damaged_file_is_a_one_line_error(tmp_path):
    (tmp_path / "cut.ckpt").write_bytes(CHECKPOINT.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"cut\.ckpt: not a MindSpore checkpoint, or corrupt$"):
        import_reference(tmp_path / "cut.ckpt", Config(**SHAPE, **GIVEN))


def test_thresholds_of_the_config_are_used(tmp_path, fabric_folder, capsys):
    path = import_reference(CHECKPOINT, Config(**SHAPE, **GIVEN), tmp_path / "imported.safetensors")
    file = read_detector(path)
    assert file.thresholds == {"ssim": 0.5, "l1": 0.25}
    assert file.provenance.imported_from == "reference.ckpt" and file.provenance.fingerprint == ""
    assert file.provenance.training_images == [] == file.provenance.held_out_images
    assert file.provenance.thresholds.estimator == "given"
    assert "its threshold is approximate" in capsys.readouterr().err

    there = Config(dataset_path=str(fabric_folder), **SHAPE, **GIVEN)
    file = read_detector(import_reference(CHECKPOINT, there, tmp_path / "there.safetensors"))
    assert file.thresholds == {"ssim": 0.5, "l1": 0.25}
    assert file.provenance.training_images == [content_hash(path) for path in find_dataset(fabric_folder).good]
    elsewhere = Config(dataset_path=str(tmp_path / "none"), **SHAPE, **GIVEN)
    file = read_detector(import_reference(CHECKPOINT, elsewhere, tmp_path / "elsewhere.safetensors"))
    assert file.thresholds == {"ssim": 0.5, "l1": 0.25} and file.provenance.training_images == []
    assert "none: no such folder; the detector file will not list its training images" in capsys.readouterr().err


def test_thresholds_are_estimated_from_the_last_fifth_of_the_images(tmp_path, fabric_folder, capsys, monkeypatch):
    monkeypatch.chdir(fabric_folder.parent)
    config = Config(dataset_path=fabric_folder.name, **SHAPE)
    path = import_reference(CHECKPOINT, config, tmp_path / "imported.safetensors")
    detector = Detector.load(path, device_target="CPU")
    good = find_dataset(fabric_folder).good
    expected = estimate([detector.residuals(path) for path in good[-2:]], config)
    assert detector.thresholds == pytest.approx(expected, rel=1e-4)
    assert detector.config.dataset_path == "", "no file but the config.yaml of a run names a place on the machine"
    origin = detector.provenance.thresholds
    assert origin.estimator == "false_alarm_rate" and origin.held_out_images == 2
    assert detector.provenance.training_images == [content_hash(path) for path in good]
    assert "thresholds: estimated from training images" in capsys.readouterr().err

    one = import_reference(CHECKPOINT, config.replace(l1_threshold=0.25), tmp_path / "one.safetensors")
    assert read_detector(one).thresholds["l1"] == 0.25


@pytest.mark.parametrize(
    ("dataset_path", "message"),
    [
        ("", r"^import: no thresholds; set --ssim_threshold and --l1_threshold, or --dataset_path$"),
        ("/nowhere", r"^/nowhere: no such folder; .*--ssim_threshold and --l1_threshold are set$"),
    ],
)
def test_missing_thresholds_are_an_error_that_names_the_options(tmp_path, dataset_path, message):
    config = Config(dataset_path=dataset_path, ssim_threshold=0.5, **SHAPE)
    with pytest.raises(InputError, match=message):
        import_reference(CHECKPOINT, config, tmp_path / "imported.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.write_bytes(CHECKPOINT.read_bytes())
    config = Config(**SHAPE, **GIVEN)
    path = import_reference(checkpoint, config)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"best\.safetensors: exists already; name another file with --output"):
        import_reference(checkpoint, config)
    with pytest.raises(InputError, match=r"best\.ckpt: exists already"):
        import_reference(checkpoint, config, checkpoint)
    assert path.read_bytes() == before and checkpoint.read_bytes() == CHECKPOINT.read_bytes()


def test_imported_detector_can_be_exported_evaluated_and_recalibrated(tmp_path, fabric_folder):
    settings = Config(dataset_path=str(fabric_folder), **SHAPE)
    trained = import_reference(CHECKPOINT, settings, tmp_path / "trained.safetensors")
    bare = import_reference(CHECKPOINT, Config(**SHAPE, **GIVEN), tmp_path / "bare.safetensors")
    dataset = find_dataset(fabric_folder)
    for path in (trained, bare):
        exported = export(path, options=ExportOptions(graph="network"))
        assert exported.parity.good.within_tolerance
        assert len(evaluate(Detector.load(path, device_target="CPU"), dataset).results) == len(dataset.test)
    unseen = fabric.make(tmp_path, classes=["canvas"], train=5, good=1, defective=1, size=64, seed=2)[0]
    changed, _ = recalibrate(trained, unseen, {"threshold": "max"})
    assert read_detector(changed).provenance.imported_from == "reference.ckpt"
    with pytest.raises(InputError, match="its held-out images are not recorded; name a folder of good images"):
        recalibrate(trained, None, {"threshold": "percent"})
    recalibrate(bare, unseen, {"threshold": "max"})
    with pytest.raises(InputError, match="the detector was trained on every image; name another folder"):
        recalibrate(trained, fabric_folder, {"threshold": "percent"})
    with pytest.raises(InputError):
        recalibrate(bare, None, {"threshold": "percent"})


def test_the_command(tmp_path, fabric_folder, capsys):
    (tmp_path / "small.yaml").write_text("".join(f"{key}: {value}\n" for key, value in SHAPE.items()))
    options = ["import", str(CHECKPOINT), f"--config_path={tmp_path / 'small.yaml'}", "--output"]
    thresholds = ["--ssim-threshold=.5", "--l1_threshold", ".25"]
    assert main([*options, str(tmp_path / "given.safetensors"), *thresholds]) == 0
    assert capsys.readouterr().out == f"detector: {tmp_path / 'given.safetensors'}\n"
    assert read_detector(tmp_path / "given.safetensors").thresholds == {"ssim": 0.5, "l1": 0.25}

    assert main([*options, str(tmp_path / "found.safetensors"), f"--dataset_path={fabric_folder}"]) == 0
    out = capsys.readouterr().out
    assert "thresholds: ssim" in out and "from 2 held-out images" in out and "detector: " in out

    assert main([*options, str(tmp_path / "none.safetensors")]) == 2
    assert capsys.readouterr().err.startswith("ssim-ae: import: no thresholds; set --ssim_threshold")
    assert main(["import", str(tmp_path / "none.ckpt"), *thresholds]) == 2
    assert capsys.readouterr().err == f"ssim-ae: {tmp_path / 'none.ckpt'}: no such file\n"

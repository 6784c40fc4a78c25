import threading

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ssim_ae import Detector, InputError
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.images.files import read_image


@pytest.fixture
def image(fabric_folder):
    return read_image(next((fabric_folder / "test" / "hole").iterdir()))


def test_an_inspection_has_the_size_of_the_image(detector, image):
    large = np.asarray(Image.fromarray(image).resize((150, 90)))
    found = detector.inspect(large)
    assert found.anomaly_map.shape == found.mask.shape == (90, 150) and found.mask.dtype == bool
    assert found.heatmap.shape == found.image.shape == (90, 150, 3) and found.heatmap.dtype == np.uint8
    assert found.reconstruction.shape == found.inspected.shape == (64, 64, 3)


def test_score_verdict_and_mask_agree(detector, fabric_folder):
    verdicts = set()
    for path in sorted((fabric_folder / "test").rglob("*.png")):
        found = detector.inspect(path)
        assert found.score == found.anomaly.max()
        assert (found.verdict == "nok") == (found.score > 1) == found.mask.any()
        verdicts.add(found.verdict)
    assert "nok" in verdicts


@pytest.mark.parametrize("stride", [16, 32])  # 9 tiles per image, or 4, so that two images fill a batch
def test_images_inspected_together_equal_those_inspected_alone(detector, fabric_folder, tmp_path, stride):
    detector = Detector(detector.config.replace(stride=stride), detector.thresholds, detector.runtime)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    paths = sorted((fabric_folder / "test").rglob("*.png"))
    paths.insert(3, broken)
    found = list(detector.inspect_all(paths))
    assert isinstance(found.pop(3), InputError)
    paths.remove(broken)
    for path, inspection in zip(paths, found, strict=True):
        alone = detector.inspect(path)
        assert np.allclose(inspection.anomaly, alone.anomaly, atol=1e-4)
        assert inspection.verdict == alone.verdict
        assert inspection.defect_share == pytest.approx(alone.mask.mean())
    assert list(detector.inspect_all([])) == []


def test_workers_use_one_thread_each_and_restore_the_number_of_threads(tiny_run, fabric_folder):
    detector = Detector.load(tiny_run.folder, runtime="torch")
    paths = sorted((fabric_folder / "test").rglob("*.png"))
    before = torch.get_num_threads()
    assert set(detector.map_inspections(paths, lambda *_: torch.get_num_threads())) == {1}
    assert torch.get_num_threads() == before
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [before]


def test_results_are_in_the_order_of_the_files(detector, fabric_folder):
    paths = sorted((fabric_folder / "test").rglob("*.png"))
    results = list(detector.map_inspections(paths, lambda path, inspection: (path, inspection.score)))
    assert [path for path, _ in results] == paths
    assert next(detector.map_inspections(paths[:1], lambda path, _: path)) == paths[0]


def test_files_and_gray_arrays_have_equal_scores(detector, image, tmp_path):
    path = tmp_path / "image.png"
    gray = image[:, :, 0]
    Image.fromarray(gray).save(path)
    expected = detector.inspect(path).score
    assert detector.inspect(gray).score == detector.inspect(gray[:, :, None]).score == expected
    assert detector.inspect(str(path)).score == expected


def test_pillow_images_and_files_have_equal_scores(detector, image, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(image).save(path)
    expected = detector.inspect(path).score
    with Image.open(path) as opened:
        assert detector.inspect(opened).score == detector.inspect(opened).score == expected
    assert detector.inspect(Image.fromarray(image)).score == expected


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_files_and_arrays_of_16_bit_colors_have_equal_scores(detector, image, tmp_path, bits, channels):
    deep = image.astype(np.uint16) << (bits - 8) | 3
    pixels = np.dstack([deep, np.full_like(deep[:, :, :1], 2**bits - 1)])[:, :, :channels]
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(tmp_path / "image.tif", pixels, photometric="rgb", **extra)
    detector = Detector(detector.config.replace(bit_depth=bits), detector.thresholds, detector.runtime)
    expected = detector.inspect(pixels).score
    assert detector.inspect(tmp_path / "image.tif").score == expected
    assert expected == pytest.approx(detector.inspect(image).score, rel=0.05), "white is white at every depth"


@pytest.mark.parametrize("image", [None, 3, b"bytes", [[1]], np.zeros((8, 8, 2), np.uint8), np.zeros((0, 8), np.uint8)])
def test_anything_else_is_an_error_in_one_line(detector, image):
    for function in (detector.inspect, detector.residuals):
        with pytest.raises(InputError, match=r"^image: [^\n]+$"):
            function(image)


def test_a_view_of_another_shape_is_an_error(detector):
    for view in (None, np.zeros((64, 64, 3), np.float32)):
        with pytest.raises(InputError, match=r"^view: should be an array \(3, 64, 64\) in \[0, 1\], not "):
            detector.reconstruct(view)


def test_tiles_are_reconstructed_and_averaged(detector, image):
    view = detector.view.crop(image)
    reconstruction = detector.reconstruct(view)
    assert reconstruction.shape == view.shape == (3, 64, 64)
    corner = detector.runtime.run(view[None, :, :32, :32])[0]
    assert np.allclose(reconstruction[:, :16, :16], corner[:, :16, :16], atol=1e-6), "only one tile covers the corner"


def test_a_detector_file_holds_settings_and_provenance(tiny_run):
    file = read_detector(tiny_run.detector_path)
    assert file.config == tiny_run.config.replace(dataset_path=file.config.dataset_path)
    provenance, config = file.provenance, tiny_run.config
    assert len(provenance.training_images) == 8 and len(provenance.held_out_images) == 2
    assert (provenance.dataset, provenance.steps, provenance.finished) == ("twill", config.steps, True)
    assert len(provenance.fingerprint) == 64 and {"python", "numpy", "torch"} <= provenance.versions.keys()
    assert provenance.device == "cpu fp32" and provenance.last_epoch.epoch == config.epochs
    assert provenance.thresholds.estimator == config.threshold and not provenance.imported_from


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda weights, _: weights.pop("conv1.bias"), "do not fit the network"),
        (lambda weights, _: weights.update({"conv1.bias": np.zeros(2, np.float32)}), "do not fit the network"),
        (
            lambda weights, _: weights.update({"conv1.bias": weights["conv1.bias"] + np.nan}),
            "the weights are not finite numbers",
        ),
        (lambda _, metadata: metadata.update(format=99), "format 99"),
        (lambda _, metadata: metadata.pop("thresholds"), "the header is corrupt, or from a newer version"),
        (lambda _, metadata: metadata["config"].update(new_key=1), "newer version"),
        (lambda _, metadata: metadata["thresholds"].update(ssim=-1), "thresholds are not numbers"),
        (lambda _, metadata: metadata["thresholds"].update(l1="high"), "thresholds are not numbers"),
        (lambda _, metadata: metadata.update(kind="x"), "not a detector file"),
    ],
)
def test_an_invalid_detector_is_an_error_in_one_line(tampered, change, reason):
    path = tampered(change)
    with pytest.raises(InputError) as caught:
        Detector.load(path)
    assert str(caught.value).startswith(f"{path}: ") and reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_flipped_bit_is_an_error(tiny_run, tmp_path, rng):
    content = tiny_run.detector_path.read_bytes()
    path = tmp_path / "flipped.safetensors"
    for position in rng.integers(0, len(content), 100):
        flipped = bytearray(content)
        flipped[position] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=r"flipped\.safetensors: .*corrupt|written by another program"):
            Detector.load(path)


def test_every_truncation_is_an_error(tiny_run, tmp_path, rng):
    content = tiny_run.detector_path.read_bytes()
    path = tmp_path / "part.safetensors"
    for length in rng.integers(0, len(content), 25):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"part\.safetensors: not a detector file, or corrupt"):
            Detector.load(path)


def test_a_missing_detector_is_an_error_in_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Detector.load(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match=r"not a run: it has no detector"):
        Detector.load(tmp_path)


def test_a_detector_in_one_line_and_as_a_table(detector):
    ssim, l1 = detector.thresholds.values()
    runtime = type(detector.runtime).__name__
    assert repr(detector) == (
        f"<Detector: method reference, working size 64 x 64 px color, runtime {runtime}, "
        f"thresholds ssim {ssim:.4g}, l1 {l1:.4g}>"
    )
    table = detector._repr_html_()
    assert table.startswith("<table>") and f"<tr><th>runtime</th><td>{runtime}</td></tr>" in table

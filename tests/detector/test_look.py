"""The look of an image, and what a detector file holds of good images."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from ssim_ae import Config
from ssim_ae.detector.detector_file import read_detector, write_detector
from ssim_ae.detector.look import Look, UsualImages
from ssim_ae.errors import InputError

SIDE = 200


def part(number: int = 0) -> Image.Image:
    """A part with fine texture, which fills most of the image."""
    rng = np.random.default_rng(number)
    y, x = np.indices((SIDE, SIDE)) / SIDE - 0.5
    smooth = 120 + 50 * ((np.abs(x) < 0.3) & (np.abs(y) < 0.2)) + 30 * (x + 0.5 * y > 0.1)
    texture = 12 * np.sin(0.9 * SIDE * x) * np.cos(1.1 * SIDE * y)
    pixels = (smooth + texture)[..., None] + rng.normal(0, 1, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    paths = [folder / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        part(number).save(path)
    return UsualImages.of(paths, [0.5, 0.25], Config())


def moved(x: float, y: float) -> Image.Image:
    return part().transform((SIDE, SIDE), Image.Transform.AFFINE, (1, 0, -x, 0, 1, -y), Image.Resampling.BILINEAR)


CHANGES = {
    "dimmer": (lambda: part().point(lambda value: 0.8 * value), {"brightness": np.log(0.8)}, 0.01),
    "hazy": (lambda: Image.blend(part(), Image.new("RGB", (SIDE, SIDE), (130,) * 3), 0.2), {"contrast": -0.22}, 0.05),
    "blurred": (lambda: part().filter(ImageFilter.GaussianBlur(1)), {"sharpness": -1.0}, 0.6),
    "right": (lambda: moved(2, 0), {"shift_x": 0.01, "shift_y": 0.0}, 0.002),
    "down": (lambda: moved(0, 3), {"shift_x": 0.0, "shift_y": 0.015}, 0.002),
    "clockwise": (lambda: part().rotate(-2, Image.Resampling.BILINEAR, fillcolor=(120,) * 3), {"turn": 2.0}, 0.4),
}


@pytest.mark.parametrize(("change", "expected", "tolerance"), CHANGES.values(), ids=CHANGES)
def test_each_change_is_measured(usual, change, expected, tolerance):
    before, after = usual.look(np.asarray(part(9))), usual.look(np.asarray(change()))
    for name, value in expected.items():
        assert getattr(after, name) - getattr(before, name) == pytest.approx(value, abs=tolerance), name


def test_good_images_lie_where_their_mean_does(usual):
    assert np.abs(np.array(usual.looks)[:, 3:]).max() < 0.05
    assert usual.scores == [0.5, 0.25] and usual.with_thresholds_times(2).scores == [0.25, 0.125]


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 900, 3), (48, 48, 4), (3000, 7, 3), (2, 3000, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_of_any_size_have_a_look(usual, shape, dtype):
    assert np.isfinite(usual.look(np.full(shape, 7, dtype))).all()


def test_a_detector_file_holds_it(features_run, tmp_path):
    file = read_detector(features_run.detector_path)
    assert file.usual and 20 < len(file.usual.scores) <= 100 and len(file.usual.looks) == 30
    assert 0.2 < np.median(file.usual.scores) < 1
    write_detector(tmp_path / "copy.safetensors", file)
    assert read_detector(tmp_path / "copy.safetensors").usual == file.usual
    write_detector(tmp_path / "former.safetensors", file._replace(usual=None))
    assert read_detector(tmp_path / "former.safetensors").usual is None


FAULTS = {
    "a row is missing": {"mean": [[0] * 48] * 47},
    "a value is text": {"mean": [["0"] * 48] * 48},
    "no aspect": {"aspect": 0.0},
    "no number": {"scores": [None]},
    "other names": {"more": 1},
    "short look": {"looks": [[0.0] * 5]},
    "depth": {"bit_depth": "8"},
}


@pytest.mark.parametrize("change", FAULTS.values(), ids=FAULTS)
def test_a_faulty_file_is_refused(features_run, tmp_path, monkeypatch, change):
    file = read_detector(features_run.detector_path)
    content = file.usual.model_dump(mode="json") | change
    monkeypatch.setattr(UsualImages, "model_dump", lambda _self, **_options: content)
    write_detector(tmp_path / "faulty.safetensors", file)
    with pytest.raises(InputError, match="the header is corrupt, or from a newer version"):
        read_detector(tmp_path / "faulty.safetensors")


def test_the_fields_are_columns_of_the_log():
    assert Look._fields == ("brightness", "contrast", "sharpness", "shift_x", "shift_y", "turn")

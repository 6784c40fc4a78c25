"""Which images a run learns from, which set its thresholds, and what is read from them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ssim_ae import Config, Detector, InputError, train
from ssim_ae.calibration import calibrate, suspects
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.images.files import read_image
from ssim_ae.images.folders import content_hash, find_dataset
from ssim_ae.images.size import Size
from ssim_ae.maps.normalization import NormalStatistics
from ssim_ae.synthetic import fabric
from ssim_ae.training import good_images, loop
from ssim_ae.training.good_images import held_out_indices, load_good_images
from ssim_ae.training.recalibrate import recalibrate


def test_test_images_are_not_used(tiny_run, fabric_folder):
    provenance = read_detector(tiny_run.detector_path).provenance
    used = provenance.training_images + provenance.held_out_images
    assert sorted(used) == sorted(content_hash(path) for path in (fabric_folder / "train" / "good").iterdir())
    assert len(provenance.held_out_images) == 2 == provenance.thresholds.held_out_images


def test_an_image_that_is_deleted_during_training_is_still_recorded(tiny_config, tmp_path, monkeypatch, fabric_folder):
    copy = tmp_path / "data"
    shutil.copytree(fabric_folder, copy)
    good = find_dataset(copy).good
    deleted = next(path for number, path in enumerate(good) if number not in held_out_indices(len(good), tiny_config))
    digest = content_hash(deleted)
    monkeypatch.setattr(loop, "learning_rate", lambda *_: deleted.unlink(missing_ok=True) or 1e-3)
    run = train(tiny_config.replace(dataset_path=str(copy)), runs=tmp_path / "runs")
    assert run.finished and not deleted.exists()
    assert digest in read_detector(run.detector_path).provenance.training_images


def test_excluded_images_are_not_learned_from_and_count_as_known(
    tiny_config: Config, fabric_folder: Path, tmp_path: Path
) -> None:
    listing = tmp_path / "excluded.txt"
    excluded = sorted((fabric_folder / "train" / "good").iterdir())[:2]
    listing.write_text("".join(f"{path.name}\n" for path in excluded))
    run = train(tiny_config.replace(exclude=str(listing), epochs=1), runs=tmp_path / "runs")
    provenance = read_detector(run.detector_path).provenance
    assert len(provenance.training_images + provenance.held_out_images) == 8
    assert provenance.split(excluded).excluded == excluded
    assert Config.read(run.folder / "config.yaml").exclude == str(listing)


def test_excluding_every_image_is_an_error(tiny_config: Config, fabric_folder: Path, tmp_path: Path) -> None:
    listing = tmp_path / "excluded.txt"
    listing.write_text("".join(f"{path.name}\n" for path in (fabric_folder / "train" / "good").iterdir()))
    with pytest.raises(InputError, match="lists all 10 good images"):
        train(tiny_config.replace(exclude=str(listing)), runs=tmp_path)


def test_without_holdout_the_last_fifth_sets_the_thresholds(tiny_config, tmp_path):
    run = train(tiny_config.replace(holdout=0, threshold="percent"), runs=tmp_path)
    provenance = read_detector(run.detector_path).provenance
    assert provenance.held_out_images == [] and len(provenance.training_images) == 10
    assert provenance.thresholds.held_out_images == 2


def test_thresholds_of_the_method_repair_are_estimated_from_all_good_images(tiny_config, tmp_path):
    run = train(tiny_config.replace(method="repair", epochs=1), runs=tmp_path)
    trained = read_detector(run.detector_path)
    origin = trained.provenance.thresholds
    assert (origin.held_out_images, origin.training_images) == (2, 8)
    assert "from 2 held-out and 8 training images" in str(origin)
    recalibrated, calibration = recalibrate(run.folder, None, {"threshold": "false_alarm_rate"})
    assert read_detector(recalibrated).thresholds == pytest.approx(trained.thresholds, rel=1e-4)
    assert calibration.origin == origin
    residuals = Detector.load(run.folder).residuals_all(sorted(run.dataset.good))
    assert np.allclose(NormalStatistics.fit(residuals).grids, trained.normal_statistics.grids, rtol=1e-2)


@pytest.mark.parametrize("measured", [12, 200])  # training images; the others are only checked for defects
@pytest.mark.parametrize("outliers", ["leave_out", "keep"])
def test_spoilt_images_are_named_shown_and_do_not_set_the_thresholds(
    tiny_config: Config,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    outliers: str,
    measured: int,
) -> None:
    monkeypatch.setattr(calibrate, "MAX_TRAINING_IMAGES", measured)
    monkeypatch.setattr(suspects, "LEFT_OUT_DISTANCE", 3.0)  # a training of a second tells images apart less clearly
    monkeypatch.setattr(calibrate, "NAMED_DISTANCE", 2.0)
    data = fabric.make(tmp_path / "data", classes=["twill"], train=30, good=1, defective=0, size=64, seed=2)[0]
    paths = sorted((data / "train" / "good").iterdir())
    held_out = held_out_indices(len(paths), tiny_config)
    spoilt = [paths[held_out[0]], paths[[index for index in range(30) if index not in held_out][1]]]
    for path in spoilt:
        pixels = np.asarray(Image.open(path)).copy()
        pixels[16:48, 16:48] = np.random.default_rng(0).choice([0, 255], (32, 32, 1))
        Image.fromarray(pixels).save(path)
    config = tiny_config.replace(dataset_path=str(data), outliers=outliers)
    run = train(config, runs=tmp_path / "runs")
    file = read_detector(run.detector_path)
    assert (run.folder / "suspects.png").exists()
    listed = (run.folder / "suspects.txt").read_text().splitlines()
    assert {path.relative_to(data).as_posix() for path in spoilt} <= set(listed)
    assert file.provenance.thresholds.left_out_images == (outliers == "leave_out")
    assert ("left out of the thresholds" in capsys.readouterr().err) == (outliers == "leave_out")


@pytest.mark.parametrize(
    ("turned", "is_part", "angles"), [(True, True, (150, 180)), (False, True, (5, 5)), (True, False, (5, 5))]
)
def test_an_automatic_angle_is_chosen_from_the_images(tiny_config, tmp_path, rng, turned, is_part, angles):
    stripes = np.arange(64)[:, None] // 4 % 2 * np.full((64, 64), 150)
    disk = np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 28
    (tmp_path / "data").mkdir()
    for number in range(60):
        pixels = np.roll(stripes, number, axis=0) + rng.integers(30, 100, (64, 64))
        image = Image.fromarray(pixels.astype(np.uint8)).rotate(rng.uniform(0, 360) * turned)
        shown = np.array(image) * (disk | (not is_part))
        Image.fromarray(shown.astype(np.uint8)).save(tmp_path / "data" / f"{number}.png")
    config = tiny_config.replace(dataset_path=str(tmp_path / "data"), method="repair", rotate_angle=None, epochs=1)
    run = train(config, runs=tmp_path)
    angle = read_detector(run.detector_path).config.rotate_angle
    assert angles[0] <= angle <= angles[1]
    assert Config.read(run.folder / "config.yaml").rotate_angle == angle, "a resumed run uses it as well"


def test_training_uses_all_bits_of_16_bit_images(tiny_config, tmp_path, capsys):
    folder = tmp_path / "deep"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        values = rng.integers(0, 1024, (64, 64), dtype=np.uint16)
        Image.fromarray(values).save(folder / f"{number}.png")
    run = train(tiny_config.replace(dataset_path=str(folder), grayscale=True), runs=tmp_path)
    assert (
        "the 16-bit images reach only 1023 of 65535; for a camera with fewer bits set --bit_depth 10"
        in capsys.readouterr().err
    )
    sheet = read_image(run.folder / "patches.png")
    assert len(np.unique(sheet)) <= 6, "nearly black in eight bits"
    good = load_good_images(find_dataset(folder), run.config)
    assert good.training_images.dtype == np.float32 and len(np.unique(good.training_images)) > 900


@pytest.mark.parametrize(
    ("bit_depth", "brightest", "note"),
    [
        (16, 2**14 - 1, "reach only 16383 of 65535; for a camera with fewer bits set --bit_depth 14"),
        (16, 3000, "reach only 3000 of 65535; for a camera with fewer bits set --bit_depth 12"),
        (16, 255, "reach only 255 of 65535; for a camera with fewer bits set --bit_depth 8"),
        (12, 1000, "reach only 1000 of 4095; for a camera with fewer bits set --bit_depth 10"),
        (12, 4096, "reach 4096, and all above 4095 is cut; raise --bit_depth"),
        (16, 2**14, ""),
        (12, 4095, ""),
        (12, 3000, ""),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_bit_depth_that_does_not_fit_is_noted(tmp_path, capsys, bit_depth, brightest, note, channels):
    values = np.full((32, 32, channels), brightest // 2, np.uint16)
    values[0, 0] = brightest
    tifffile.imwrite(tmp_path / "a.tif", values.squeeze(), photometric="rgb" if channels == 3 else "minisblack")
    load_good_images(find_dataset(tmp_path), Config(bit_depth=bit_depth, im_resize=64, crop_size=32))
    printed = " ".join(capsys.readouterr().err.split())
    assert note in printed and ("--bit_depth" in printed) == bool(note)


@pytest.mark.parametrize(("method", "noted"), [("features", False), ("reference", True)])
def test_more_images_than_patches_are_noted_where_there_are_patches(method, noted):
    images = [good_images._Image(Path("a.png"), Size(64, 64), None)] * 13_000
    notes = list(good_images._remarks(images, Config(method=method)))
    assert any("less than one patch per training image" in note for note in notes) == noted

import shutil
from pathlib import Path

import pytest

from ssim_ae import Config, InputError, train
from ssim_ae.commands import threshold
from ssim_ae.detector.detector_file import read_detector, write_detector
from ssim_ae.detector.run_folder import version_paths
from ssim_ae.synthetic import fabric
from ssim_ae.training.add_images import add_images
from ssim_ae.training.recalibrate import THRESHOLD_KEYS, known_images, recalibrate


def test_the_held_out_images_of_the_training_set_the_thresholds(tiny_run, tmp_path):
    path, calibration = recalibrate(tiny_run.folder, None, {"threshold": "max"}, tmp_path / "new.safetensors")
    file = read_detector(path)
    assert calibration.origin.estimator == "max" == file.config.threshold
    assert calibration.origin.held_out_images == 2 and file.provenance.thresholds == calibration.origin
    assert read_detector(tiny_run.detector_path).config.threshold == "false_alarm_rate"


GIVEN = {"ssim_threshold": 9.0, "l1_threshold": 9.0}
STRICT = {"ssim_threshold": 1e-6, "l1_threshold": 1e-6}


@pytest.fixture
def run(tiny_run, tmp_path):
    """Return a copy of the tiny run's folder."""
    return shutil.copytree(tiny_run.folder, tmp_path / "twill-1")


def test_given_thresholds_are_tested_on_the_held_out_images(tiny_run, tmp_path):
    path, calibration = recalibrate(tiny_run.folder, None, GIVEN, tmp_path / "new.safetensors")
    assert read_detector(path).thresholds == {"ssim": 9, "l1": 9}
    assert str(calibration.origin) == "Thresholds were given. Rejected good images: 0 of 2."
    assert read_detector(path).provenance.thresholds == calibration.origin


def test_given_thresholds_need_no_images(tiny_run, tmp_path, capsys):
    file = read_detector(tiny_run.detector_path)
    bare = tmp_path / "bare.safetensors"
    write_detector(bare, file._replace(config=file.config.replace(dataset_path="")))
    path, calibration = recalibrate(bare, None, STRICT)
    assert path == tmp_path / "bare-given.safetensors" and str(calibration.origin) == "Thresholds were given."
    assert "not tested on good images" in capsys.readouterr().err
    with pytest.raises(InputError, match="none: no such folder"):
        recalibrate(bare, tmp_path / "none", GIVEN)


def test_new_thresholds_are_a_new_version_of_the_run(run):
    former = read_detector(run / "detector.safetensors")
    for changes in (GIVEN, {"threshold": "max"}, GIVEN):
        path, calibration = recalibrate(run, None, changes)
        current = read_detector(run / "detector.safetensors")
        assert path == run / "detector.safetensors" and current.thresholds == calibration.thresholds
    assert [read_detector(path).thresholds for path in version_paths(run)][:2] == [
        former.thresholds,
        {"ssim": 9, "l1": 9},
    ]
    assert len(version_paths(run)) == 4


def test_new_thresholds_of_a_file_are_written_beside_it_under_an_unused_name(tiny_run, tmp_path):
    file = shutil.copy(tiny_run.detector_path, tmp_path / "line3.safetensors")
    before = file.read_bytes()
    names = [recalibrate(file, None, GIVEN)[0].name for _ in range(3)]
    assert names == ["line3-given.safetensors", "line3-given-2.safetensors", "line3-given-3.safetensors"]
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": "percent", "percent": 50}, "rejects 2 of 2 good images; percent is a percentile of pixels"),
        ({"threshold": "k_sigma", "k_sigma": 0}, None),
        (STRICT, "rejects 2 of 2 good images; give higher thresholds"),
    ],
)
def test_thresholds_that_reject_most_good_images_are_refused_unless_forced(run, changes, message):
    before = (run / "detector.safetensors").read_bytes()
    if message:
        with pytest.raises(InputError, match=message):
            recalibrate(run, None, changes)
        with pytest.raises(InputError, match=message):
            recalibrate(run, None, changes, run / "other.safetensors")
        assert (run / "detector.safetensors").read_bytes() == before
        assert not version_paths(run) and not (run / "other.safetensors").exists()
    recalibrate(run, None, changes, force=True)
    assert len(version_paths(run)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"percent": 98}, "--percent: no effect on thresholds by false_alarm_rate; add --threshold percent"),
        ({"threshold": "max", "k_sigma": 2}, "--k_sigma: no effect on thresholds by max; add --threshold k_sigma"),
        (GIVEN | {"min_area": 5}, "--min_area: no effect on thresholds by given; leave it out"),
    ],
)
def test_a_setting_without_effect_is_an_error(tiny_run, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        recalibrate(tiny_run.folder, None, changes, tmp_path / "new.safetensors")


def test_thresholds_that_jump_are_noted(run, capsys):
    recalibrate(run, None, {"ssim_threshold": 0.2, "l1_threshold": 0.5}, force=True)
    capsys.readouterr()
    recalibrate(run, None, {"ssim_threshold": 0.4, "l1_threshold": 0.1}, force=True)
    errors = capsys.readouterr().err
    assert "thresholds: l1 0.1 is 5 times below the former 0.5" in errors and "ssim" not in errors
    recalibrate(run, None, {"ssim_threshold": 0, "l1_threshold": 0.1}, force=True)
    assert "thresholds: ssim 0 is far below the former 0.4" in capsys.readouterr().err


def test_training_images_in_a_folder_are_left_out(tiny_run, tmp_path, fabric_folder, good_folder, capsys):
    folder = shutil.copytree(good_folder, tmp_path / "mixed")
    for path in (fabric_folder / "train" / "good").iterdir():
        shutil.copy(path, folder / f"known_{path.name}")
    _, calibration = recalibrate(tiny_run.folder, folder, {}, tmp_path / "new.safetensors")
    assert calibration.origin.held_out_images == 40 + 2, "the held-out images may set the thresholds again"
    assert f"{folder}: 8 training images left out; 42 other images to set the thresholds" in capsys.readouterr().err


def test_a_held_out_duplicate_of_a_training_image_is_left_out_of_a_folder(tiny_run, tmp_path, fabric_folder):
    file = read_detector(tiny_run.detector_path)
    duplicate = file.provenance.held_out_images[0]
    training = [*file.provenance.training_images, duplicate]
    changed = tmp_path / "changed.safetensors"
    write_detector(changed, file._replace(provenance=file.provenance.model_copy(update={"training_images": training})))
    _, calibration = recalibrate(changed, fabric_folder, {}, tmp_path / "new.safetensors")
    assert calibration.origin.held_out_images == 1


def test_a_folder_of_training_images_is_an_error(tiny_run, tmp_path, fabric_folder):
    split = read_detector(tiny_run.detector_path).provenance.split((fabric_folder / "train" / "good").iterdir())
    (tmp_path / "training").mkdir()
    for path in split.training:
        shutil.copy(path, tmp_path / "training")
    with pytest.raises(InputError, match="the detector was trained on every image; name another folder"):
        recalibrate(tiny_run.folder, tmp_path / "training", {}, tmp_path / "new.safetensors")


def test_without_held_out_images_the_last_fifth_of_the_training_images_is_known(tiny_run, fabric_folder):
    file = read_detector(tiny_run.detector_path)
    hashes = file.provenance.training_images + file.provenance.held_out_images
    provenance = file.provenance.model_copy(update={"training_images": hashes, "held_out_images": []})
    known = known_images(file._replace(provenance=provenance), tiny_run.detector_path)
    good = sorted((fabric_folder / "train" / "good").iterdir())
    assert (known.held_out, known.training) == (good[-2:], good[:-2])


def test_lost_or_unrecorded_images_are_an_error(tiny_run):
    file = read_detector(tiny_run.detector_path)
    lost = file._replace(provenance=file.provenance.model_copy(update={"held_out_images": ["0" * 64]}))
    with pytest.raises(InputError, match="its held-out images are missing; name a folder of good images"):
        known_images(lost, tiny_run.detector_path)
    unrecorded = file._replace(config=file.config.replace(dataset_path=""))
    with pytest.raises(InputError, match="its held-out images are not recorded; name a folder of good images"):
        known_images(unrecorded, tiny_run.detector_path)


def test_an_existing_file_is_not_overwritten(tiny_run):
    with pytest.raises(InputError, match="exists already; name another file with --output"):
        recalibrate(tiny_run.folder, None, {}, tiny_run.detector_path)


def test_the_command_has_all_settings_of_thresholds():
    assert set(THRESHOLD_KEYS) == set(threshold.THRESHOLD_KEYS) - {"drawn_defects", "regions"}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `features`, whose data set is beside it."""
    root = tmp_path_factory.mktemp("fitted")
    data = fabric.make(root, classes=["twill"], train=20, good=1, defective=1, size=64)[0] / "train" / "good"
    config = Config(method="features", dataset_path=str(data), im_resize=64, drawn_defects=0, run_eval=False)
    return train(config, runs=root / "runs").folder


def copy_of(fitted: Path, root: Path) -> Path:
    """Return a copy of a run and of its data set."""
    data = shutil.copytree(fitted.parents[1] / "twill", root / "twill") / "train" / "good"
    run = shutil.copytree(fitted, root / "good-1")
    path = run / "config.yaml"
    path.write_text(path.read_text().replace(str(fitted.parents[1]), str(root)))
    file = read_detector(run / "detector.safetensors")
    (run / "detector.safetensors").unlink()
    write_detector(run / "detector.safetensors", file._replace(config=file.config.replace(dataset_path=str(data))))
    return run


def test_a_fitted_detector_gets_the_threshold_of_its_training_again(fitted, tmp_path, capsys):
    run = copy_of(fitted, tmp_path)
    before = read_detector(run / "detector.safetensors")
    _, calibration = recalibrate(run, None, {})
    assert calibration.thresholds == pytest.approx(before.thresholds, rel=1e-6)
    assert calibration.origin.cross_fitted_images == before.provenance.thresholds.cross_fitted_images == 16
    capsys.readouterr()
    (run / "moments.safetensors").unlink()
    _, again = recalibrate(run, None, {"false_alarm_rate": 0.05})
    assert "the moments of its fit are missing; its 16 training images are measured" in capsys.readouterr().err
    assert again.thresholds["distance"] < before.thresholds["distance"]
    back = recalibrate(run, None, {"false_alarm_rate": 0.01})[1].thresholds
    assert back == pytest.approx(before.thresholds, rel=1e-6)


def test_without_all_training_images_the_held_out_ones_set_the_threshold(fitted, tmp_path, capsys):
    run = copy_of(fitted, tmp_path)
    provenance = read_detector(run / "detector.safetensors").provenance
    split = provenance.split((tmp_path / "twill" / "train" / "good").iterdir())
    split.training[0].unlink()
    _, calibration = recalibrate(run, None, {})
    assert "thresholds: from held-out images alone: 1 of 16 training images missing" in capsys.readouterr().err
    assert (calibration.origin.cross_fitted_images, calibration.origin.held_out_images) == (0, 4)


def test_images_that_are_added_do_not_change_how_the_threshold_is_estimated(fitted, tmp_path):
    run = copy_of(fitted, tmp_path)
    more = fabric.make(tmp_path / "later", classes=["twill"], train=5, good=1, defective=1, size=64, seed=3)[0]
    added = add_images(run, more / "train" / "good")
    assert recalibrate(run, None, {})[1].thresholds == pytest.approx(added.thresholds, rel=1e-6)

import shutil

import pytest

from ssim_ae import InputError
from ssim_ae.calibration.recalibrate import known_images, recalibrate
from ssim_ae.detector.detector_file import read_detector, write_detector


def test_the_held_out_images_of_the_training_set_the_thresholds(tiny_run, tmp_path):
    path, calibration = recalibrate(tiny_run.folder, None, {"threshold": "max"}, tmp_path / "new.safetensors")
    file = read_detector(path)
    assert calibration.origin.estimator == "max" == file.config.threshold
    assert calibration.origin.held_out_images == 2 and file.provenance.thresholds == calibration.origin
    assert read_detector(tiny_run.detector_path).config.threshold == "false_alarm_rate"


def test_given_thresholds_need_no_images(tiny_run, tmp_path):
    changes = {"ssim_threshold": 0.5, "l1_threshold": 0.25}
    path, calibration = recalibrate(tiny_run.folder, tmp_path / "none", changes, tmp_path / "new.safetensors")
    assert read_detector(path).thresholds == (0.5, 0.25)
    assert calibration.origin.held_out_images == 0 and str(calibration.origin) == "Thresholds were given."


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

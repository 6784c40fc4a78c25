"""Thresholds of a whole detector, from folders of good images."""

import re

import numpy as np
import pytest
from PIL import Image

from ssim_ae import train
from ssim_ae.calibration.calibrate import MOST_NAMED
from ssim_ae.calibration.recalibrate import recalibrate
from ssim_ae.synthetic import fabric
from ssim_ae.training.good_images import held_out_indices

ASKED = r"note: (\d+) of (\d+) good images would be called defective; are they good\? (.*)\n"


@pytest.fixture
def cloths(tmp_path):
    """A folder of 40 good pictures."""
    fabric.make(tmp_path, classes=["twill"], train=40, good=1, defective=1, size=64, seed=5)
    return tmp_path / "twill" / "train" / "good"


def spoil(path, shade=250):
    picture = np.asarray(Image.open(path)).copy()
    picture[16:48, 16:48] = [shade, 20, shade]
    Image.fromarray(picture).save(path)


def test_what_lies_among_good_images_and_is_not_is_named(tiny_run, tmp_path, capfd, cloths):
    first, second = sorted(cloths.iterdir())[:2]
    spoil(first, shade=180)
    spoil(second)
    recalibrate(tiny_run.folder, cloths, {"threshold": "false_alarm_rate"}, tmp_path / "new.safetensors")
    asked = re.search(ASKED, capfd.readouterr().err)
    assert asked.groups() == ("2", "40", f"{second.name}, {first.name}"), "the farthest from good first"


def test_so_are_those_that_were_learned_from(tiny_config, tmp_path, capfd, cloths):
    config = tiny_config.replace(dataset_path=str(cloths), method="repair", false_alarm_rate=0.1)
    held_out = held_out_indices(40, config)
    spoilt = next(path for number, path in enumerate(sorted(cloths.iterdir())) if number not in held_out)
    spoil(spoilt)
    train(config, runs=tmp_path)
    asked = re.search(ASKED, capfd.readouterr().err)
    assert asked[2] == "40" and asked[3].split(", ")[0] == spoilt.name


def test_many_are_not_all_named(tiny_run, tmp_path, capfd, cloths):
    for path in sorted(cloths.iterdir())[:15]:
        spoil(path)
    changes = {"threshold": "false_alarm_rate", "false_alarm_rate": 0.3}
    recalibrate(tiny_run.folder, cloths, changes, tmp_path / "new.safetensors")
    asked = re.search(ASKED, capfd.readouterr().err)
    assert int(asked[1]) > MOST_NAMED == asked[3].count(", ") and asked[3].endswith(", ...")

"""Thresholds of a whole detector, from folders of good images."""

import numpy as np
from PIL import Image

from ssim_ae.detection.recalibrate import recalibrate
from ssim_ae.images import fabric


def test_what_lies_among_good_images_and_is_not_is_named(tiny_run, tmp_path, capfd):
    fabric.make(tmp_path, classes=["twill"], train=40, good=1, defective=1, size=64, seed=5)
    folder = tmp_path / "twill" / "train" / "good"
    spoilt = sorted(folder.iterdir())[-1]
    picture = np.asarray(Image.open(spoilt)).copy()
    picture[16:48, 16:48] = [250, 20, 250]
    Image.fromarray(picture).save(folder / "spoilt.png")
    recalibrate(tiny_run.folder, folder, {"threshold": "false_alarm_rate"}, tmp_path / "new.safetensors")
    assert "1 of 41 good images would be called defective; are they good? spoilt.png\n" in capfd.readouterr().err

"""Detectors saved by this version and those before it: later ones must open them and come to the same scores."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from ssim_ae import Detector, InputError
from ssim_ae.detector.detector_file import BEFORE, FORMAT
from ssim_ae.storage import read_tensors, write_tensors

SAVED = Path(__file__).parent / "saved"
CASES = [
    (folder.name, name, scores)
    for folder in sorted(SAVED.glob("format-*"))
    for name, scores in json.loads((folder / "scores.json").read_text()).items()
]
TOLERANCES = {"eight_bits.xml": 0.05}  # of a score: CPUs multiply 8 bits in different ways


@pytest.mark.parametrize(("folder", "name", "scores"), CASES, ids=[f"{folder}-{name}" for folder, name, _ in CASES])
def test_a_saved_detector_opens_and_says_the_same(folder, name, scores):
    if name.endswith(".mindir") and not find_spec("mindspore"):
        pytest.skip("MindSpore is not installed")
    detector = Detector.load(SAVED / folder / name, device_target="CPU")
    for image, score in scores.items():
        assert detector.inspect(SAVED / folder / image).score == pytest.approx(score, abs=TOLERANCES.get(name, 1e-3))


def test_this_format_is_among_them():
    assert (SAVED / f"format-{FORMAT}" / "scores.json").is_file()
    verdicts = {score > 1 for _, _, scores in CASES for score in scores.values()}
    assert verdicts == {True, False}


def test_repair_of_before_is_refused_for_its_residuals_were_others(tmp_path):
    tensors, metadata = read_tensors(SAVED / f"format-{FORMAT}" / "repair.safetensors", "detector")
    for written in (BEFORE, FORMAT):
        write_tensors(tmp_path / f"{written}.safetensors", tensors, metadata | {"format": written})
    Detector.load(tmp_path / f"{FORMAT}.safetensors")
    with pytest.raises(InputError, match="repair had other residuals"):
        Detector.load(tmp_path / f"{BEFORE}.safetensors")

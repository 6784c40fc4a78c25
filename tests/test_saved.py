"""Detectors saved in this format and in earlier ones: every later version must open them and return the same scores."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from ssim_ae import Detector, InputError
from ssim_ae.checked_files import read_tensors, write_tensors
from ssim_ae.detector.detector_file import FORMAT_VERSION

SAVED = Path(__file__).parent / "saved"
CASES = [
    (folder.name, name, scores)
    for folder in sorted(SAVED.glob("format-*"))
    for name, scores in json.loads((folder / "scores.json").read_text()).items()
]
TOLERANCES = {"eight_bits.xml": 0.05}  # of a score: CPUs multiply 8 bits in different ways


@pytest.mark.parametrize(("folder", "name", "scores"), CASES, ids=[f"{folder}-{name}" for folder, name, _ in CASES])
def test_a_saved_detector_opens_and_returns_the_same_scores(folder, name, scores):
    if name.endswith(".mindir") and not find_spec("mindspore"):
        pytest.skip("MindSpore is not installed")
    detector = Detector.load(SAVED / folder / name, device_target="CPU")
    for image, score in scores.items():
        assert detector.inspect(SAVED / folder / image).score == pytest.approx(score, abs=TOLERANCES.get(name, 1e-3))


def test_the_current_format_is_among_them():
    assert (SAVED / f"format-{FORMAT_VERSION}" / "scores.json").is_file()
    verdicts = {score > 1 for _, _, scores in CASES for score in scores.values()}
    assert verdicts == {True, False}


def test_another_format_is_refused(tmp_path):
    tensors, metadata = read_tensors(SAVED / f"format-{FORMAT_VERSION}" / "repair.safetensors", "detector")
    for format_ in (FORMAT_VERSION, FORMAT_VERSION + 1):
        write_tensors(tmp_path / f"{format_}.safetensors", tensors, metadata | {"format": format_})
    Detector.load(tmp_path / f"{FORMAT_VERSION}.safetensors")
    with pytest.raises(
        InputError, match=f"format {FORMAT_VERSION + 1} is not supported, only 1 and {FORMAT_VERSION}; "
    ):
        Detector.load(tmp_path / f"{FORMAT_VERSION + 1}.safetensors")

"""A detector of parts that lie at any angle, from the folder to the exported files."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssim_ae import Config, Detector, InputError, train
from ssim_ae.detector.detector_file import read_detector, write_detector
from ssim_ae.detector.regions_file import read_regions
from ssim_ae.export.export import export
from ssim_ae.export.options import ExportOptions
from ssim_ae.images.files import write_png
from ssim_ae.images.size import Size

SETTINGS = {"resolution": 128, "drawn_defects": 0, "run_eval": False, "device_target": "CPU"}


def bolt(draw, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = rng.uniform(70, 90, 2)
    return draw((y, x, rng.uniform(0, 360), 110), height=160, width=160, seed=seed)


def scratched(image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Return an image with a bright spot on the part, and its center."""
    rows, columns = np.nonzero(image[..., 0] < 110)
    middle = np.argsort((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)[0]
    y, x = int(rows[middle]), int(columns[middle])
    defective = image.copy()
    defective[y - 4 : y + 5, x - 4 : x + 5] = 230
    return defective, (y, x)


@pytest.fixture(scope="module")
def run(draw, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bolts")
    for seed in range(24):
        write_png(folder / f"{seed:02d}.png", bolt(draw, seed))
    return train(Config(dataset_path=str(folder), **SETTINGS), runs=folder / "runs").folder


@pytest.fixture(scope="module")
def detector(run) -> Detector:
    return Detector.load(run)


def test_the_parts_are_aligned(detector):
    assert detector.frame.alignment is not None
    height, width = detector.frame.size
    assert width > 2 * height and detector.view.size == (128, 128)


def test_regions_turn_with_the_part_in_the_exported_graph_too(run, detector, draw, tmp_path):
    good = bolt(draw, 200)
    write_png(tmp_path / "good.png", good)
    rows, columns = np.nonzero(good[..., 0] < 110)
    box = [int(bound) for bound in (columns.min() - 9, rows.min() - 9, columns.max() + 9, rows.max() + 9)]
    left, top, right, bottom = (min(max(bound, 0), 160) for bound in box)
    polygon = [[left, top], [right, top], [right, bottom], [left, bottom]]
    content = {"width": 160, "height": 160, "regions": [{"sensitivity": 0, "polygon": polygon}]}
    path = tmp_path / "regions.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="name the image"):
        read_regions(path, detector.frame, None)
    for image, fault in (("none.png", "no such file"), ("good.png", "")):
        path.write_text(json.dumps(content | {"image": image}))
        if fault:
            with pytest.raises(InputError, match=fault):
                read_regions(path, detector.frame, None)
    half = [[left, top], [(left + right) / 2, top], [(left + right) / 2, bottom], [left, bottom]]
    path.write_text(json.dumps(content | {"image": "good.png", "regions": [{"sensitivity": 0, "polygon": half}]}))
    regions = read_regions(path, detector.frame, Size(160, 160))
    write_detector(
        tmp_path / "ignoring.safetensors", read_detector(run / "detector.safetensors")._replace(regions=regions)
    )
    ignoring = Detector.load(tmp_path / "ignoring.safetensors")
    pose = detector.frame.pose(good)
    for seed in range(300, 304):  # each with a spot on the ignored half, at the same place of the part
        image = bolt(draw, seed)
        other = detector.frame.pose(image)
        away = -25 if (pose.dx > 0) else 25
        y, x = (int(center + away * direction) for center, direction in ((other.y, other.dy), (other.x, other.dx)))
        image[y - 3 : y + 4, x - 3 : x + 4] = 230
        assert detector.inspect(image).verdict == "nok"
        sensitivity = ignoring.sensitivity_in(image)
        assert sensitivity is not None and not sensitivity[int(y * 0.8), int(x * 0.8)]
        assert not ignoring.inspect(image).anomaly[int(y * 0.8), int(x * 0.8)]
    result = export(tmp_path / "ignoring.safetensors", tmp_path / "ignoring.onnx", ExportOptions())
    assert result.parity is not None and result.parity.within_tolerance
    Image.fromarray(np.zeros((160, 160), np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="does not turn with them"):
        read_regions(tmp_path / "mask.png", detector.frame, None)


def test_good_parts_are_accepted_in_any_pose_and_defects_found_where_they_are(detector, draw):
    good = [bolt(draw, seed) for seed in range(100, 112)]
    assert sum(detector.inspect(image).verdict == "ok" for image in good) >= 9
    for image in good:
        defective, (y, x) = scratched(image)
        found = detector.inspect(defective)
        assert found.verdict == "nok"
        box = found.defects[0]
        assert box.x - 12 <= x <= box.x + box.width + 12 and box.y - 12 <= y <= box.y + box.height + 12
    corner = good[0].copy()
    corner[:6, :6] = 60
    assert detector.inspect(corner).score == pytest.approx(detector.inspect(good[0]).score, abs=0.03), "background"


def test_missing_and_wrong_parts_are_rejected(detector, draw):
    image = bolt(draw, 200)
    background = draw(height=160, width=160)
    half = background.copy()
    half[:, :80] = image[:, :80]
    for wrong in (background, half, draw((80, 80, 30, 60), height=160, width=160), np.zeros_like(image)):
        assert detector.inspect(wrong).verdict == "nok"


@pytest.mark.parametrize(
    "options",
    [
        ExportOptions("onnx", "inspection"),
        ExportOptions("onnx", "network"),
        ExportOptions("openvino", "inspection", precision="fp32"),
        ExportOptions("openvino", "inspection", precision="fp16"),
    ],
    ids=lambda options: f"{options.format}-{options.graph}-{options.precision}",
)
def test_exported_files_align_alike(run, detector, options, draw, tmp_path):
    result = export(run, tmp_path / f"bolt{options.export_format.suffix}", options)
    assert result.parity.all_verdicts_equal
    loaded = Detector.load(result.path)
    assert loaded.frame == detector.frame
    image, _ = scratched(bolt(draw, 300))
    assert loaded.inspect(image).score == pytest.approx(detector.inspect(image).score, rel=0.02)


def test_parts_are_left_as_they_are_without_the_setting(run, tmp_path):
    settings = {**SETTINGS, "resolution": 64, "align": False}
    left = train(Config(dataset_path=str(run.parents[1]), **settings), runs=tmp_path)
    assert Detector.load(left.folder).frame.alignment is None

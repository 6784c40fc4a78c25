import csv
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssim_ae import find_dataset
from ssim_ae.cli import main
from ssim_ae.detector import predictions
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.overlay import VERDICT_COLORS
from ssim_ae.errors import InputError
from ssim_ae.images.colors import MASK_OUTLINE_COLOR
from ssim_ae.images.files import read_image

COLUMNS = "path,verdict,score,defect_share,error,threshold,defects,ssim_threshold,l1_threshold,detector,time"
COLUMNS += ",milliseconds,overlay,distance_threshold,damage_threshold,absence_threshold"


@pytest.fixture
def image(fabric_folder, tmp_path, monkeypatch):
    """An image that the tiny detector finds defective, part.png in the working folder."""
    monkeypatch.chdir(tmp_path)
    pixels = read_image(fabric_folder / "test" / "good" / "000.png").copy()
    pixels[20:40, 10:30] = 0
    Image.fromarray(pixels).resize((130, 90)).save("part.png")
    return Path("part.png")


def rows(name: str) -> list[dict]:
    return json.loads(Path(name).read_text())


def test_a_row_has_boxes_thresholds_fingerprint_and_time(tiny_run, detector, image, capsys):
    before = datetime.now(UTC)
    folder = str(tiny_run.folder)
    assert main(["predict", folder, "part.png", "missing.png", "--csv", "t.csv", "--json", "t.json"]) == 2
    row, failed = rows("t.json")
    inspection = detector.inspect(image)
    assert list(row) == list(failed) == COLUMNS.split(",")
    assert (row["verdict"], row["score"], row["error"]) == ("nok", inspection.score, "")
    assert row["defects"] == [vars(box) for box in inspection.defects] and row["defects"]
    box = row["defects"][0]
    assert inspection.anomaly_map[box["y"] :, box["x"] :][: box["height"], : box["width"]].max() == row["score"]
    assert (row["ssim_threshold"], row["l1_threshold"], row["threshold"]) == (*detector.thresholds.values(), 1)
    assert row["detector"] == failed["detector"] == read_detector(tiny_run.detector_path).fingerprint != ""
    for time in (row["time"], failed["time"]):
        assert before - timedelta(seconds=1) <= datetime.fromisoformat(time) <= datetime.now(UTC)
    assert row["milliseconds"] > 0 and failed["milliseconds"] is None
    assert (failed["verdict"], failed["score"], failed["defects"]) == ("error", None, [])
    assert "missing.png: no such file" in failed["error"]
    with Path("t.csv").open(newline="") as table:
        first, second = csv.DictReader(table)
    assert json.loads(first.pop("defects")) == row.pop("defects") and json.loads(second["defects"]) == []
    assert first == {key: "" if value is None else str(value) for key, value in row.items()}


def test_another_threshold_makes_another_fingerprint(tiny_run, tmp_path):
    target = tmp_path / "other.safetensors"
    thresholds = ["--ssim_threshold", "0.5", "--l1_threshold", "0.5"]
    assert main(["threshold", str(tiny_run.folder), *thresholds, "--force", "--output", str(target)]) == 0
    assert read_detector(target).fingerprint != read_detector(tiny_run.detector_path).fingerprint


def test_the_threshold_scale_changes_verdict_boxes_overlay_and_row(tiny_run, detector, image, capsys):
    score = detector.inspect(image).score
    below, above = f"{score * 0.99:.4f}", f"{score * 1.01:.4f}"
    found = {}
    for scale in ("1", below, above):
        arguments = ["part.png", "--threshold-scale", scale, "--json", "t.json", "--overlays", "out"]
        assert main(["predict", str(tiny_run.folder), *arguments, "--fail-on-nok"]) == (scale != above)
        found[scale] = rows("t.json")[0], read_image(Path("out/part_overlay.png"))
    assert [row["verdict"] for row, _ in found.values()] == ["nok", "nok", "ok"]
    assert [row["score"] for row, _ in found.values()] == [score] * 3
    assert found[above][0]["defects"] == [] and found[above][0]["defect_share"] == 0
    assert 0 < found[below][0]["defect_share"] < found["1"][0]["defect_share"]
    assert found[below][0]["threshold"] == float(below)
    outlined = [(picture[:90] == MASK_OUTLINE_COLOR).all(axis=2).sum() for _, picture in found.values()]
    assert outlined[0] > 0 and outlined[2] == 0
    for name, (row, picture) in found.items():
        assert (picture[90:] == VERDICT_COLORS[row["verdict"]]).all(axis=2).mean() > 0.3, name


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf", "8.01", "0.1"])
def test_the_threshold_scale_is_checked(tiny_run, image, capsys, scale):
    assert main(["predict", str(tiny_run.folder), "part.png", f"--threshold_scale={scale}"]) == 2
    assert "--threshold_scale: should be from 0.125 to 8" in capsys.readouterr().err


@pytest.mark.parametrize("shape", [(600, 900), (40, 30), (3, 200), (300, 3), (1, 1)])
def test_the_overlay_has_the_image_and_a_line_below(detector, shape):
    pixels = np.full((*shape, 3), 90, np.uint8)
    pixels[shape[0] // 3 : shape[0] // 2 + 1, shape[1] // 3 : shape[1] // 2 + 1] = 255
    inspection = detector.inspect(pixels).at(0.2)
    drawn = inspection.overlay
    height, width = shape
    assert drawn.shape[0] > height and drawn.shape[1:] == (width, 3) and drawn.dtype == np.uint8
    outline = (drawn[:height] == MASK_OUTLINE_COLOR).all(axis=2)
    assert not (outline & ~inspection.mask).any()
    assert np.array_equal(drawn[:height][~outline], inspection.heatmap[~outline])


def test_outlines_are_as_sharp_as_the_image(detector, rng):
    pixels = rng.integers(0, 255, (700, 500, 3), np.uint8)
    drawn = detector.inspect(pixels).at(0.3).overlay[:700]
    outline = (drawn == MASK_OUTLINE_COLOR).all(axis=2)
    reddish = (drawn[:, :, 0].astype(int) - drawn[:, :, 1] > 100) & (drawn[:, :, 2] < 100)
    assert outline.sum() > 1000 and outline.sum() >= (reddish & outline).sum()


def test_no_output_replaces_an_input_or_a_foreign_file(tiny_run, image, capsys):
    shutil.copy(image, "part_overlay.png")
    shutil.copy(image, "table.csv")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    for options in (
        ["part.png", "--overlays", "."],
        ["part.png", "part_overlay.png", "--overlays", "."],
        [".", "--overlays", "."],
        ["part.png", "--csv", "part.png"],
        ["part.png", "--csv", "table.csv"],
        ["part.png", "--json", "PART.png"],
        ["part.png", "--csv", "one", "--json", "one"],
        ["part.png", "--csv", "out/part_overlay.png", "--overlays", "out"],
        ["part.png", "--csv", str(tiny_run.detector_path)],
        ["part.png", "--overlays", "table.csv"],
    ):
        assert main(["predict", str(tiny_run.folder), *options]) == 2
        out, err = capsys.readouterr()
        *notes, error = err.splitlines()
        assert out == "" and error.startswith("ssim-ae: ") and all(note.startswith("note: ") for note in notes), options
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_earlier_outputs_are_replaced(tiny_run, image, capsys):
    arguments = ["predict", str(tiny_run.folder), "part.png", "--csv", "t.csv", "--json", "t.json", "--overlays", "o"]
    assert main(arguments) == 0 and main([*arguments, "--threshold_scale=2"]) == 0
    assert rows("t.json")[0]["threshold"] == 2
    assert main(["predict", str(tiny_run.folder), "o", "--overlays", "p"]) == 2, "overlays are no images of parts"


def test_overlays_beside_their_images_are_no_images(tiny_run, image, capsys):
    shutil.copy(image, "own_overlay.png")
    arguments = ["predict", str(tiny_run.folder), ".", "--overlays", "."]
    for earlier in (0, 2):
        assert main(arguments) == 0
        out, err = capsys.readouterr()
        assert [line.split()[-1] for line in out.splitlines()] == ["own_overlay.png", "part.png"]
        skipped = "skipped: 2 overlays written by ssim-ae (own_overlay_overlay.png, part_overlay.png)"
        assert (skipped in err) == bool(earlier)
    assert [path.name for path in find_dataset(".").good] == ["own_overlay.png", "part.png"]


def test_a_long_name_costs_no_verdict(tiny_run, image, capsys):
    shutil.copy(image, "n" * 229 + ".png")
    assert main(["predict", str(tiny_run.folder), "part.png", "n" * 229 + ".png", "--overlays", "out"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(list(Path("out").iterdir())) == 2
    assert main(["predict", str(tiny_run.folder), "part.png", "n" * 300 + ".png"]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 and "File name too long" in err


def test_an_overlay_that_cannot_be_written_costs_no_verdict(tiny_run, image, capsys, monkeypatch):
    shutil.copy(image, "other.png")

    def write(path, data):
        if path.name == "part_overlay.png":
            raise InputError(f"{path}: cannot be written: No space left on device")

    monkeypatch.setattr(predictions, "write_atomic", write)
    arguments = ["part.png", "other.png", "--overlays", "out", "--json", "t.json"]
    assert main(["predict", str(tiny_run.folder), *arguments]) == 2
    out, err = capsys.readouterr()
    assert (
        len(out.splitlines()) == 2
        and err == "error  out/part_overlay.png: cannot be written: No space left on device\n"
    )
    failed, other = rows("t.json")
    assert (failed["verdict"], failed["overlay"]) == ("nok", "") and "No space left" in failed["error"]
    assert (other["error"], other["overlay"]) == ("", "other_overlay.png")


@pytest.mark.parametrize("name", ["line\nbreak.png", "\x1b[2J.png", "\udcff\udcfe.png", "50%#1.png", "a;b,\"c'.png"])
def test_odd_names_are_in_valid_tables(tiny_run, image, capsys, name):
    shutil.copy(image, name)
    assert main(["predict", str(tiny_run.folder), ".", "--csv", "t.csv", "--json", "t.json", "--overlays", "o"]) == 0
    with Path("t.csv").open(newline="", encoding="utf-8") as table:
        paths = {row["path"] for row in csv.DictReader(table)}
    assert paths == {"part.png", name.encode(errors="backslashreplace").decode()}
    assert {row["path"] for row in rows("t.json")} == {"part.png", name}
    assert {row["overlay"] for row in rows("t.json")} == {path.name for path in Path("o").iterdir()}

import csv
import json
import shutil
from math import isnan

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from ssim_ae import Detector, InputError, evaluate, find_dataset
from ssim_ae.evaluation.pictures import choose
from ssim_ae.evaluation.results import Case, summarise
from ssim_ae.evaluation.table import print_table
from ssim_ae.images.files import read_image, read_mask, write_png
from ssim_ae.images.folders import ALL
from ssim_ae.images.folders import TestImage as Image


@pytest.fixture(scope="session")
def evaluated(tiny_run, fabric_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    detector = Detector.load(tiny_run.folder, device_target="CPU")
    return detector, evaluate(detector, find_dataset(fabric_folder), folder), folder


def case(defect: str, score: float, truth: np.ndarray | None = None, size: int = 16) -> Case:
    anomaly = np.zeros((size, size), np.float32)
    anomaly[:4, :4] = score
    if defect == "good":
        truth = np.zeros((size, size), bool)
    return Case(Image(f"{defect}-{score}.png", defect), score, anomaly, truth)


def test_figures_agree_with_independent_ones(evaluated):
    _, evaluation, _ = evaluated
    whole = evaluation.figures[ALL]
    scores = [case.score for case in evaluation.cases]
    defective = [case.image.defect != "good" for case in evaluation.cases]
    maps = np.stack([case.anomaly for case in evaluation.cases]).ravel()
    truth = np.stack([case.truth for case in evaluation.cases]).ravel()
    assert whole.image_auroc.value == pytest.approx(roc_auc_score(defective, scores))
    assert whole.pixel_auroc.value == pytest.approx(roc_auc_score(truth, maps))
    assert whole.pixel_f1.value == pytest.approx(f1_score(truth, maps > 1, zero_division=0))
    right = [(score > 1) == bad for score, bad in zip(scores, defective, strict=True)]
    assert whole.avg.value == pytest.approx(np.mean(right))
    assert (whole.good, whole.defective) == (4, 6)
    for figure in (whole.ok, whole.nok, whole.avg, whole.image_auroc, whole.pixel_auroc, whole.au_pro_30):
        assert figure.low <= figure.value <= figure.high


def test_pixel_rates_are_the_references(evaluated):
    _, evaluation, _ = evaluated
    maps = np.stack([case.anomaly for case in evaluation.cases]) > 1
    truth = np.stack([case.truth for case in evaluation.cases])
    assert evaluation.pixels.ok == pytest.approx(np.mean(~maps[~truth]))
    assert evaluation.pixels.nok == pytest.approx(np.mean(maps[truth]))
    assert evaluation.pixels.avg == pytest.approx(np.mean(maps == truth))


def test_the_last_line_is_the_references(evaluated):
    _, evaluation, _ = evaluated
    whole = evaluation.figures[ALL]
    line = evaluation.reference_line()
    assert line == f"ok: {whole.ok.value}, nok: {whole.nok.value}, avg: {whole.avg.value}"
    assert evaluation.reference_line(image_level=False).startswith(f"AUC: {whole.pixel_auroc.value}, ok: ")


def test_figures_are_written_as_json_and_csv(evaluated):
    _, evaluation, folder = evaluated
    document = json.loads((folder / "figures.json").read_text())
    assert document["figures"]["all"]["ok"]["value"] == evaluation.figures[ALL].ok.value
    assert document["images"]["hole/000"]["score"] > 0
    rows = list(csv.DictReader((folder / "figures.csv").read_text().splitlines()))
    found = next(row for row in rows if row["type"] == "all" and row["figure"] == "image_auroc")
    assert float(found["value"]) == pytest.approx(evaluation.figures[ALL].image_auroc.value, abs=1e-6)
    assert {row["type"] for row in rows} == {"colour", "cut", "displaced", "hole", "stain", "thread", "all"}


def test_pictures_of_every_image_and_one_sheet(evaluated):
    detector, evaluation, folder = evaluated
    pictures = sorted(path.name for path in (folder / "images" / "hole").iterdir())
    kinds = ("levels.png", "origin.png", "rec.png", "residual.png", "small.jpg", "visual.png")
    assert pictures == [f"000_{kind}" for kind in kinds]
    mask = read_mask(folder / "images" / "hole" / "000_residual.png")
    shown = next(case for case in evaluation.cases if case.image.name == "hole/000")
    assert np.array_equal(mask, shown.anomaly > 1)
    origin = read_image(folder / "images" / "hole" / "000_origin.png")
    assert np.array_equal(origin, detector.inspect(shown.image.path).inspected)
    assert read_image(folder / "contact_sheet.png").shape[1] > 1000


def test_the_table_is_printed(evaluated, capsys):
    print_table(evaluated[1])
    printed = capsys.readouterr().out
    assert "AUROC" in printed and "displaced" in printed and "4 good" in printed


def test_worst_mistakes_come_first():
    mask = np.eye(16, dtype=bool)
    cases = [case("good", 1.1), case("good", 0.9), case("hole", 0.2, mask), case("hole", 5, mask), case("good", 0.1)]
    assert [(one.image.defect, one.score) for one in choose(cases)] == [
        ("hole", 0.2),
        ("good", 1.1),
        ("good", 0.9),
        ("hole", 5),
        ("good", 0.1),
    ]


@pytest.mark.parametrize("defect", ["good", "hole"])
def test_a_missing_class_gives_no_figure_rather_than_a_wrong_one(defect):
    evaluation = summarise([case(defect, 0.5, np.eye(16, dtype=bool)) for _ in range(3)], "x")
    whole = evaluation.figures[ALL]
    assert isnan(whole.image_auroc.value) and isnan(whole.balanced_accuracy.value)
    assert isnan(whole.nok.value if defect == "good" else whole.ok.value)
    print_table(evaluation)


def test_defects_without_ground_truth_are_left_out_of_the_pixel_figures():
    evaluation = summarise([case("good", 0.5), case("hole", 2), case("cut", 3, np.eye(16, dtype=bool))], "x")
    assert "1 defective images have no ground truth" in evaluation.notes[0]
    assert isnan(evaluation.figures["hole"].pixel_auroc.value)
    assert not isnan(evaluation.figures["cut"].pixel_auroc.value)
    assert evaluation.figures[ALL].nok.value == 1


def test_an_empty_mask_is_no_region():
    evaluation = summarise([case("good", 0.5), case("hole", 2, np.zeros((16, 16), bool))], "x")
    assert isnan(evaluation.figures[ALL].pixel_auroc.value)


def test_images_the_detector_was_made_from_are_left_out(tiny_run, fabric_folder, tmp_path):
    for kind in ("good", "hole"):
        shutil.copytree(fabric_folder / "test" / kind, tmp_path / "test" / kind)
    learned = sorted((fabric_folder / "train" / "good").iterdir())[0]
    shutil.copytree(fabric_folder / "train", tmp_path / "train")
    shutil.copy(learned, tmp_path / "test" / "good" / "again.png")
    evaluation = evaluate(Detector.load(tiny_run.folder, device_target="CPU"), tmp_path)
    assert evaluation.figures[ALL].good == 4
    assert "1 test images left out: the detector was made from them" in evaluation.notes


def test_a_mask_of_other_proportions_is_left_out(tiny_run, fabric_folder, tmp_path):
    copy = shutil.copytree(fabric_folder, tmp_path / "copy")
    write_png(copy / "ground_truth" / "hole" / "000_mask.png", np.ones((64, 32), bool))
    evaluation = evaluate(Detector.load(tiny_run.folder, device_target="CPU"), copy)
    assert any("32 x 64 px for an image of 64 x 64" in text for text in evaluation.notes)
    assert isnan(evaluation.figures["hole"].pixel_auroc.value)


def test_an_empty_mask_of_a_defective_image_is_left_out(tiny_run, fabric_folder, tmp_path):
    copy = shutil.copytree(fabric_folder, tmp_path / "copy")
    for mask, drawn in (("hole", np.zeros((64, 64), bool)), ("cut", np.eye(2, dtype=bool).repeat(32, 0).repeat(32, 1))):
        if (copy / "ground_truth" / mask).is_dir():
            write_png(copy / "ground_truth" / mask / "000_mask.png", drawn)
    evaluation = evaluate(Detector.load(tiny_run.folder, device_target="CPU"), copy)
    assert any("hole/000_mask.png: says of a defective image that no pixel is" in text for text in evaluation.notes)
    assert isnan(evaluation.figures["hole"].pixel_auroc.value)


def test_two_images_of_one_name_are_refused(tiny_run, fabric_folder, tmp_path):
    copy = shutil.copytree(fabric_folder, tmp_path / "copy")
    shutil.copytree(copy / "test" / "good", copy / "test" / "Good")
    with pytest.raises(InputError, match="two images are named good/"):
        evaluate(Detector.load(tiny_run.folder, device_target="CPU"), copy)

import csv
import json
import shutil
from math import isnan

import numpy as np
import pytest
from PIL import ImageDraw
from sklearn.metrics import f1_score, roc_auc_score

from ssim_ae import Detector, InputError, evaluate, find_dataset
from ssim_ae.evaluation.contact_sheet import select_results, write_contact_sheet
from ssim_ae.evaluation.pixel_metrics import PixelCounts, PixelGroups
from ssim_ae.evaluation.results import Evaluation, ImageResult, summarize
from ssim_ae.evaluation.table import print_metrics
from ssim_ae.images.files import read_image, write_png
from ssim_ae.images.folders import ALL
from ssim_ae.images.folders import TestImage as Image
from ssim_ae.images.masks import read_mask

NO_DEFECT = np.zeros((16, 16), bool)


@pytest.fixture(scope="session")
def evaluated(tiny_run, fabric_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    detector = Detector.load(tiny_run.folder, device_target="CPU")
    return detector, evaluate(detector, find_dataset(fabric_folder), folder), folder


def make_result(defect: str, score: float, *, has_ground_truth: bool = True) -> ImageResult:
    return ImageResult(Image(f"{defect}-{score}.png", defect), score, has_ground_truth, (16, 16))


def summary_of(*images: tuple[str, float, np.ndarray | None]) -> Evaluation:
    """Summarize results of (type, score, ground truth) with the score in a corner of a map of 16 px."""
    pixels = PixelGroups([defect for defect, _, _ in images])
    for defect, score, mask in images:
        if mask is not None:
            anomaly = np.zeros((16, 16), np.float32)
            anomaly[:4, :4] = score
            pixels.add(defect, PixelCounts.of(anomaly, mask))
    results = [make_result(defect, score, has_ground_truth=mask is not None) for defect, score, mask in images]
    return summarize(results, pixels, "x")


def maps_and_truth(evaluated) -> tuple[np.ndarray, np.ndarray]:
    """Inspect the test images again, and return their anomaly maps and ground truth, both (images, H, W)."""
    detector, evaluation, _ = evaluated
    images = [result.image for result in evaluation.results]
    maps = np.stack([detector.inspect(image.path).anomaly for image in images])
    no_mask = np.zeros(maps[0].shape, bool)
    masks = [detector.view.crop_mask(read_mask(image.mask).pixels) if image.mask else no_mask for image in images]
    return maps, np.stack(masks)


def test_metrics_agree_with_scikit_learn(evaluated):
    _, evaluation, _ = evaluated
    total = evaluation.metrics[ALL]
    scores = [result.score for result in evaluation.results]
    defective = [result.image.defect != "good" for result in evaluation.results]
    maps, truth = (arrays.ravel() for arrays in maps_and_truth(evaluated))
    assert total.image_auroc.value == pytest.approx(roc_auc_score(defective, scores))
    assert total.pixel_auroc.value == pytest.approx(roc_auc_score(truth, maps), abs=1e-4)
    assert total.pixel_f1.value == pytest.approx(f1_score(truth, maps > 1, zero_division=0))
    correct = [(score > 1) == label for score, label in zip(scores, defective, strict=True)]
    assert total.avg.value == pytest.approx(np.mean(correct))
    assert (total.good, total.defective) == (4, 6)
    for estimate in (total.ok, total.nok, total.avg, total.image_auroc, total.pixel_auroc, total.au_pro_30):
        assert estimate.low <= estimate.value <= estimate.high


def test_pixel_accuracy_agrees_with_numpy(evaluated):
    _, evaluation, _ = evaluated
    maps, truth = maps_and_truth(evaluated)
    masks = maps > 1
    assert evaluation.pixels.ok == pytest.approx(np.mean(~masks[~truth]))
    assert evaluation.pixels.nok == pytest.approx(np.mean(masks[truth]))
    assert evaluation.pixels.avg == pytest.approx(np.mean(masks == truth))


def test_the_last_line_has_the_format_of_the_reference(evaluated):
    _, evaluation, _ = evaluated
    total = evaluation.metrics[ALL]
    line = evaluation.reference_line()
    assert line == f"ok: {total.ok.value}, nok: {total.nok.value}, avg: {total.avg.value}"
    assert evaluation.reference_line(image_level=False).startswith(f"AUC: {total.pixel_auroc.value}, ok: ")


def test_metrics_are_written_as_json_and_csv(evaluated):
    _, evaluation, folder = evaluated
    document = json.loads((folder / "metrics.json").read_text())
    assert document["metrics"]["all"]["ok"]["value"] == evaluation.metrics[ALL].ok.value
    assert document["images"]["hole/000"]["score"] > 0
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    image_auroc = next(row for row in rows if row["defect_type"] == "all" and row["metric"] == "image_auroc")
    assert float(image_auroc["value"]) == pytest.approx(evaluation.metrics[ALL].image_auroc.value, abs=1e-6)
    assert {row["defect_type"] for row in rows} == {"color", "cut", "displaced", "hole", "stain", "thread", "all"}


def test_image_files_and_contact_sheet_are_written(evaluated):
    detector, evaluation, folder = evaluated
    names = sorted(path.name for path in (folder / "images" / "hole").iterdir())
    kinds = ("image.jpg", "levels.png", "origin.png", "rec.png", "residual.png", "small.jpg", "visual.png")
    assert names == [f"000_{kind}" for kind in kinds]
    mask = read_mask(folder / "images" / "hole" / "000_residual.png").pixels
    hole = next(result for result in evaluation.results if result.image.name == "hole/000")
    inspection = detector.inspect(hole.image.path)
    assert np.array_equal(mask, inspection.anomaly > 1)
    origin = read_image(folder / "images" / "hole" / "000_origin.png")
    assert np.array_equal(origin, inspection.inspected)
    assert read_image(folder / "contact_sheet.png").shape[1] > 1000


def test_the_table_is_printed(evaluated, capsys):
    print_metrics(evaluated[1])
    printed = capsys.readouterr().out
    assert "AUROC" in printed and "displaced" in printed and "4 good" in printed


def test_the_contact_sheet_starts_with_the_largest_errors():
    scored = [("good", 1.1), ("good", 0.9), ("hole", 0.2), ("hole", 5), ("good", 0.1)]
    results = [make_result(defect, score) for defect, score in scored]
    assert [(result.image.defect, result.score) for result in select_results(results)] == [
        ("hole", 0.2),
        ("good", 1.1),
        ("good", 0.9),
        ("hole", 5),
        ("good", 0.1),
    ]


@pytest.mark.parametrize("defect", ["good", "hole"])
def test_metrics_are_nan_if_a_class_is_missing(defect):
    mask = np.eye(16, dtype=bool) if defect == "hole" else NO_DEFECT
    evaluation = summary_of(*[(defect, 0.5, mask)] * 3)
    total = evaluation.metrics[ALL]
    assert isnan(total.image_auroc.value) and isnan(total.balanced_accuracy.value)
    assert isnan(total.nok.value if defect == "good" else total.ok.value)
    print_metrics(evaluation)


def test_images_without_ground_truth_are_excluded_from_pixel_metrics():
    evaluation = summary_of(("good", 0.5, NO_DEFECT), ("hole", 2, None), ("cut", 3, np.eye(16, dtype=bool)))
    assert "1 defective image without ground truth" in evaluation.notes[0]
    assert isnan(evaluation.metrics["hole"].pixel_auroc.value)
    assert not isnan(evaluation.metrics["cut"].pixel_auroc.value)
    assert evaluation.metrics[ALL].nok.value == 1


def test_pixel_metrics_are_nan_if_all_masks_are_empty():
    evaluation = summary_of(("good", 0.5, NO_DEFECT), ("hole", 2, NO_DEFECT))
    assert isnan(evaluation.metrics[ALL].pixel_auroc.value)


def test_training_images_are_skipped(tiny_run, fabric_folder, tmp_path):
    for kind in ("good", "hole"):
        shutil.copytree(fabric_folder / "test" / kind, tmp_path / "test" / kind)
    training_image = sorted((fabric_folder / "train" / "good").iterdir())[0]
    shutil.copytree(fabric_folder / "train", tmp_path / "train")
    shutil.copy(training_image, tmp_path / "test" / "good" / "copy.png")
    evaluation = evaluate(Detector.load(tiny_run.folder, device_target="CPU"), tmp_path)
    assert evaluation.metrics[ALL].good == 4
    assert "1 test image skipped: training or held-out images of the detector" in evaluation.notes


def test_the_reason_is_given_if_no_image_can_be_evaluated(detector, fabric_folder, tmp_path):
    known, broken = tmp_path / "known" / "bad", tmp_path / "broken" / "bad"
    shutil.copytree(fabric_folder / "train" / "good", known)
    with pytest.raises(InputError, match=r"known: 10 test images skipped: training or held-out images of the detector"):
        evaluate(detector, known.parent)
    broken.mkdir(parents=True)
    (broken / "0.png").write_bytes(b"GIF89a")
    with pytest.raises(InputError, match=r"broken: none of the images can be evaluated; .*0\.png: not an image"):
        evaluate(detector, broken.parent)


def test_a_mask_with_another_aspect_ratio_is_ignored(tiny_run, fabric_folder, tmp_path):
    copy = shutil.copytree(fabric_folder, tmp_path / "copy")
    write_png(copy / "ground_truth" / "hole" / "000_mask.png", np.ones((64, 32), bool))
    evaluation = evaluate(Detector.load(tiny_run.folder, device_target="CPU"), copy)
    assert any("32 x 64 px for an image of 64 x 64 px; ground truth ignored" in text for text in evaluation.notes)
    assert isnan(evaluation.metrics["hole"].pixel_auroc.value)


def test_an_empty_mask_of_a_defective_image_is_ignored(tiny_run, fabric_folder, tmp_path):
    copy = shutil.copytree(fabric_folder, tmp_path / "copy")
    for mask, drawn in (("hole", np.zeros((64, 64), bool)), ("cut", np.eye(2, dtype=bool).repeat(32, 0).repeat(32, 1))):
        if (copy / "ground_truth" / mask).is_dir():
            write_png(copy / "ground_truth" / mask / "000_mask.png", drawn)
    evaluation = evaluate(Detector.load(tiny_run.folder, device_target="CPU"), copy)
    expected = "hole/000_mask.png: no defective pixel in the mask of a defective image; ground truth ignored"
    assert any(expected in text for text in evaluation.notes)
    assert isnan(evaluation.metrics["hole"].pixel_auroc.value)


def test_two_images_with_the_same_name_are_an_error(tiny_run, fabric_folder, tmp_path):
    copy = shutil.copytree(fabric_folder, tmp_path / "copy")
    shutil.copytree(copy / "test" / "good", copy / "test" / "Good")
    with pytest.raises(InputError, match="two images have the name good/"):
        evaluate(Detector.load(tiny_run.folder, device_target="CPU"), copy)


def drawn_texts(monkeypatch, folder, results) -> list[str]:
    """Draw a contact sheet and return the texts on it."""
    texts = []
    draw = ImageDraw.ImageDraw.text

    def recorded(self, position, text, *arguments, **keywords):
        texts.append(text)
        draw(self, position, text, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(ImageDraw.ImageDraw, "text", recorded)
        write_contact_sheet(folder, results, results, "title")
    return texts


def test_the_contact_sheet_names_only_what_it_shows(evaluated, monkeypatch):
    _, evaluation, folder = evaluated
    texts = drawn_texts(monkeypatch, folder, evaluation.results)
    assert "ground truth" in texts and "mask, ground truth" in texts
    assert any(text.startswith("title: 10 images, errors: ") for text in texts)
    good = [result for result in evaluation.results if not result.defective]
    texts = drawn_texts(monkeypatch, folder, good)
    assert not any("ground truth" in text for text in texts) and "mask" in texts
    assert any(text.startswith("title: 4 good images, false alarms: ") for text in texts)
    assert any(text.startswith("title: 1 good image, ") for text in drawn_texts(monkeypatch, folder, good[:1]))

"""Regions: what is ignored or more sensitive, in every place that inspects."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ssim_ae import Config, Detector, InputError, train
from ssim_ae.alignment.frame import Frame
from ssim_ae.calibration.suspects import NAMED_DISTANCE, measure_distances
from ssim_ae.calibration.thresholds import percentiles
from ssim_ae.checked_files import read_tensors, write_tensors
from ssim_ae.cli import main
from ssim_ae.detectability import measure
from ssim_ae.detector.detector_file import header, read_detector, write_detector
from ssim_ae.detector.regions import Region, Regions, inside
from ssim_ae.detector.regions_file import read_regions
from ssim_ae.evaluation.evaluate import evaluate
from ssim_ae.export.export import export
from ssim_ae.export.options import ExportOptions
from ssim_ae.images.files import encode_png, image_size
from ssim_ae.images.size import Size
from ssim_ae.images.view import View
from ssim_ae.maps.residuals import Residuals
from ssim_ae.training.add_images import add_images
from ssim_ae.training.learner import Addition

LEFT = [[0, 0], [50, 0], [50, 80], [0, 80]]  # of an image of 100 x 80 px
FRAME = Frame(View(Size(40, 50), Size(40, 50), 16), None, Size(40, 50))
COORDINATES = st.floats(-1, 9, allow_nan=False).map(lambda value: round(value, 2))


def document(**changes) -> dict:
    region = {"name": "label", "sensitivity": 0, "polygon": LEFT}
    return {"width": 100, "height": 80, "regions": [region]} | changes


def read(folder: Path, content: object, good: Size | None = None) -> Regions:
    path = folder / "regions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_regions(path, FRAME, good)


def is_inside(polygon, x: float, y: float) -> bool:
    """Whether a ray to the right crosses the border an odd number of times."""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if (y0 <= y) != (y1 <= y):
            crossings += x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0))
    return crossings % 2 == 1


@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=7))
def test_a_pixel_is_inside_if_its_center_is(polygon):
    expected = [[is_inside(polygon, x + 0.5, y + 0.5) for x in range(8)] for y in range(6)]
    assert np.array_equal(inside(polygon, 6, 8), expected)


def test_a_self_crossing_polygon_follows_the_even_odd_rule():
    twice = [(0, 0), (6, 0), (6, 6), (0, 6), (0, 0), (3, 0), (3, 6), (0, 6)]
    assert np.array_equal(inside(twice, 6, 6), np.tile([False] * 3 + [True] * 3, (6, 1)))


def test_polygons_are_relative_to_the_image_and_the_last_one_counts(tmp_path):
    inner = {"sensitivity": 2, "polygon": [[20, 20], [40, 20], [40, 40], [20, 40]]}
    sensitivity = read(tmp_path, document(regions=[*document()["regions"], inner])).sensitivity(FRAME)
    assert not sensitivity[:, :10].any() and (sensitivity[:, 25:] == 1).all()
    assert (sensitivity[10:20, 10:20] == 2).all() and (sensitivity == 2).sum() == 100
    cropped = Frame(View(Size(40, 50), Size(20, 30), 16), None, Size(20, 30))
    assert np.array_equal(read(tmp_path, document()).sensitivity(cropped)[0], [0] * 15 + [1] * 15)


def test_only_the_inside_is_inspected_if_elsewhere_is_ignored(tmp_path):
    regions = read(tmp_path, document(elsewhere=0, regions=[{"sensitivity": 1, "polygon": LEFT}]))
    assert np.array_equal(regions.sensitivity(FRAME)[0], [1] * 25 + [0] * 25)


@pytest.mark.parametrize("scale", [1, 3])
def test_the_dark_half_of_a_mask_is_ignored(tmp_path, scale):
    mask = np.full((40 * scale, 50 * scale), 128, np.uint8)
    mask[:, : 10 * scale] = 127
    Image.fromarray(mask).save(tmp_path / "mask.png")
    regions = read_regions(tmp_path / "mask.png", FRAME, Size(80, 100))
    assert np.array_equal(regions.sensitivity(FRAME)[7], [0] * 10 + [1] * 40)
    assert Regions.model_validate(json.loads(regions.model_dump_json())) == regions


FAULTS = {
    "outside of the image": document(regions=[{"sensitivity": 0, "polygon": [[0, 0], [101, 0], [9, 9]]}]),
    "at least 3": document(regions=[{"sensitivity": 0, "polygon": [[0, 0], [9, 0]]}]),
    "all of the image is ignored": document(elsewhere=0),
    "unknown; known are": document(regions=[{"sensitivity": 0, "polygon": LEFT, "color": "red"}]),
    "shape: unknown": document(shape="round"),
    "no regions": document(regions=[]),
    "sensitivity: field required": document(regions=[{"polygon": LEFT}]),
    "less than or equal to 10": document(regions=[{"sensitivity": 11, "polygon": LEFT}]),
    "greater than or equal to 0": document(regions=[{"sensitivity": -1, "polygon": LEFT}]),
    "finite number": json.dumps(document()).replace("50", "1e999"),
    "for images of 80 x 80 px, but the good images have 100 x 80 px": document(width=80),
    "not a JSON file": "{",
    "the document": "[]",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_file_is_an_error_in_one_line(tmp_path, fault):
    with pytest.raises(InputError, match=fault) as raised:
        read(tmp_path, FAULTS[fault], Size(80, 100))
    assert "\n" not in str(raised.value) and str(raised.value).startswith(str(tmp_path / "regions.json"))


def test_a_wrong_mask_is_an_error_in_one_line(tmp_path):
    path = tmp_path / "mask.png"
    for content, fault in ((np.zeros((80, 100)), "all of the image is ignored"), (np.ones((80, 80)), "draw it on")):
        Image.fromarray(content.astype(np.uint8)).save(path)
        with pytest.raises(InputError, match=f"mask.png: .*{fault}"):
            read_regions(path, FRAME, Size(80, 100))
    path.write_bytes(b"no image")
    for wrong in (path, tmp_path / "none.png", tmp_path / "none.json"):
        with pytest.raises(InputError, match=wrong.name):
            read_regions(wrong, FRAME, None)


def test_a_region_without_a_pixel_is_noted(tmp_path, capsys):
    tiny = {"name": "dot", "sensitivity": 0, "polygon": [[0, 0], [0.1, 0], [0, 0.1]]}
    read(tmp_path, document(regions=[tiny]))
    assert "region dot: outside of what is inspected" in capsys.readouterr().err


def half(side: str, sensitivity: float) -> Regions:
    start, stop = {"left": (0, 0.5), "right": (0.5, 1)}[side]
    polygon = [[start, 0], [stop, 0], [stop, 1], [start, 1]]
    return Regions(regions=[Region(name=side, sensitivity=sensitivity, polygon=polygon)])


@pytest.fixture(scope="module")
def defective(features_run) -> np.ndarray:
    image = np.asarray(Image.open(features_run.dataset.good[0]).convert("RGB")).copy()
    image[50:70, 20:40] = 255 - image[50:70, 20:40]
    return image


@pytest.mark.parametrize("fixture", ["features_run", "tiny_run"])
def test_the_anomaly_map_is_multiplied(request, fixture, defective):
    file = read_detector(request.getfixturevalue(fixture).detector_path)
    plain = Detector.from_file(file).inspect(defective)
    assert plain.sensitivity is None and plain.regions is None
    ignored = Detector.from_file(file._replace(regions=half("left", 0))).inspect(defective)
    middle = plain.anomaly.shape[1] // 2
    assert not ignored.anomaly[:, :middle].any() and ignored.score < plain.score
    if fixture == "features_run":  # without an opening and a minimum area
        doubled = Detector.from_file(file._replace(regions=half("left", 2))).inspect(defective)
        assert np.array_equal(doubled.anomaly[:, :middle], 2 * plain.anomaly[:, :middle])
        for inspection in (ignored, doubled):
            assert np.array_equal(inspection.anomaly[:, middle:], plain.anomaly[:, middle:])
        assert (plain.verdict, ignored.verdict) == ("nok", "ok")


def test_a_file_without_regions_has_no_key_and_one_with_them_another_fingerprint(features_run, tmp_path):
    file = read_detector(features_run.detector_path)
    assert "regions" not in header(file)
    fingerprints = {file.fingerprint}
    for index, regions in enumerate((half("left", 0), half("left", 2), half("right", 0))):
        write_detector(tmp_path / f"{index}", file._replace(regions=regions))
        again = read_detector(tmp_path / f"{index}")
        assert again.regions == regions
        fingerprints.add(again.fingerprint)
    assert len(fingerprints) == 4


@pytest.mark.parametrize(
    "regions",
    [{"elsewhere": 0.0}, {"mask": "x"}, {"mask": Regions.of_mask(np.ones((3, 3), bool)).mask}, {"a": 1}, [], 1],
)
def test_hostile_regions_in_a_file_are_an_error(features_run, tmp_path, regions):
    tensors, metadata = read_tensors(features_run.detector_path, "detector")
    write_tensors(tmp_path / "hostile", tensors, metadata | {"regions": regions})
    with pytest.raises(InputError, match="the header is corrupt"):
        read_detector(tmp_path / "hostile")


@pytest.mark.parametrize("fixture", ["features_run", "tiny_run"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("inspection.onnx", ExportOptions()),
        ("network.onnx", ExportOptions(graph="network")),
        ("inspection.xml", ExportOptions("openvino", precision="fp32")),
        ("network.xml", ExportOptions("openvino", graph="network", precision="fp32")),
    ],
)
def test_exported_files_respect_regions(request, tmp_path, defective, fixture, name, options):
    source = tmp_path / "detector.safetensors"
    regions = Regions(regions=[*half("left", 0).regions, *half("right", 1.5).regions])
    write_detector(source, read_detector(request.getfixturevalue(fixture).detector_path)._replace(regions=regions))
    result = export(source, tmp_path / name, options)
    assert result.parity is not None and result.parity.within_tolerance
    loaded, original = Detector.load(result.path), Detector.load(source)
    assert loaded.regions == original.regions == regions
    expected = original.inspect(defective)
    found = loaded.inspect(defective)
    assert found.verdict == expected.verdict and found.score == pytest.approx(expected.score, abs=1e-4)


def test_thresholds_are_estimated_with_the_regions_and_without_them_again(features_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    for path in features_run.folder.iterdir():
        if path.is_file():
            (run / path.name).write_bytes(path.read_bytes())
    good = features_run.dataset.good
    side = image_size(good[0])
    polygon = [[0, 0], [side.width / 2, 0], [side.width / 2, side.height], [0, side.height]]
    for sensitivity in (0, 2):
        region = {"name": "a", "sensitivity": sensitivity, "polygon": polygon}
        content = {"width": side.width, "height": side.height, "regions": [region]}
        (tmp_path / "regions.json").write_text(json.dumps(content))
        assert main(["threshold", str(run), "--regions", "regions.json"]) == 0
        assert read_detector(run / "detector.safetensors").regions.regions[0].sensitivity == sensitivity
    doubled = read_detector(run / "detector.safetensors").thresholds["distance"]
    assert main(["info", str(run)]) == 0
    assert "regions: a (sensitivity 2)" in capsys.readouterr().out
    assert main(["threshold", str(run), "--false_alarm_rate", "0.02"]) == 0  # keeps them
    assert read_detector(run / "detector.safetensors").regions is not None
    assert main(["threshold", str(run), "--regions", "none"]) == 0
    plain = read_detector(run / "detector.safetensors")
    assert plain.regions is None and plain.thresholds["distance"] < doubled
    assert str(tmp_path) not in json.dumps(header(plain))
    (tmp_path / "regions.json").write_text("{")
    assert main(["threshold", str(run), "--regions", "regions.json"]) == 2
    assert "not a JSON file" in capsys.readouterr().err


def test_ignored_pixels_do_not_count_and_images_with_defects_there_are_named(features_run):
    file = read_detector(features_run.detector_path)
    plain = evaluate(Detector.from_file(file), features_run.dataset)
    ignored = evaluate(Detector.from_file(file._replace(regions=half("left", 0))), features_run.dataset)
    total = plain.pixels.good + plain.pixels.defective
    assert ignored.pixels.good + ignored.pixels.defective == total // 2
    tiny = Regions(
        elsewhere=0.0, regions=[Region(sensitivity=1.0, polygon=[[0, 0], [0.01, 0], [0.01, 0.01], [0, 0.01]])]
    )
    blind = evaluate(Detector.from_file(file._replace(regions=tiny)), features_run.dataset)
    count = sum(image.defect != "good" for image in features_run.dataset.test)
    assert any(note.startswith(f"{count} defective images with defects in ignored regions") for note in blind.notes)


def test_defects_are_drawn_only_where_the_detector_looks(features_run, monkeypatch):
    file = read_detector(features_run.detector_path)
    config = file.config.replace(drawn_defects=4)
    centers = []
    draw = measure.draw_defect

    def recorded(*arguments):
        centers.append(arguments[4])
        return draw(*arguments)

    monkeypatch.setattr(measure, "draw_defect", recorded)
    detector = Detector.from_file(file._replace(config=config, regions=half("left", 0)))
    chart = measure.measure_detectability(detector, list(features_run.dataset.good[:3]))
    assert chart is not None and centers
    assert min(column for _, column in centers) >= 63


def test_a_run_is_trained_with_regions_keeps_them_and_shows_them(tiny_config, tmp_path, capsys):
    (tmp_path / "regions.json").write_text(
        json.dumps({"width": 64, "height": 64, "regions": [{"sensitivity": 0, "polygon": LEFT[:3]}]})
    )
    settings = tiny_config.replace(epochs=1)
    with pytest.raises(InputError, match="a point outside"):
        train(settings.replace(regions=str(tmp_path / "regions.json")), runs=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    polygon = [[0, 0], [32, 0], [32, 64], [0, 64]]
    (tmp_path / "regions.json").write_text(
        json.dumps({"width": 64, "height": 64, "regions": [{"sensitivity": 0, "polygon": polygon}]})
    )
    run = train(settings.replace(regions=str(tmp_path / "regions.json")), runs=tmp_path / "runs").folder
    regions = read_detector(run / "detector.safetensors").regions
    assert regions is not None and str(regions) == "unnamed (ignored)"
    (tmp_path / "regions.json").unlink()
    train(Config(), resume=run, add=Addition(epochs=1))
    assert read_detector(run / "detector.safetensors").regions == regions
    assert main(["report", str(run)]) == 0
    picture = next((run / "report").rglob("*_regions.png"))
    assert np.asarray(Image.open(picture))[0, [0, -1], 3].tolist() == [170, 0]
    assert '"has_regions": true' in (run / "report" / "index.html").read_text()


def test_added_images_are_calibrated_with_the_regions_of_the_detector(cloth_folder, features_run, tmp_path):
    good = sorted((cloth_folder / "train" / "good").iterdir())
    for folder, paths in (("first", good[:8]), ("more", good[8:12])):
        (tmp_path / folder).mkdir()
        for path in paths:
            (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    (tmp_path / "mask.png").write_bytes(encode_png(np.tile(np.arange(128) >= 64, (128, 1))))
    config = features_run.config.replace(dataset_path=str(tmp_path / "first"), regions=str(tmp_path / "mask.png"))
    run = train(config.replace(run_eval=False), runs=tmp_path / "runs").folder
    before = read_detector(run / "detector.safetensors")
    add_images(run, tmp_path / "more")
    after = read_detector(run / "detector.safetensors")
    assert before.regions is not None and after.regions == before.regions
    assert not Detector.from_file(after).inspect(good[0]).anomaly[:, :64].any()


def test_percentiles_are_those_of_inspected_pixels():
    maps = np.arange(8, dtype=np.float32).reshape(1, 2, 4)
    weights = np.array([[0, 0, 1, 2], [0, 0, 1, 1]], np.float32)
    assert percentiles([Residuals(maps, weights)], 100) == [7]
    assert percentiles([Residuals(maps, weights)], 0) == [2]
    assert percentiles([Residuals(maps, weights > 0)], 0) == [0]  # a background counts, as in the reference


def test_an_image_that_is_odd_in_an_ignored_region_is_not_far_from_the_others(rng):
    maps = rng.uniform(1, 2, (12, 1, 8, 8)).astype(np.float32)
    maps[-1, 0, 3, 1] = 100
    for sensitivity, expected in ((1, True), (0, False)):
        weights = np.where(np.arange(8) < 4, sensitivity, 1) * np.ones((8, 1), np.float32)
        residuals = [Residuals(image, weights.astype(np.float32)) for image in maps]
        assert (measure_distances(residuals, [], Config()).values[-1] > NAMED_DISTANCE) == expected
